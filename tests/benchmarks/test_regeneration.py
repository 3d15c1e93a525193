"""What a branch regenerates, over a part: of a module that has learnt nothing the answer is known."""

import pytest
import torch

from benchmarks.regeneration import Options, markdown, measure_run
from datasets.core.images import read_image, resize_image
from datasets.world.making import WorldSpec, ensure_world
from depth.dejavu.edits.spectral import BandStop
from depth.types import UserError
from tests.tiny_run import HEIGHT, WIDTH, save_run

SPEC = WorldSpec(height=HEIGHT, width=WIDTH, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=7)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return ensure_world(tmp_path_factory.mktemp("world"), SPEC)


def test_a_module_that_begins_adds_nothing(tmp_path, world):
    """So errors are the edit's, means over all frames, also where the last batch is a part of one."""
    home = save_run(tmp_path / "run", dejavu=True, edit="spectral")
    row = measure_run(home, Options(runs=(str(home),), data_path=str(world)))
    images = [
        resize_image(read_image(file), HEIGHT, WIDTH) for file in sorted(world.rglob("*_0003_sync/image_02/data/*"))
    ]
    target = torch.stack(images).float() / 255
    assert row["frames"] == len(target) == 7 and row["step"] == 34 and row["edit"] == "spectral"
    assert row["redacted"] == pytest.approx((BandStop()(target) - target).square().mean().item(), rel=1e-4)
    for name in ("regenerated", "regenerated_without_c"):
        assert row[name] == pytest.approx(row["redacted"])
    assert row["perceptual"] == pytest.approx(row["perceptual_redacted"]) and row["perceptual"] > 0


def test_a_row_has_shares_of_the_edited_frames_error():
    row = {"run": "a", "edit": "blocks", "frames": 7, "redacted": 0.5, "regenerated": 0.1, "regenerated_without_c": 0.2}
    row |= {"perceptual": 0.3, "perceptual_redacted": 0.6, "distance": "lite", "texture": 0.02, "texture_growth": -0.1}
    expected = "| a | blocks | 7 | 0.5000 | 0.200 | 0.400 | 0.500 (lite) | 0.020 | -0.100 |"
    assert markdown([row]).splitlines()[-1] == expected


def test_a_run_without_a_branch_is_one_line(tmp_path):
    home = save_run(tmp_path / "run")
    with pytest.raises(UserError, match="was trained without --dejavu"):
        measure_run(home, Options(runs=(str(home),)))
