"""What a training is fed with: the split's parts as loaders, and what is said where something is missing."""

import numpy as np
import pytest

from datasets.core.sampler import Loading
from datasets.locate import DataPlace
from datasets.sets import Samples
from datasets.training_sets import _spread, training_sets
from datasets.world.making import WorldSpec, ensure_world
from depth.types import UserError
from tests.kitti_layout import DATE, DRIVE, HEIGHT, WIDTH, picture, write_raw, write_scan


def sets(root, train="l 1-3", val=None, place=None, **options):
    """A training's sets of the folder, with a split of these lines, or of another place with its own."""
    split = root / "split"
    split.mkdir(exist_ok=True)
    (split / "train.txt").write_text(f"{DRIVE} {train}\n")
    if val is not None:
        (split / "val.txt").write_text(f"{DRIVE} {val}\n")
    wanted = {"cache_dir": root / "cache", "eval_collate": list} | options
    samples, loading = Samples(24, 40, (-1, 1)), Loading(num_workers=0)
    if place is not None:
        return training_sets(place, "eigen_zhou", samples, loading, **wanted)
    return training_sets(DataPlace(root, "kitti", ""), str(split), samples, loading, **wanted)


@pytest.mark.parametrize(
    ("val", "note"),
    [("l 0", "1 of 1 frames are there, none with its neighbours"), ("l 8-9", "0 of 2 frames are there")],
)
def test_training_goes_on_without_validation_where_no_frame_of_it_can_be_used(tmp_path, val, note):
    found = sets(write_raw(tmp_path), val=val, skip_missing=True)
    assert found.validation is found.shown is found.evaluation is None
    assert found.notes[1:] == (f"validation: {note}",) and found.notes[0].startswith("training: ")
    with pytest.raises(UserError, match="the split's val part: "):
        sets(tmp_path, val=val)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda root, _: (root / DATE / "calib_velo_to_cam.txt").unlink(), r"no calibration .*velo_to_cam\.txt"),
        (lambda _, scan: scan.write_bytes(scan.read_bytes()[:-1]), r"0000000002\.bin: 31 bytes are not a scan"),
    ],
)
def test_ground_truth_that_validation_could_not_read_is_refused_before_training(tmp_path, damage, complaint):
    root = write_raw(tmp_path)
    scan = write_scan(root, 2, [(10, 0, 0), (20, 1, 1)])
    found = sets(root, val="l 1-3")
    assert [line.split()[0] for line in found.notes] == ["training:", "validation:", "validation"], "each line once"
    (sample,) = found.evaluation
    assert [each.name for each in sample] == [f"{DRIVE} 2 l"]
    damage(root, scan)
    with pytest.raises(UserError, match=complaint):
        sets(root, val="l 1-3", skip_missing=True, frame_cache=tmp_path / "frames")
    assert not (tmp_path / "frames").exists(), "frames are written after the checks"


def test_a_damaged_depth_map_of_the_embedded_world_is_refused_before_training(tmp_path):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4)
    place = DataPlace(ensure_world(tmp_path, spec), "synthetic", "")
    assert len(sets(tmp_path, place=place).evaluation) == 2
    (first, *_) = sorted(place.root.glob("*/*/proj_depth/groundtruth/*/*.png"))
    for path in place.root.glob("*/*/proj_depth/groundtruth/*/*.png"):
        path.write_bytes(first.read_bytes()[:12])
    with pytest.raises(UserError, match="damaged"):
        sets(tmp_path, place=place)


def test_validation_frames_are_spread_over_the_split():
    refs = list(range(10))
    assert _spread(refs, 5) == [0, 2, 4, 6, 8] and _spread(refs, 3) == [0, 3, 6]
    assert _spread(refs, 0) == _spread(refs, 10) == _spread(refs, 11) == refs


def test_a_cache_holds_the_sources_of_every_frame(tmp_path):
    place = DataPlace(write_raw(tmp_path / "kitti"), "kitti", "")
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "train.txt").write_text(f"{DRIVE} l 2\n")
    (tmp_path / "split" / "val.txt").write_text(f"{DRIVE} r 3\n")
    found = training_sets(
        place, str(tmp_path / "split"), Samples(HEIGHT, WIDTH, (-1, 1), use_stereo=True), Loading(num_workers=0),
        cache_dir=tmp_path, eval_collate=list, frame_cache=tmp_path / "cache",
    )  # fmt: skip
    # The frame, the one before, the one after, and the other camera, whose pictures are numbered from 100.
    for loader, numbers in ((found.train, (2, 1, 3, 102)), (found.validation, (103, 102, 104, 3))):
        (raw,) = loader
        expected = np.stack([picture(number).transpose(2, 0, 1) for number in numbers])
        assert np.array_equal(raw.frames[0].numpy(), expected)
