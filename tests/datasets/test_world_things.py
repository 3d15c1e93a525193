"""The embedded world's things: every car and every box, whole, and the same number in all frames of a drive."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.world.making import WorldSpec, ensure_world
from datasets.world.surfaces import Class

SPEC = WorldSpec(train_drives=4, val_drives=1, test_drives=1, frames_per_drive=3, labels=True)
LARGEST = 9.3  # metres, the diagonal of a lorry


@pytest.fixture(scope="module")
def drives(tmp_path_factory) -> list[Path]:
    world = ensure_world(tmp_path_factory.mktemp("world"), SPEC)
    return sorted((world / "2000_01_01").glob("*_sync"))


def read(drive: Path, kind: str, frame: int) -> np.ndarray:
    return cv2.imread(str(drive / kind / f"{frame:010d}.png"), cv2.IMREAD_UNCHANGED)


def labels(drive: Path, frame: int) -> tuple[np.ndarray, np.ndarray]:
    return read(drive, "semantics/class_02", frame), read(drive, "semantics/instance_02", frame)


def test_cars_and_boxes_and_nothing_else(drives):
    seen = set()
    for drive in drives:
        kind, thing = labels(drive, 1)
        assert thing.dtype == np.uint16
        assert (thing[np.isin(kind, (Class.CAR, Class.BOX))] > 0).all()
        assert set(np.unique(kind[thing > 0])) <= {Class.CAR, Class.MOVING_CAR, Class.BOX}
        # What moves without a number is a shadow: it lies on the road.
        shadow = (kind == Class.MOVING_CAR) & (thing == 0)
        upward = -(read(drive, "semantics/normal_02", 1)[..., 1] / 32767.0 - 1)  # OpenCV's order: z, y, x
        assert (upward[shadow] > 0.9).all()
        seen |= {int(kind[thing == n][0]) for n in np.unique(thing[thing > 0])}
    assert seen >= {Class.CAR, Class.BOX}


def test_a_number_is_one_body(drives):
    """Its points lie within a lorry's length of each other, and neighbours in a parking row have other numbers."""
    k = 721.5377 * 416 / 1242
    most = 0
    for drive in drives:
        kind, thing = labels(drive, 1)
        depth = read(drive, "proj_depth/groundtruth/image_02", 1) / 256.0
        v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
        points = np.stack([(u - u.mean()) / k * depth, (v - v.mean()) / k * depth, depth], -1)
        for number in np.unique(thing[thing > 0]):
            mask = thing == number
            assert len(np.unique(kind[mask])) == 1
            assert np.linalg.norm(np.ptp(points[mask], axis=0)) < LARGEST
        most = max(most, len(np.unique(thing[kind == Class.CAR])))
    assert most >= 3


def test_numbers_last_over_a_drive(drives):
    shared = 0
    for drive in drives:
        classes = []
        for frame in range(3):
            kind, thing = labels(drive, frame)
            classes.append({n: kind[thing == n][0] for n in np.unique(thing[thing > 0])})
        for first, second in zip(classes, classes[1:], strict=False):
            common = first.keys() & second.keys()
            shared += len(common)
            assert all(first[n] == second[n] for n in common)
    assert shared > 10
