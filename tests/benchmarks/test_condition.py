"""The oracle: what C is, what of it a design shows, its tables worked by hand, and the command in the smallest size."""

import json
import sys

import pytest
import torch
from torch import nn

from benchmarks import condition
from benchmarks.oracle.agreement import agreement
from benchmarks.oracle.cell import Schedule
from benchmarks.oracle.conditions import CONDITIONS, condition_of
from benchmarks.oracle.designs import DESIGNS, bends, bilateral
from benchmarks.oracle.scenes import Scenes, load_scenes
from benchmarks.oracle.table import markdown, summary
from datasets.locate import DataPlace
from datasets.world.making import WorldSpec, ensure_world
from datasets.world.surfaces import Class
from depth.dejavu.branch import DejaVu
from depth.dejavu.diagnosis import detail
from depth.dejavu.edits.spatial import NoEdit
from depth.losses.perceptual import PerceptualLoss
from depth.types import DepthOutput, UserError
from tests.tiny_run import save_run

SPEC = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3, labels=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return DataPlace(ensure_world(tmp_path_factory.mktemp("world"), SPEC), "synthetic", "")


def test_scenes_are_the_truth_at_the_networks_size(world):
    whole, half = load_scenes(world, "test", 64, 96), load_scenes(world, "test", 32, 48)
    assert whole.images.shape == (3, 3, 64, 96) and half.classes.shape == (3, len(Class), 32, 48)
    torch.testing.assert_close(half.classes.sum(1), torch.ones(3, 32, 48))
    sky = whole.classes[:, Class.SKY] == 1
    assert sky.any() and (whole.disparity[:, 0][sky] == 0).all() and (whole.disparity[:, 0][~sky] > 0).any()
    length = whole.normals.norm(dim=1)
    assert (length[sky] == 0).all() and torch.allclose(length[~sky], torch.ones(()), atol=1e-3)
    assert 0.02 < whole.edges.float().mean() < 0.7
    torch.testing.assert_close(half.disparity, nn.functional.avg_pool2d(whole.disparity, 2))


def test_a_world_without_labels_is_refused(tmp_path):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
    place = DataPlace(ensure_world(tmp_path, spec), "synthetic", "")
    with pytest.raises(UserError, match="world with labels"):
        load_scenes(place, "test", 64, 96)


def test_texture_has_the_size_that_its_name_says(world):
    scenes = load_scenes(world, "test", 64, 96)
    for truth in ("disparity", "classes"):
        for percent in (1, 5):
            added = CONDITIONS[f"{truth}, {percent} % texture"](scenes) - CONDITIONS[truth](scenes)
            size = added.square().mean((2, 3)).sqrt()
            torch.testing.assert_close(size, torch.full_like(size, percent / 100), rtol=1e-3, atol=1e-5)
            grey = detail(scenes.images.mean(1, keepdim=True)).expand_as(added)
            assert torch.corrcoef(torch.stack((added.flatten(), grey.flatten())))[0, 1] > 0.9
    torch.testing.assert_close(CONDITIONS["disparity"](scenes).mean((2, 3)), torch.ones(3, 1))
    assert CONDITIONS["all"](scenes).shape[1] == 4 + len(Class)


class Flat(nn.Module):
    def forward(self, image):
        return DepthOutput((image.mean(1, keepdim=True)[..., ::2, ::2] + 1.0,))


def test_a_prediction_is_at_full_size_over_its_mean(world):
    scenes = load_scenes(world, "test", 64, 96)
    c = condition_of("prediction", scenes, Flat())
    assert c.shape == (3, 1, 64, 96)
    torch.testing.assert_close(c.mean((2, 3)), torch.ones(3, 1))


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_let_gradients_through(name):
    c = torch.rand(2, 2, 16, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    shown = DESIGNS[name](c)
    assert shown.shape[0] == 2 and shown.shape[2:] == (16, 24)
    shown.square().sum().backward()
    assert (c.grad.abs().sum((2, 3)) > 0).all()


def slanted(height=32, width=48):
    """A plane's disparity with a box of twice its nearness."""
    c = torch.linspace(0.5, 1.5, height)[:, None].expand(height, width).clone()
    c[8:20, 16:32] *= 2.0
    return c[None, None]


def test_bends_see_no_slant_and_no_texture_but_edges():
    noise = 0.01 * torch.randn(1, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    clean, textured = bends(slanted()), bends(slanted() + noise)
    box = torch.zeros(32, 48, dtype=torch.bool)
    box[3:25, 11:37] = True  # what the widest reach, 4 px, can tell of it
    inside = slice(4, 28), slice(4, 44)  # and of the picture's own border
    assert clean[0, 0].abs().max() > 0.99
    for found in (clean, textured):
        assert (found[0][:, inside[0], inside[1]][:, ~box[inside]] == 0).all()


def test_a_bilateral_keeps_edges_and_takes_texture():
    noise = 0.01 * torch.randn(1, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    box = slanted() * 0 + 1.0
    box[..., 8:20, 16:32] = 2.0
    torch.testing.assert_close(bilateral(box), box)
    assert (bilateral(box + noise) - box).std() < 0.3 * noise.std()


def result(condition_name, seed, mse, lpips=0.1):
    cell = {"edit": "blocks", "crm": "additive", "design": "plain", "condition": condition_name, "seed": seed}
    return cell | {"mse": mse, "mse_edges": mse, "mse_elsewhere": mse / 2, "lpips": lpips} | {
        "mse_redacted": 1.0, "lpips_redacted": 0.2,
    }  # fmt: skip


def test_gains_and_leaks_by_hand():
    results = [result("none", 0, 0.5), result("none", 1, 0.4), result("disparity", 0, 0.4), result("disparity", 1, 0.3)]
    results += [result("disparity, 1 % texture", 0, 0.3)]
    rows = {row["condition"]: row for row in summary(results)}
    assert rows["none"]["gain"] is None and rows["none"]["ratio"][0] == pytest.approx(0.45)
    assert rows["disparity"]["gain"] == pytest.approx([(0.2 + 0.25) / 2, 0.05 / 2**0.5])
    assert rows["disparity"]["leak"] is None
    assert rows["disparity, 1 % texture"]["leak"][0] == pytest.approx(0.25)
    table = markdown(results, 7)
    assert "for 7 steps" in table and "| 22.5 ± 3.5 | 22.5 ± 3.5 |" in table


class Wants(nn.Module):
    """A module whose image is C: it wants C to be the image."""

    def forward(self, redacted, prediction):
        return prediction.expand_as(redacted)


def test_agreement_of_a_gradient_that_points_to_the_truth():
    truth = slanted() / 4
    edges = torch.zeros(1, 1, 32, 48, dtype=torch.bool)
    edges[..., 6:22, 14:34] = True
    images = truth.expand(1, 3, -1, -1)
    scenes = Scenes(images, truth, truth, images, edges, ("a",))
    noise = 0.01 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    branch, schedule = DejaVu(NoEdit(), Wants(), normalise=False), Schedule(lpips=0.0)
    perceptual = PerceptualLoss("squeeze", "random")
    found = agreement(branch, "plain", scenes, truth + noise, truth, schedule, perceptual)
    assert found["cosine_edges"] > 0.98 and found["cosine_flat"] > 0.98
    assert 0.2 < found["edge_energy"] < 0.3  # 320 of 1536 pixels
    away = agreement(branch, "plain", scenes, truth + noise, truth + 2 * noise, schedule, perceptual)
    assert away["cosine_flat"] < -0.9


def test_the_command_goes_on_and_refuses_other_settings(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(condition, "find_data", lambda *_: world)
    run = save_run(tmp_path / "run")
    flags = ["--edits", "bandstop", "--conditions", "none", "disparity", "--steps", "2", "--seeds", "1"]
    flags += ["--height", "64", "--width", "96", "--lpips_weights", "random", "--out", str(tmp_path / "out")]

    def call(*more):
        monkeypatch.setattr(sys, "argv", ["condition.py", *flags, *more])
        condition.main()
        return json.loads((tmp_path / "out" / "condition.json").read_text())

    first = call("--share", "0/2")
    assert [cell["condition"] for cell in first["cells"]] == ["none"]
    assert "1 of 2 cells" in capsys.readouterr().out
    second = call("--run", str(run))
    assert [cell["condition"] for cell in second["cells"]] == ["none", "disparity", "prediction"]
    assert second["cells"][0] == first["cells"][0]
    assert -1 <= second["cells"][2]["cosine_edges"] <= 1
    assert second["summary"][1]["gain"] is not None
    assert "cosine at edges" in (tmp_path / "out" / "condition.md").read_text()
    assert call("--run", str(run)) == second
    with pytest.raises(UserError, match="made with other settings"):
        call("--steps", "3")
    with pytest.raises(UserError, match="made with other settings"):  # another run of the same name
        call("--run", str(save_run(tmp_path / "other" / "run", encoder="resnet34")))


@pytest.mark.parametrize(
    ("flags", "words"),
    [("--designs wavy", "--designs wavy: choose of plain"), ("--conditions depth", "none; disparity"),
     ("--share 2/2", "I/N with I below N"), ("--seeds 0", "1 or more")],
)  # fmt: skip
def test_bad_flags(flags, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["condition.py", *flags.split()])
    with pytest.raises(UserError, match=words):
        condition.main()
