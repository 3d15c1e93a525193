"""A headless Chromium that is told what to do through its debugging port."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from urllib.request import Request, urlopen

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 120


class Browser:
    """One page. `ask` sends a command of the DevTools protocol; `value` evaluates JavaScript."""

    def __init__(self, folder: Path) -> None:
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--remote-debugging-port=0", "--remote-allow-origins=*",
            "--window-size=1300,1100", f"--user-data-dir={folder}", "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        marker = folder / "DevToolsActivePort"
        port = self._until(lambda: marker.is_file() and marker.read_text().split("\n")[0])
        with urlopen(Request(f"http://127.0.0.1:{port}/json/new", method="PUT"), timeout=SECONDS) as answer:
            page = json.load(answer)
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=SECONDS)
        self.number, self.requests = 0, []
        self.ask("Network.enable")

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, **values: object) -> dict:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": values}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, script: str) -> object:
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, address: str) -> None:
        self.ask("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && facts !== null")

    def wait(self, script: str) -> object:
        return self._until(lambda: self.value(script))

    def upload(self, path: Path) -> None:
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def point(self, selector: str, x: float, y: float) -> None:
        """Moves the mouse to a place inside an element, both from 0 to 1."""
        box = json.loads(
            self.value(
                f"(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoView(); const b = "
                "e.getBoundingClientRect(); return JSON.stringify([b.left, b.top, b.width, b.height]); })()"
            )
        )
        place = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", **place)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    @staticmethod
    def _until(found) -> object:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if answer := found():
                return answer
            time.sleep(0.1)
        raise AssertionError("the browser did not get there in time")
