"""Predictions in the formats in which Cityscapes and COCO take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth.metrics.panoptic import INSTANCES, VOID
from depth.support.files import make_folder, write_file
from depth.types import Classes


class PredictionFolder:
    """Writes semantics and panoptic results below a folder; other tasks' results are passed over.

    semantics/<name>.png holds the data set's own label ids, 8 bit, as Cityscapes wants them; panoptic/<name>.png holds
    a segment's number as R + 256 G + 65536 B, 0 for none, and panoptic.json its category, as COCO wants them.

    Args:
        folder: made where it is not there.
        classes: of the data set.
        label_ids: class id -> the data set's own.

    Every method raises UserError where a file cannot be written.
    """

    def __init__(self, folder: Path, classes: Classes, label_ids: Sequence[int]) -> None:
        self.folder, self.classes = folder, classes
        self.label_ids = np.array(label_ids)
        self.annotations: list[dict[str, Any]] = []

    def add(self, stem: str, results: Mapping[str, np.ndarray]) -> None:
        """An image's results, in files of this name. COCO's images are called by numbers, and known by them."""
        if "semantics" in results:
            self._png("semantics", stem, self.label_ids[results["semantics"]].astype(np.uint8))
        if "panoptic" in results:
            numbers, segments = coco_segments(results["panoptic"], self.label_ids)
            colours = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], -1).astype(np.uint8)
            self._png("panoptic", stem, colours[..., ::-1])
            image_id = int(stem) if stem.isdecimal() else stem
            self.annotations.append({"image_id": image_id, "file_name": f"{stem}.png", "segments_info": segments})

    def finish(self) -> None:
        """Writes panoptic.json where there are panoptic results."""
        if self.annotations:
            ids = self.label_ids.tolist()
            categories = [
                {"id": ids[k], "name": name, "isthing": int(self.classes.things[k])}
                for k, name in enumerate(self.classes.names)
            ]
            content = {"annotations": self.annotations, "categories": categories}
            write_file(self.folder / "panoptic.json", json.dumps(content).encode())

    def _png(self, kind: str, stem: str, image: np.ndarray) -> None:
        make_folder(self.folder / kind)
        write_file(self.folder / kind / f"{stem}.png", cv2.imencode(".png", image)[1].tobytes(), flush=False)


def coco_segments(ids: np.ndarray, label_ids: np.ndarray) -> tuple[np.ndarray, list[dict[str, int]]]:
    """Panoptic ids (H,W) -> numbers (H,W), 1, 2, ... and 0 for void, and what COCO's JSON says of each."""
    found, places = np.unique(ids, return_inverse=True)
    counted = found[found != VOID]
    numbers = np.where(found == VOID, 0, np.cumsum(found != VOID))[places].reshape(ids.shape)
    segments = []
    for number, segment in enumerate(counted, start=1):
        rows, columns = np.nonzero(numbers == number)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        segments.append(
            {
                "id": number,
                "category_id": int(label_ids[segment // INSTANCES]),
                "area": len(rows),
                "bbox": [int(side) for side in box],
                "iscrowd": 0,
            }
        )
    return numbers, segments
