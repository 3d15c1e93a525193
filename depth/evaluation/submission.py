"""A submission to KITTI's depth prediction benchmark: 16-bit PNGs of the images' size in one zip, checked as it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from depth.evaluation.metrics import Predictor
from depth.support.files import written_aside
from depth.types import DepthPixels, EvalSample, UserError

_SCALE = 256.0  # value = depth * 256
_NOTHING = DepthPixels.of(np.zeros((1, 1), np.float32))

# An image at the network's size, uint8 (3,h,w), and its own (width, height).
Load = Callable[[Path], tuple[torch.Tensor, tuple[int, int]]]


def write_submission(
    path: Path, images: Sequence[Path], load: Load, predictor: Predictor, factor: float, progress: Callable
) -> None:
    """Predicts the images and writes the zip; it appears only once it has been read back and passes the checks.

    Args:
        path: the zip.
        images: called as the benchmark's, of which each gives a PNG of its name.
        factor: metres per unit of the predictions.
        progress: wraps what is iterated over.

    Raises:
        UserError: an image or the zip cannot be read or written, or the zip is not as the benchmark wants it.
    """
    try:
        with written_aside(path) as aside:
            sizes = {}
            with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
                for name, size, png in _pngs(progress(images), load, predictor, factor):
                    archive.writestr(name, png)
                    sizes[name] = size
            check_submission(aside, sizes)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


def check_submission(path: Path, sizes: dict[str, tuple[int, int]]) -> None:
    """Raises UserError where a zip has not, at its root, a dense 16-bit PNG of the right size for every image.

    `sizes`: file name -> (width, height).
    """
    with zipfile.ZipFile(path) as archive:
        if sorted(archive.namelist()) != sorted(sizes):
            raise UserError(f"{path}: its files are not those of the {len(sizes)} images")
        for name, size in sizes.items():
            depth = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            if depth is None or depth.dtype != np.uint16 or depth.ndim != 2 or depth.shape[::-1] != size:
                raise UserError(f"{path}: {name} is not a 16-bit grey PNG of {size[0]}x{size[1]}")
            if not depth.all():
                raise UserError(f"{path}: {name} has pixels without depth")


def _pngs(
    images: Iterable[Path], load: Load, predictor: Predictor, factor: float
) -> Iterator[tuple[str, tuple[int, int], bytes]]:
    for number, image in enumerate(images):
        resized, size = load(image)
        inverse = predictor([EvalSample(image=resized, truth=_NOTHING, name=image.name)], number)[0]
        depth = factor / cv2.resize(np.ascontiguousarray(inverse), size, interpolation=cv2.INTER_LINEAR)
        if not np.isfinite(depth).all():
            raise UserError(f"the prediction for {image.name} holds inverse depths that are not positive and finite")
        values = np.clip(np.round(depth * _SCALE), 1, 65535).astype(np.uint16)
        yield f"{image.stem}.png", size, io.BytesIO(cv2.imencode(".png", values)[1].tobytes()).getvalue()
