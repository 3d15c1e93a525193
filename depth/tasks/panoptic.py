"""Panoptic segmentation beside the semantics: centres and offsets, Panoptic-DeepLab (Cheng et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from depth.metrics.panoptic import INSTANCES, VOID, PanopticScore
from depth.tasks.base import Outputs, Task, nearest
from depth.tasks.semantics import Semantics
from depth.types import IGNORE, Classes, LabelMaps, Labels

# Theirs, for 1024 rows; lengths go with the height, areas with its square.
_ROWS = 1024
_SIGMA = 8.0
_LEAST_SIGMA = 4.0  # pixels, ours: a centre must be seen at small sizes too
_LEAST_STUFF = 2048
_THRESHOLD = 0.2  # of the heatmap; theirs is 0.1, above which a short training leaves noise
_WINDOW = 7  # pixels, of the search for its maxima
_MOST = 200  # centres of an image
_TIE = 1e-12
_AT_ONCE = 1 << 16  # pixels whose distances to all centres are in memory
_WHITE = np.array([0.6, 0.15, 0.75, 0.45, 0.0, 0.3])  # shares in things' colours, far apart from one to the next
_REACH = 1 / 8  # of the height in pixels is an offset for which the head says 1 (ours)


class Panoptic(Task):
    """A heatmap of the things' centres, and each pixel's offset (dy, dx) to its thing's.

    The regeneration module sees the heatmap and the offsets as shares of the image's sides.
    """

    name = "panoptic"
    labels = ("semantics", "instances")
    terms = ("centre", "offset")
    needs = ("semantics",)
    figures = ("pq", "sq", "rq", "pq_things", "pq_stuff")
    compared = "pq"
    meaning = "16-bit grey PNG: 1 + class * 1000 + number, 0 where there is none; number 0 is stuff"
    export_meaning = "(batch,3,H,W): heatmap of the things' centres, offsets dy, dx to them in pixels"
    higher_is_better = True
    # An offset's L1 pushes as hard from far as from near: without norms every ELU of the decoder was saturated after
    # 135 steps at 1e-3, and both heads constant.
    norm = True
    channels = condition_channels = 3

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.semantics = Semantics(classes)

    def losses(self, outputs: Outputs, labels: LabelMaps) -> dict[str, Tensor]:
        """`centre`, squared error of the heatmap, and `offset`, L1 over things; see Task.losses.

        The offset's is in pixels of an image of 1024 rows, for which its weight was chosen.
        """
        heatmap, offsets = self._split(outputs)
        target, wanted = panoptic_targets(labels.instances)
        known = (labels.semantics != IGNORE)[:, None]
        thing = (labels.instances > 0)[:, None]
        return {
            "centre": ((heatmap - target) ** 2 * known).sum() / known.sum().clamp_min(1),
            "offset": ((offsets - wanted).abs().sum(1, keepdim=True) * thing).sum()
            / thing.sum().clamp_min(1)
            * (_ROWS / thing.shape[-2]),
        }

    def _split(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Heatmap (B,1,H,W), and offsets (B,2,H,W) in pixels."""
        heatmap, raw = outputs[self.name].float().split([1, 2], 1)
        return heatmap, raw * (_REACH * raw.shape[-2])

    def condition(self, outputs: Outputs) -> Tensor:
        """(B,3,H,W): heatmap, dy / H, dx / W."""
        heatmap, offsets = self._split(outputs)
        height, width = offsets.shape[-2:]
        return torch.cat([heatmap, offsets[:, :1] / height, offsets[:, 1:] / width], 1)

    def exported(self, outputs: Outputs) -> Tensor:
        """Heatmap and offsets in pixels."""
        return torch.cat(self._split(outputs), 1)

    def results(self, outputs: Outputs, size: tuple[int, int]) -> np.ndarray:
        """Panoptic ids, int64 (B,H,W), see depth.metrics.panoptic."""
        classes = torch.from_numpy(self.semantics.results(outputs, size).astype(np.int64))
        raw = torch.cat(self._split(outputs), 1)
        # An upsampled offset goes as much farther.
        factors = raw.new_tensor([1, size[0] / raw.shape[-2], size[1] / raw.shape[-1]])[:, None, None]
        resized = (F.interpolate(raw, size, mode="bilinear") * factors).cpu()
        things = torch.tensor(self.classes.things)
        return np.stack([decode(c, r[0], r[1:], things).numpy() for c, r in zip(classes, resized, strict=True)])

    def truth(self, labels: Labels) -> np.ndarray:
        """int64 (H,W); a thing without a number is a crowd."""
        numbers = np.unique(labels.instances, return_inverse=True)[1].reshape(labels.instances.shape)
        if labels.instances.min() > 0:  # no pixel has number 0, so the first thing took it
            numbers = numbers + 1
        things = np.array([*self.classes.things, *[False] * (IGNORE + 1 - len(self.classes.things))])
        ids = labels.semantics.astype(np.int64) * INSTANCES + np.where(things[labels.semantics], numbers, 0)
        return np.where(labels.semantics == IGNORE, VOID, ids)

    def score(self) -> PanopticScore:
        """PQ, SQ, RQ, of all classes, things and stuff."""
        return PanopticScore(self.classes.names, self.classes.things)

    def constant(self, truths: Iterable[np.ndarray]) -> np.ndarray:
        """The most frequent class at each pixel, and no things."""
        classes = self.semantics.constant(np.where(t == VOID, IGNORE, t // INSTANCES) for t in truths)
        things = np.array(self.classes.things)[classes]
        return np.where(things, VOID, classes.astype(np.int64) * INSTANCES)

    def resize(self, result: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The nearest pixels' ids."""
        return nearest(result, size)

    def stored(self, result: np.ndarray) -> np.ndarray:
        """One more than the id."""
        return (result + 1).clip(0, 65535).astype(np.uint16)

    def picture(self, result: np.ndarray) -> np.ndarray:
        """The classes' colours, of things with as much white as tells neighbours apart; black for void."""
        classes = np.where(result == VOID, IGNORE, result // INSTANCES).astype(np.uint8)
        numbers = np.where(result == VOID, 0, result % INSTANCES)
        white = np.where(numbers > 0, _WHITE[numbers % len(_WHITE)], 0)[..., None]
        return np.rint(self.semantics.picture(classes) * (1 - white) + 255 * white).astype(np.uint8)


def panoptic_targets(instances: Tensor) -> tuple[Tensor, Tensor]:
    """What the two heads are to predict.

    Args:
        instances: uint8 (B,H,W), 1, 2, ... tell things apart.

    Returns:
        The heatmap (B,1,H,W): a Gaussian of peak 1 at the mean of each thing's pixels, merged by the maximum; and the
        offsets (B,2,H,W) from each thing's pixels to that mean, (dy, dx) in pixels, 0 elsewhere. float32.
    """
    batch, height, width = instances.shape
    most = int(instances.max())
    ids = instances.long() + (most + 1) * torch.arange(batch, device=instances.device).view(-1, 1, 1)
    rows = torch.arange(height, device=ids.device, dtype=torch.float32).view(1, -1, 1).expand(ids.shape)
    columns = torch.arange(width, device=ids.device, dtype=torch.float32).view(1, 1, -1).expand(ids.shape)
    sums = rows.new_zeros(3, batch * (most + 1))
    for total, values in zip(sums, (torch.ones_like(rows), rows, columns), strict=True):
        total.index_add_(0, ids.flatten(), values.flatten())
    y, x = (sums[1:] / sums[0].clamp_min(1)).unbind(0)
    thing = instances > 0
    offsets = torch.stack([(y[ids] - rows) * thing, (x[ids] - columns) * thing], 1)
    sigma = max(_LEAST_SIGMA, _SIGMA * height / _ROWS)
    down = torch.exp(-((rows[0, :, 0] - y[:, None]) ** 2) / (2 * sigma**2)) * (sums[0] > 0)[:, None]
    across = torch.exp(-((columns[0, 0] - x[:, None]) ** 2) / (2 * sigma**2))
    down, across = down.view(batch, most + 1, height, 1), across.view(batch, most + 1, 1, width)
    heatmap = rows.new_zeros(batch, height, width)
    for number in range(1, most + 1):
        torch.maximum(heatmap, down[:, number] * across[:, number], out=heatmap)
    return heatmap[:, None], offsets


def decode(classes: Tensor, heatmap: Tensor, offsets: Tensor, things: Tensor) -> Tensor:
    """Panoptic ids of one image, int64 (H,W): each thing pixel goes to the centre nearest to where it points.

    Args:
        classes: int64 (H,W).
        heatmap: (H,W). offsets: (2,H,W), (dy, dx) in pixels.
        things: bool (K,).
    """
    height = classes.shape[0]
    is_thing = things[classes]
    ids = torch.where(is_thing, VOID, classes * INSTANCES)
    least = _LEAST_STUFF * (height / _ROWS) ** 2
    areas = torch.bincount(classes.flatten(), minlength=len(things))
    ids[~is_thing & (areas[classes] < least)] = VOID
    centres = find_centres(heatmap * is_thing)
    pixels = is_thing.nonzero()
    if not len(centres) or not len(pixels):
        return ids
    pointed = pixels + offsets.movedim(0, 2)[is_thing]
    number = torch.cat([torch.cdist(part, centres.float()).argmin(1) for part in pointed.split(_AT_ONCE)])
    votes = torch.zeros(len(centres), len(things), dtype=torch.int64)
    votes.index_put_((number, classes[is_thing]), torch.ones_like(number), accumulate=True)
    ids[is_thing] = votes.argmax(1)[number] * INSTANCES + number + 1
    return ids


def find_centres(heatmap: Tensor) -> Tensor:
    """Rows and columns (N,2) of the maxima of a heatmap (H,W) above the threshold, the strongest first."""
    # Of equal neighbours, as where a centre lies between pixels, the first one counts.
    order = torch.arange(heatmap.numel(), dtype=torch.float64).view_as(heatmap)
    heatmap = heatmap.double() - _TIE * order
    peak = F.max_pool2d(heatmap[None], _WINDOW, 1, _WINDOW // 2)[0]
    found = ((heatmap == peak) & (heatmap > _THRESHOLD)).nonzero()
    order = heatmap[found[:, 0], found[:, 1]].argsort(descending=True, stable=True)
    return found[order[:_MOST]]
