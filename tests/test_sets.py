"""What a training is fed with: the split's parts as loaders, and what is said where something is missing."""

import pytest
from kitti_layout import DATE, DRIVE, write_raw, write_scan

from datasets.locate import DataPlace
from datasets.sets import training_sets
from datasets.synthetic import WorldSpec, ensure_world
from depth.types import UserError


def sets(root, train="l 1-3", val=None, place=None, **options):
    """A training's sets of the folder or of another place, with a split of these lines."""
    split = root / "split"
    split.mkdir(exist_ok=True)
    (split / "train.txt").write_text(f"{DRIVE} {train}\n")
    if val is not None:
        (split / "val.txt").write_text(f"{DRIVE} {val}\n")
    wanted = {
        "height": 24, "width": 40, "offsets": (-1, 1), "use_stereo": False, "batch_size": 1, "seed": 0,
        "num_workers": 0, "skip_missing": False, "val_samples": 0, "cache_dir": root / "cache", "eval_collate": list,
    } | options  # fmt: skip
    return training_sets(place or DataPlace(root, "kitti", ""), str(split), **wanted)


@pytest.mark.parametrize(
    ("val", "note"),
    [("l 0", "1 of 1 frames are there, none with its neighbours"), ("l 8-9", "0 of 2 frames are there")],
)
def test_training_goes_on_without_validation_where_no_frame_of_it_can_be_used(tmp_path, val, note):
    found = sets(write_raw(tmp_path), val=val, skip_missing=True)
    assert found.validation is found.shown is found.evaluation is None
    assert found.notes[-1] == f"validation: {note}"
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
    (sample,) = sets(root, val="l 1-3").evaluation
    assert [each.name for each in sample] == [f"{DRIVE} 2 l"]
    damage(root, scan)
    with pytest.raises(UserError, match=complaint):
        sets(root, val="l 1-3", skip_missing=True, frame_cache=tmp_path / "frames")
    assert not (tmp_path / "frames").exists(), "frames are written after the checks"


def test_a_damaged_depth_map_of_the_embedded_world_is_refused_before_training(tmp_path):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4)
    place = DataPlace(ensure_world(tmp_path, spec, progress=False), "synthetic", "")
    assert len(sets(tmp_path, place=place).evaluation) == 2
    (first, *_) = sorted(place.root.glob("*/*/proj_depth/groundtruth/*/*.png"))
    for path in place.root.glob("*/*/proj_depth/groundtruth/*/*.png"):
        path.write_bytes(first.read_bytes()[:12])
    with pytest.raises(UserError, match="damaged"):
        sets(tmp_path, place=place)
