"""The page of a model of several tasks, and the edit that is picked on it."""

import base64

import cv2
import numpy as np
import pytest

from depth.runs.checkpoint import save_checkpoint
from tests.dense_samples import CLASSES, dense_config, dense_objective
from tests.page.serving import ask, served

HEIGHT, WIDTH = 60, 100


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Of several tasks with DejaVu, which have learnt nothing."""
    folder = tmp_path_factory.mktemp("tasks")
    dejavu = {"dejavu": True, "edit": "blocks", "edit_drop": 0.3, "dejavu_lpips": 0.0}
    objective = dense_objective(dejavu=dejavu, depth_from="labels")
    classes = {name: list(getattr(CLASSES, name)) for name in ("names", "things", "colours")}
    state = {"config": dense_config(dejavu=dejavu, depth_from="labels").to_dict(), "dataset": "synthetic"}
    state |= {"versions": {}, "progress": {}, "classes": classes, "objective": objective.state_dict()}
    (folder / "checkpoints").mkdir()
    save_checkpoint(folder / "checkpoints" / "last.pt", state)
    server = served(folder, folder)
    yield server
    server.shutdown()


def pixels(url):
    """A picture of the page, (H,W,3)."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def test_several_tasks_are_shown(server, picture):
    (frame,) = ask(server, "POST", "/look", picture.read_bytes(), **{"X-Name": "a.png"})[1]["frames"]
    assert list(frame["tasks"]) == ["semantics", "normals", "panoptic"] and frame["unit"] == "metres"
    assert pixels(frame["tasks"]["normals"]).shape == (HEIGHT, WIDTH, 3)
    depth = np.frombuffer(base64.b64decode(frame["depth"]), "<f4")
    assert len(depth) == frame["rows"] * frame["columns"] == HEIGHT * WIDTH and (depth > 0).all()


def test_the_edit_is_the_one_that_was_picked(server, picture):
    """It begins with the training's. All blocks dropped leave nothing, none leaves the picture."""
    usual = ask(server, "GET", "/facts")[1]["usual"]
    assert (usual["edit"], usual["drop"], usual["block"]) == ("blocks", 0.3, 5)
    shown = {}
    for drop in (0, 1):
        query = f"/dejavu?edit=blocks&drop={drop}&block=8"
        found = ask(server, "POST", query, picture.read_bytes(), **{"X-Name": "a.png"})[1]["pictures"]
        shown[drop] = {name: pixels(url) for name, url in found.items()}
    told = [name for name in shown[0] if name.startswith("what the module is told")]
    assert [name.partition(": ")[2] for name in told] == ["depth", "semantics", "normals", "panoptic"]
    assert shown[1]["redacted"].max() < 8 and (shown[0]["redacted"] == shown[0]["picture"]).all()
