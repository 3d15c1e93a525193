"""Ground truth of one's own, from files beside the images: a folder with a map per image, or one archive of maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.core.depth_files import DEPTH_SUFFIXES, read_depth
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from datasets.core.truth import GroundTruth
from depth.types import DepthPixels, UserError, reason_of

PNG_SCALE = 256.0  # KITTI's


@dataclass(frozen=True)
class TruthFiles:
    """Where the maps are, and what stands in them for a metre; None is 256 in PNGs, 1 in others."""

    path: Path
    scale: float | None = None

    def open(self, source: FrameSource, refs: Sequence[FrameRef]) -> GroundTruth:
        """Ground truth of these frames. Raises UserError where the path is nothing of the kind."""
        if self.path.is_dir():
            return TruthFolder(self, source, _names(source, refs))
        if self.path.suffix.lower() in (".npz", ".npy"):
            return TruthArchive(self.path, tuple(refs), 1.0 if self.scale is None else self.scale)
        raise UserError(f"--gt_path {self.path} is neither a folder of depth maps nor a .npz or .npy")


@dataclass(frozen=True)
class TruthFolder:
    """A map per image, called as the image is, with the image's folders above it or without."""

    files: TruthFiles
    source: FrameSource
    unique: frozenset[str]  # file names without suffix that one image alone has

    def has(self, ref: FrameRef) -> bool:
        """Whether there is a map."""
        return self._find(ref) is not None

    def check(self, ref: FrameRef) -> None:
        """Raises UserError where the map cannot be read."""
        self(ref)

    def __call__(self, ref: FrameRef) -> DepthPixels:
        """The pixels that have a depth. Raises UserError where the map is missing or malformed."""
        path = self._find(ref)
        if path is None:
            raise UserError(f"no depth map for {ref.name} in {self.files.path}")
        scale = self.files.scale
        return DepthPixels.of(read_depth(path, scale or (PNG_SCALE if path.suffix.lower() == ".png" else 1.0)))

    def _find(self, ref: FrameRef) -> Path | None:
        if not self.source.has(ref):
            return None
        image = self.source.image_path(ref)
        root = self.source.root if self.source.root.is_dir() else self.source.root.parent
        stems = [Path(image.stem)] if image.stem in self.unique else []
        if image.is_relative_to(root):
            stems.insert(0, image.relative_to(root).with_suffix(""))
        paths = (self.files.path / f"{stem}{suffix}" for stem in stems for suffix in DEPTH_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)


def _names(source: FrameSource, refs: Sequence[FrameRef]) -> frozenset[str]:
    """Names that no two of the images share: KITTI's drives all begin with 0000000000."""
    seen: set[str] = set()
    twice: set[str] = set()
    for ref in refs:
        if source.has(ref):
            stem = source.image_path(ref).stem
            (twice if stem in seen else seen).add(stem)
    return frozenset(seen - twice)


class TruthArchive:
    """Maps of one size in the split's order: an array (N,H,W) in a .npy or .npz, as gt_depths.npz is.

    Args:
        path: the file.
        refs: the frames, in its order.
        scale: what stands in it for a metre.

    Raises UserError where it cannot be read, holds objects, or has another number of maps.
    """

    def __init__(self, path: Path, refs: tuple[FrameRef, ...], scale: float) -> None:
        self.path, self.scale = path, scale
        self.places = {ref: place for place, ref in enumerate(refs)}
        self.maps = _maps(path)
        if self.maps.ndim != 3 or self.maps.dtype.kind not in "fiu" or 0 in self.maps.shape:
            raise UserError(f"{path}: expected numbers of shape (images, height, width), found {self.maps.shape}")
        if len(self.maps) != len(refs):
            raise UserError(f"{path} holds {len(self.maps)} maps, the split has {len(refs)} images")

    def has(self, ref: FrameRef) -> bool:
        """Whether the frame is one of the split's."""
        return ref in self.places

    def check(self, ref: FrameRef) -> None:
        """The file was looked at when it was opened."""

    def __call__(self, ref: FrameRef) -> DepthPixels:
        """The pixels that have a depth: positive and finite."""
        depth = np.asarray(self.maps[self.places[ref]], np.float32) / np.float32(self.scale)
        return DepthPixels.of(np.where(np.isfinite(depth), depth, np.float32(0)))


def _maps(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            names = list(archive)
            name = "data" if "data" in names or not names else names[0]  # Monodepth2's name
            return archive[name]
    except OSError as error:
        raise UserError(f"--gt_path {path} cannot be read: {reason_of(error)}") from None
    except Exception as error:  # NumPy hands its header to a parser of Python, which trips in many ways
        if "Object arrays" in str(error):
            raise UserError(
                f"--gt_path {path} holds pickled objects (maps of several sizes), which may run code and are not read. "
                "KITTI needs no such file: without --gt_path the scans are used; others: a folder with a map per image"
            ) from None
        raise UserError(f"--gt_path {path} is damaged or no file of plain numbers: {reason_of(error)}") from None
