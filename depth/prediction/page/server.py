"""The page's server: on this machine alone, without anything from outside, and nothing that was uploaded stays."""

from __future__ import annotations

import base64
import json
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import cv2
import numpy as np

from depth.prediction.page.model import PageModel
from depth.types import UserError

ADDRESS = "127.0.0.1"
_HERE = Path(__file__).parent
_FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript")}
# A page on the web must not reach this server through the browser, nor this page the web.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'"

# A file -> its frames, uint8 (H,W,3) RGB; raises UserError for what is neither a picture nor a video.
ReadFrames = Callable[[Path], Sequence[np.ndarray]]


class PageServer(ThreadingHTTPServer):
    """Serves the page of a model.

    Args:
        port: 0 takes a free one; see `server_port`.
        model: what is shown.
        read: reads an uploaded file.
        max_bytes: of a file.
        folder: where a file lies while it is read.

    Raises UserError where the port is taken.
    """

    daemon_threads = True

    def __init__(self, port: int, model: PageModel, read: ReadFrames, max_bytes: int, folder: Path) -> None:
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UserError(f"--port {port} cannot be used: {error.strerror}") from None
        self.model, self.read, self.max_bytes, self.folder = model, read, max_bytes, folder
        self.turn = threading.Lock()  # the network takes one picture at a time


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._from_here():
            return
        if path == "/facts":
            self._send(200, self._facts())
        elif path in _FILES:
            name, kind = _FILES[path]
            self._send_bytes(200, (_HERE / name).read_bytes(), kind)
        else:
            self._send(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        route = {"/look": self._look, "/dejavu": self._dejavu}.get(urlsplit(self.path).path)
        if not self._from_here():
            return
        if route is None:
            return self._refuse(404, "there is no such page")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or not int(length):
            return self._refuse(411, "the file is empty")
        if int(length) > self.server.max_bytes:
            return self._refuse(413, f"the file is larger than {self.server.max_bytes / 1e6:g} MB")
        try:
            self._send(200, self._with_frames(int(length), route))
        except UserError as error:
            self._send(400, {"error": str(error)})

    def _with_frames(self, length: int, route: Callable[[Sequence[np.ndarray]], dict[str, Any]]) -> dict[str, Any]:
        """Runs a route on the uploaded file's frames; the file is gone afterwards, whatever happens."""
        name = Path(unquote(self.headers.get("X-Name", "picture")))
        with tempfile.TemporaryDirectory(dir=self.server.folder) as folder:
            path = Path(folder) / f"upload{name.suffix.lower()[:8]}"
            with path.open("wb") as file:
                while length > 0 and (part := self.rfile.read(min(length, 1 << 20))):
                    file.write(part)
                    length -= len(part)
            try:
                with self.server.turn:
                    return route(self.server.read(path))
            except UserError as error:
                raise UserError(str(error).replace(str(path), name.name)) from None

    def _facts(self) -> dict[str, Any]:
        model, levels = self.server.model, np.arange(256, dtype=np.uint8)[:, None]
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_MAGMA)[:, 0, ::-1].tolist()
        limits = {"max_bytes": self.server.max_bytes, "colours": colours, "edits": model.edits()}
        limits |= {"usual": model.usual()}
        return limits | {"model": str(model.place), "dejavu": model.config is not None and model.config.dejavu.dejavu}

    def _look(self, frames: Sequence[np.ndarray]) -> dict[str, Any]:
        return {"frames": [self._frame(picture) for picture in frames]}

    def _frame(self, picture: np.ndarray) -> dict[str, Any]:
        seen = self.server.model.look(picture)
        found = {"picture": _jpeg(picture), "unit": seen.unit}
        found["tasks"] = {name: _jpeg(each) for name, each in seen.pictures.items()}
        if seen.depth is not None:
            depth = np.ascontiguousarray(seen.depth, "<f4")
            found |= {
                "depth": base64.b64encode(depth.tobytes()).decode(),
                "rows": depth.shape[0],
                "columns": depth.shape[1],
            }
        return found

    def _dejavu(self, frames: Sequence[np.ndarray]) -> dict[str, Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        edit = query.pop("edit", self.server.model.usual()["edit"])
        try:
            settings = {name: json.loads(value) for name, value in query.items()}
            if not all(isinstance(each, int | float | list) for each in settings.values()):
                raise ValueError
            pictures = self.server.model.dejavu(frames[0], edit, settings)
        except (ValueError, TypeError):
            raise UserError("the edit's settings are not numbers") from None
        return {"pictures": {name: _jpeg(each) for name, each in pictures.items()}}

    def _from_here(self) -> bool:
        """Whether the browser was asked for this machine's own address, by this page or by hand."""
        own = {f"{host}:{self.server.server_port}" for host in (ADDRESS, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in own and (origin is None or urlsplit(origin).netloc in own):
            return True
        self._refuse(403, "this page is for this machine alone")
        return False

    def _refuse(self, code: int, text: str) -> None:
        """The body was not read: the connection ends."""
        self.close_connection = True
        self._send(code, {"error": text})

    def _send(self, code: int, values: dict[str, Any]) -> None:
        self._send_bytes(code, json.dumps(values).encode(), "application/json")

    def _send_bytes(self, code: int, content: bytes, kind: str) -> None:
        self.send_response(code)
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content))}
        headers |= {
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: object) -> None:
        """Quiet: the page shows what goes wrong."""


def _jpeg(picture: np.ndarray) -> str:
    """A picture, uint8 (H,W,3) RGB, long side at most 1280, as a data URL."""
    shrink = min(1.0, 1280 / max(picture.shape[:2]))
    resize = partial(cv2.resize, dsize=None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    picture = resize(picture) if shrink < 1 else picture
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), (cv2.IMWRITE_JPEG_QUALITY, 92))[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
