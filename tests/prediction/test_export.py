import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import depth
from depth.options.predict import ExportOptions
from depth.prediction import export as module
from depth.prediction.export import default_output, export
from depth.prediction.exported import ExportedNet, description
from depth.types import UserError
from tests.tiny_run import HEIGHT, WIDTH, add_best, save_run


def _images(count):
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))


def _expected(model, images):
    bytes_ = (images * 255).round().to(torch.uint8)
    return bytes_.float() / 255, model.inverse_depth(bytes_) / model.scale


def test_torchscript(tmp_path):
    folder = save_run(tmp_path / "run", "packnet_slim", use_stereo=True)
    path, difference = export(ExportOptions(str(folder), format="torchscript"))
    assert path == folder / "model.torchscript.pt" and difference < 1e-5
    files = {"metadata.json": ""}
    loaded = torch.jit.load(str(path), _extra_files=files)
    facts = json.loads(files["metadata.json"])
    assert facts["unit"] == "metres" and facts["height"] == "64" and facts["trained_on"] == "synthetic"
    images, expected = _expected(depth.load_model(folder, device="cpu"), _images(5))
    np.testing.assert_allclose(loaded(images)[:, 0].detach().numpy(), expected, atol=1e-5)


def test_the_best_checkpoint_where_asked(tmp_path):
    folder = save_run(tmp_path / "run", "packnet_slim")
    add_best(folder)
    said, outputs = [], []
    for choice in ("last", "best"):
        path, _ = export(ExportOptions(str(folder), format="torchscript", checkpoint_choice=choice))
        files = {"metadata.json": ""}
        loaded, facts = torch.jit.load(str(path), _extra_files=files), json.loads(files["metadata.json"])
        images, expected = _expected(depth.load_model(folder, "cpu", checkpoint_choice=choice), _images(1))
        outputs.append(loaded(images)[:, 0].detach().numpy())
        np.testing.assert_allclose(outputs[-1], expected, rtol=1e-4)
        said.append((facts["model"], facts["checkpoint"].split(" after")[0]))
    assert said == [("last.pt", "last checkpoint"), ("best.pt", "best checkpoint")]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


@pytest.mark.parametrize("depth_net", ["resnet", pytest.param("packnet_slim", marks=pytest.mark.long)])
def test_onnx(tmp_path, depth_net, capfd):
    pytest.importorskip("onnxscript", reason='needs pip install -e ".[export]"')
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    folder = save_run(tmp_path / "run", depth_net)
    path, difference = export(ExportOptions(str(folder)))
    assert path == folder / "model.onnx" and difference < 1e-4
    assert module._is_export(path) and not module._is_export(folder / "checkpoints" / "last.pt")
    assert [each.name for each in folder.iterdir() if each.is_file()] == ["model.onnx"]
    facts = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert facts["min_depth"] == "0.05" and facts["max_depth"] == "50.0" and "up to scale" in facts["unit"]
    assert "[0,1]" in facts["input"] and "inverse_depth" in facts["output"]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("image", ["batch", 3, HEIGHT, WIDTH])
    assert (made.name, made.shape) == ("inverse_depth", ["batch", 1, HEIGHT, WIDTH])
    images, expected = _expected(depth.load_model(folder, device="cpu"), _images(5))
    np.testing.assert_allclose(session.run(None, {"image": images.numpy()})[0][:, 0], expected, atol=1e-4)
    assert capfd.readouterr().out == ""  # what the exporter has to tell concerns nobody


def test_onnx_with_attention_is_silent(tmp_path):
    """In a process of its own, whose cache of DCT matrices is empty."""
    for name in module._PACKAGES:
        pytest.importorskip(name, reason='needs pip install -e ".[export]"')
    folder = save_run(tmp_path / "run", attention=True)
    command = [sys.executable, "-m", "depth.prediction.export", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("onnx: ")


def test_stereo_scale_is_inside(run_folder):
    model = depth.load_model(run_folder, device="cpu").trained
    plain = ExportedNet(model)(_images(1))
    object.__setattr__(model, "metres_from", "stereo")
    object.__setattr__(model, "unit_factor", 5.4)
    torch.testing.assert_close(ExportedNet(model)(_images(1)), plain / 5.4)
    assert description(model)["max_depth"] == repr(50.0 * 5.4)


def test_a_file_that_differs_is_not_left_behind(run_folder, tmp_path, monkeypatch):
    wrong = lambda path: lambda images: [np.zeros((len(images), 1, 64, 96))]  # noqa: E731
    monkeypatch.setattr(module, "_load_torchscript", wrong)
    with pytest.raises(UserError, match="differs from PyTorch"):
        export(ExportOptions(str(run_folder), format="torchscript", output=str(tmp_path / "x.pt")))
    assert list(tmp_path.iterdir()) == []


def test_only_an_earlier_export_is_replaced(tmp_path):
    folder = save_run(tmp_path / "run")
    checkpoint = folder / "checkpoints" / "last.pt"
    before = checkpoint.read_bytes()
    for _ in range(2):
        export(ExportOptions(str(checkpoint), format="torchscript"))
    with pytest.raises(UserError, match=r"last.pt is there and no earlier export: it is kept"):
        export(ExportOptions(str(folder), format="torchscript", output=str(checkpoint)))
    assert checkpoint.read_bytes() == before
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["last.pt", "last.torchscript.pt"]


def test_one_line_where_it_cannot_be(run_folder, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no run"):
        export(ExportOptions(str(tmp_path / "nothing"), format="torchscript"))
    with pytest.raises(UserError, match="cannot be written"):
        export(ExportOptions(str(run_folder), format="torchscript", output=str(tmp_path / "no" / "x.pt")))
    monkeypatch.setattr(module, "_PACKAGES", ("a_package_that_is_not_there",))
    with pytest.raises(UserError, match=r'pip install -e "\.\[export\]"'):
        export(ExportOptions(str(run_folder)))


def test_default_names(tmp_path):
    assert default_output(tmp_path, "onnx") == tmp_path / "model.onnx"
    file = tmp_path / "best.pt"
    file.touch()
    assert default_output(file, "torchscript") == tmp_path / "best.torchscript.pt"
