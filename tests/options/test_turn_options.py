"""Whose cameras are turned: --pitch_jitter."""

import pytest

from depth.options.config import config_from_dict, resolved
from depth.options.presets import parse_training
from depth.types import UserError


def test_cameras_are_turned_where_those_of_the_world_differ_and_nothing_else_is_known():
    def pitch(line: str) -> float:
        return resolved(parse_training("", line.split())).data.pitch_jitter

    assert pitch("--dataset synthetic") == pitch("--dataset synthetic --dejavu") == 2.2
    assert pitch("--dataset synthetic --use_stereo") == pitch("--dataset synthetic --pose_scale speed") == 0
    assert pitch("--dataset synthetic --tasks semantics") == pitch("--dataset kitti") == 0
    assert pitch("--dataset kitti --pitch_jitter 3") == pitch("--dataset synthetic --use_stereo --pitch_jitter 3") == 3
    assert pitch("--dataset synthetic --pitch_jitter 0") == 0
    # A run of before the option goes on without.
    assert resolved(config_from_dict({"data": {"dataset": "synthetic"}})).data.pitch_jitter == 0


@pytest.mark.parametrize(
    "line",
    [
        "--pitch_jitter -1", "--pitch_jitter 16", "--pitch_jitter 2 --learn_intrinsics",
        "--pitch_jitter 2 --depth_supervision 1", "--pitch_jitter 2 --tasks semantics --dataset synthetic",
    ],
)  # fmt: skip
def test_turns_that_cannot_be(line):
    with pytest.raises(UserError, match="--pitch_jitter"):
        parse_training("", line.split())
