"""What a training is fed with: the split's parts as loaders, and what is said where something is missing."""

import pytest
from kitti_layout import DRIVE, write_raw

from datasets.locate import DataPlace
from datasets.sets import training_sets
from depth.types import UserError


def sets(root, train="l 1-3", val=None, **options):
    """A training's sets of the folder, with a split of these lines."""
    split = root / "split"
    split.mkdir(exist_ok=True)
    (split / "train.txt").write_text(f"{DRIVE} {train}\n")
    if val is not None:
        (split / "val.txt").write_text(f"{DRIVE} {val}\n")
    wanted = {
        "height": 24, "width": 40, "offsets": (-1, 1), "use_stereo": False, "batch_size": 1, "seed": 0,
        "num_workers": 0, "skip_missing": False, "val_samples": 0, "cache_dir": root / "cache", "eval_collate": list,
    } | options  # fmt: skip
    return training_sets(DataPlace(root, "kitti", ""), str(split), **wanted)


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
