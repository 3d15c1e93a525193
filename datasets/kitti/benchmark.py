"""The images of KITTI's depth prediction benchmark, which have no public ground truth."""

from __future__ import annotations

from pathlib import Path

from depth.types import UserError

COUNT = 500
_FOLDERS = ("depth_selection/test_depth_prediction_anonymous/image", "test_depth_prediction_anonymous/image", "image")


def benchmark_images(root: Path, skip_missing: bool = False) -> list[Path]:
    """The images in their order, where KITTI's data_depth_selection.zip unpacks.

    Raises UserError where they are not there, or not all and `skip_missing` is off.
    """
    folder = next((root / name for name in _FOLDERS if (root / name).is_dir()), None)
    images = sorted(folder.glob("*.png")) if folder else []
    if not images:
        raise UserError(f"{root / _FOLDERS[0]} has no images: unpack data_depth_selection.zip (KITTI) in {root}")
    if len(images) != COUNT and not skip_missing:
        raise UserError(f"{folder} has {len(images)} images, the benchmark {COUNT}; --skip_missing goes on without")
    return images
