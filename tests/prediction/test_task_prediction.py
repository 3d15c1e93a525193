"""Networks of several tasks beyond training: Python API, predict.py's files, exports, depth for other commands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import depth
from datasets.footage.media import find_pictures
from datasets.tools.manifest_pictures import manifest_pictures
from depth.dense.building import load_dense, load_depth
from depth.options.predict import ExportOptions, PredictOptions
from depth.prediction.export import export
from depth.prediction.exported import exported
from depth.prediction.page.model import PageModel
from depth.prediction.tasks import TaskModel, predict_tasks
from depth.runs.checkpoint import load_checkpoint, save_checkpoint
from depth.support.stop_signal import StopSignal
from depth.tasks.depth import Depth
from depth.types import UserError
from predict import load
from tests.dense_samples import ALL, CLASSES, dense_config, dense_objective
from tests.manifest_maker import CAMERA, frames, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run whose networks have learnt nothing, as train.py would leave it."""
    return save(tmp_path_factory.mktemp("run"), ALL)


def save(folder: Path, tasks: tuple[str, ...]) -> Path:
    options = {"depth_from": "labels"} if "depth" in tasks else {}
    objective, config = dense_objective(tasks, **options), dense_config(tasks, **options)
    (folder / "checkpoints").mkdir(parents=True)
    classes = {name: list(getattr(CLASSES, name)) for name in ("names", "things", "colours")}
    state = {"config": config.to_dict(), "dataset": "synthetic", "versions": {}, "progress": {}, "classes": classes}
    save_checkpoint(folder / "checkpoints" / "last.pt", state | {"networks": objective.inference_networks()})
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "street.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (70, 120, 3), dtype=np.uint8))
    return path


def test_api(run, photo):
    model = depth.load_tasks(run, device="cpu")
    results = model.predict(photo)
    assert {name: value.shape for name, value in results.items()} == {
        "depth": (70, 120), "semantics": (70, 120), "normals": (70, 120, 3), "panoptic": (70, 120)
    }  # fmt: skip
    assert np.allclose(np.linalg.norm(results["normals"], axis=-1), 1, atol=1e-5)
    assert model.classes.names == CLASSES.names and results["semantics"].max() < 3
    again = model.predict(cv2.imread(str(photo))[..., ::-1])
    assert all((again[name] == results[name]).all() for name in ALL)


def test_the_best_checkpoint_where_asked(run, photo, tmp_path):
    """best.pt beside last.pt, with other weights: the API and predict.py take it, and nothing takes it unasked."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    state = load_checkpoint(folder / "checkpoints" / "last.pt")
    dense = state["networks"]["dense"]
    state["networks"]["dense"] = {name: 1.1 * v if v.is_floating_point() else v for name, v in dense.items()}
    save_checkpoint(folder / "checkpoints" / "best.pt", state | {"chosen_by": "lowest toy score"})
    depths = {"unasked": depth.load_tasks(folder, "cpu").predict(photo)["depth"]}
    for choice in ("last", "best"):
        depths[choice] = depth.load_tasks(folder, "cpu", checkpoint_choice=choice).predict(photo)["depth"]
        out = tmp_path / choice
        options = PredictOptions((str(photo),), str(folder), choice, out=str(out), device="cpu")
        predicted(options)
        assert json.loads((out / "street.json").read_text())["model"].endswith(f"{choice}.pt")
    assert (depths["unasked"] == depths["last"]).all()
    assert np.abs(depths["best"] - depths["last"]).max() > 1e-3
    # predict.py itself asks what kind of model it is before anything else; a run may hold best.pt alone.
    (folder / "checkpoints" / "last.pt").unlink()
    command = [photo, "--checkpoint", folder, "--checkpoint_choice", "best", "--out", tmp_path / "alone"]
    said = subprocess.run([sys.executable, ROOT / "predict.py", *command], capture_output=True, text=True, check=True)
    assert "1 frames: depth, semantics, normals, panoptic" in said.stdout


def predicted(options: PredictOptions, stop: StopSignal | None = None) -> str:
    return predict_tasks(find_pictures(options.inputs), options, load(options), stop or StopSignal())


def test_files_say_what_they_hold(run, photo, tmp_path):
    options = PredictOptions((str(photo),), checkpoint=str(run), out=str(tmp_path), device="cpu")
    assert "1 frames: depth, semantics, normals, panoptic" in predicted(options)
    results = depth.load_tasks(run, device="cpu").predict(photo)

    def read(name: str) -> np.ndarray:
        return cv2.imread(str(tmp_path / f"street_{name}.png"), cv2.IMREAD_UNCHANGED)

    assert (read("semantics") == results["semantics"]).all()
    assert (read("panoptic").astype(int) - 1 == results["panoptic"]).all()
    assert np.abs(read("depth") / 256 - results["depth"]).max() < 1 / 256
    assert np.abs(read("normals")[..., ::-1] / 32767.0 - 1 - results["normals"]).max() < 1e-4
    facts = json.loads((tmp_path / "street.json").read_text())
    assert set(facts["files"]) == {f"*_{name}.png" for name in ALL} and facts["classes"]["2"] == "car"
    assert len(list(tmp_path.glob("*_colour.jpg"))) == 4


def test_a_globs_folders_and_a_manifests_lens(run, photo, tmp_path, monkeypatch):
    """Names out of a glob hold folders; a network that was trained on straight frames sees straight ones."""
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(photo, tmp_path / "in" / name / "0.png")
    options = PredictOptions((str(tmp_path / "in/*/*.png"),), str(run), out=str(tmp_path / "out"), device="cpu")
    predicted(options)
    assert len(list((tmp_path / "out").rglob("[ab]/0_semantics.png"))) == 2
    seen, results = [], TaskModel.predict
    monkeypatch.setattr(TaskModel, "predict", lambda self, image: seen.append(image) or results(self, image))
    for number, camera in enumerate((CAMERA, CAMERA | {"distortion": [-0.1, 0.01, 0, 0]})):
        path = write(tmp_path / "m.jsonl", frames(tmp_path, 1, "street"), {"manifest": 1, "cameras": {"front": camera}})
        options = PredictOptions((str(path),), str(run), out=str(tmp_path / str(number)), device="cpu")
        predict_tasks(manifest_pictures(path), options, load(options), StopSignal())
        facts = json.loads((tmp_path / str(number) / "street/clip.json").read_text())
        assert facts["pictures"] == ("straightened" if number else "as given")
    assert (seen[0] != seen[1]).any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fov": 60.0}, "--fov is for depth from video"),
        ({"write": ("npy",), "colours": "turbo"}, "--write --colours is for depth"),
        ({"video": "yes", "ply_max_depth": 3.0}, "--ply_max_depth --video yes is for depth"),
    ],
)
def test_options_of_depth_alone_are_refused(run, photo, tmp_path, given, said):
    options = PredictOptions((str(photo),), checkpoint=str(run), out=str(tmp_path / "out"), device="cpu", **given)
    with pytest.raises(UserError, match=said):
        predicted(options)
    assert not (tmp_path / "out").exists()


def test_a_signal_leaves_whole_files(run, photo, tmp_path, monkeypatch):
    """As Ctrl-C does where a camera runs: the frame that was begun is written, and what the files mean."""
    for k in (1, 2, 3):
        shutil.copy(photo, (tmp_path / f"{k}.png"))
    options = PredictOptions((str(tmp_path),), checkpoint=str(run), out=str(tmp_path / "out"), device="cpu")
    stop, original = StopSignal(), TaskModel.predict

    def interrupted(self, image):
        stop.number = 2
        return original(self, image)

    monkeypatch.setattr(TaskModel, "predict", interrupted)
    assert predicted(options, stop).startswith("1 frames: ")
    assert json.loads(next((tmp_path / "out").rglob("clip.json")).read_text())["frames"] == ["1"]


def test_each_command_reads_a_checkpoint_once(run, photo, tmp_path, monkeypatch):
    seen = []
    original = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: seen.append(1) or original(*args, **kwargs))
    predicted(PredictOptions((str(photo),), checkpoint=str(run), out=str(tmp_path), device="cpu"))
    exported(run)
    PageModel(run, torch.device("cpu"))
    assert len(seen) == 3


def test_command_line(run, photo, tmp_path):
    command = [
        sys.executable,
        "predict.py",
        str(photo),
        "--checkpoint",
        str(run),
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "1 frames: depth, semantics" in done.stdout, done.stderr
    assert (tmp_path / "street_semantics.png").is_file()


def test_depth_from_labels_is_depth_in_metres(run, photo):
    """The other commands' depth network is the same network's."""
    model = depth.load_model(run, device="cpu")
    assert model.unit == "metres"
    alone = model.predict(photo).depth
    together = depth.load_tasks(run, device="cpu").predict(photo)["depth"]
    np.testing.assert_allclose(alone, together, rtol=1e-3)
    assert load_depth(run).metres_from == "depth labels"


def test_no_depth_is_one_line(tmp_path):
    folder = save(tmp_path / "run", ("semantics",))
    with pytest.raises(UserError, match="was trained for semantics: it holds no depth"):
        depth.load_model(folder)


@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_export(run, tmp_path, format):
    if format == "onnx":
        for name in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(name, reason='needs pip install -e ".[export]"')
    path, difference = export(ExportOptions(str(run), format=format, output=str(tmp_path / f"model.{format}")))
    assert difference < 1e-4
    images = torch.rand(2, 3, 64, 96)
    net = load_dense(run).net
    with torch.no_grad():
        expected = net(images).outputs()
    if format == "torchscript":
        with torch.no_grad():
            found = dict(zip(ALL, torch.jit.load(str(path))(images), strict=True))
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(None, {"image": images.numpy()}), strict=True))
    assert tuple(found) == ALL
    np.testing.assert_allclose(found["semantics"], expected["semantics"], atol=1e-4)
    depths = Depth(0.1, 100.0).results(expected, (64, 96))
    np.testing.assert_allclose(1 / np.asarray(found["depth"])[:, 0], depths, rtol=1e-3)
