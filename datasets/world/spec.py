"""What a world consists of: its size, its seed, its drives and their splits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

VERSION = 2  # raise it whenever the same spec would give other bytes: it is part of the cache key
DATE = "2000_01_01"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Drive:
    """One drive of a world: a street of its own."""

    split: str  # "train", "val" or "test"
    index: int  # position within the split, from 0
    number: int  # number in the folder name, from 1

    @property
    def name(self) -> str:
        """Folder name below the date folder, as in KITTI raw."""
        return f"{DATE}_drive_{self.number:04d}_sync"


@dataclass(frozen=True)
class WorldSpec:
    """A world is fully determined by these values (and the generator's VERSION)."""

    height: int = 128  # rows of the native images, pixels
    width: int = 416  # columns of the native images, pixels
    seed: int = 0
    train_drives: int = 24
    val_drives: int = 3
    test_drives: int = 6
    frames_per_drive: int = 12  # at 10 Hz; at least 3, so that a frame has both neighbours
    labels: bool = False  # also write class ids, things, normals and flat-surface ids

    def drives(self) -> list[Drive]:
        """All drives in the order of their numbers: train, val, test."""
        counts = (self.train_drives, self.val_drives, self.test_drives)
        places = [(split, i) for split, count in zip(SPLITS, counts, strict=True) for i in range(count)]
        return [Drive(split, i, number) for number, (split, i) in enumerate(places, start=1)]

    def split(self, name: str) -> list[str]:
        """Lines `<folder> <sides> <ranges>` of one split.

        Train and val name frames that have both neighbours; train uses both cameras. Raises KeyError
        for a name that is not in SPLITS.
        """
        last = self.frames_per_drive - 1
        sides, frames = {"train": ("lr", f"1-{last - 1}"), "val": ("l", f"1-{last - 1}"), "test": ("l", f"0-{last}")}[
            name
        ]
        return [f"{DATE}/{drive.name} {sides} {frames}" for drive in self.drives() if drive.split == name]

    def manifest(self) -> dict[str, object]:
        """The content of world.json: says that this is not KITTI, and what made it."""
        return {"dataset": "synthetic", **asdict(self), "version": VERSION}

    def folder_name(self) -> str:
        """Cache folder name, with a hash of everything that determines the bytes."""
        text = json.dumps(self.manifest(), sort_keys=True)
        return f"synthetic-{self.height}x{self.width}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
