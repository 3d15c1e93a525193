"""A split as loaders: which validation frames are taken, and what a cache must hold."""

import numpy as np
from kitti_layout import DRIVE, HEIGHT, WIDTH, picture, write_raw

from datasets.locate import DataPlace
from datasets.sets import _spread, training_sets


def test_validation_frames_are_spread_over_the_split():
    refs = list(range(10))
    assert _spread(refs, 5) == [0, 2, 4, 6, 8] and _spread(refs, 3) == [0, 3, 6]
    assert _spread(refs, 0) == _spread(refs, 10) == _spread(refs, 11) == refs


def test_a_cache_holds_the_sources_of_every_frame(tmp_path):
    place = DataPlace(write_raw(tmp_path / "kitti"), "kitti", "")
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "train.txt").write_text(f"{DRIVE} l 2\n")
    (tmp_path / "split" / "val.txt").write_text(f"{DRIVE} r 3\n")
    sets = training_sets(
        place, str(tmp_path / "split"), height=HEIGHT, width=WIDTH, offsets=(-1, 1), use_stereo=True, batch_size=1,
        seed=0, num_workers=0, skip_missing=False, val_samples=0, cache_dir=tmp_path, eval_collate=list,
        frame_cache=tmp_path / "cache",
    )  # fmt: skip
    # The frame, the one before, the one after, and the other camera, whose pictures are numbered from 100.
    for loader, numbers in ((sets.train, (2, 1, 3, 102)), (sets.validation, (103, 102, 104, 3))):
        (raw,) = loader
        expected = np.stack([picture(number).transpose(2, 0, 1) for number in numbers])
        assert np.array_equal(raw.frames[0].numpy(), expected)
