"""Makes the pictures of docs/images: every edit on a frame of the embedded world, and what a trained run regenerates.

    python docs/make_gallery.py                    # edits.png
    python docs/make_gallery.py --run runs/NAME    # and regeneration_EDIT.png, with the run's own last checkpoint

Run it from the checkout's root. The same frame and seed give the same pictures.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from datasets.core.augment import prepare  # noqa: E402
from datasets.core.frames import FrameDataset, collate  # noqa: E402
from datasets.core.splits import load_split  # noqa: E402
from datasets.kitti.layout import KittiRaw  # noqa: E402
from datasets.locate import default_cache_dir, find_data  # noqa: E402
from depth.build import build_objective  # noqa: E402
from depth.dejavu.edits import EDITS, build_edit, default_block  # noqa: E402
from depth.options.config import config_from_dict, resolved  # noqa: E402
from depth.runs.checkpoint import load_resumable, load_weights  # noqa: E402
from depth.support.cli import parse, run  # noqa: E402
from depth.support.files import write_file  # noqa: E402
from depth.training.monitor import colour_map  # noqa: E402
from depth.types import FrameBatch, UserError  # noqa: E402

_ALIASES = {
    "blocks": "blocks = spatial",
    "bandstop": "bandstop = spectral = middle",
    "highpass": "highpass, + 0.5 to be seen",
}
_COLUMNS = 3
_CAPTION = 22  # pixels


@dataclass(frozen=True)
class Options:
    """What is drawn, and where to."""

    run: str | None = None
    """Folder of a run that was trained with --dejavu on the embedded world."""
    out: str = "docs/images"
    """Folder of the pictures."""
    frames: tuple[int, ...] = (0, 20, 40)
    """Test frames of the regeneration sheet; the first one is also that of the edits."""
    height: int = 96
    """Rows of the frame that is edited, in pixels."""
    width: int = 320
    """Columns of the frame that is edited, in pixels."""
    cache_dir: str | None = None
    """Folder of the embedded world. Default: $DEJAVU_CACHE, then ~/.cache/dejavu-depth."""


def main() -> None:
    """Writes the pictures that were asked for. Raises UserError for bad flags."""
    options = parse(Options, __doc__)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "edits.png", edits_sheet(_frames(options, options.height, options.width, options.frames[:1]).target))
    if options.run:
        edit, sheet = regeneration_sheet(options, Path(options.run))
        _write(out / f"regeneration_{edit}.png", sheet)


def edits_sheet(image: Tensor) -> np.ndarray:
    """Every edit with its default settings on an image (1,3,H,W): BGR."""
    tiles = {"the frame": image}
    for name in EDITS:
        if name in ("none", "spatial", "spectral", "middle"):  # other names of the frame, blocks and bandstop
            continue
        torch.manual_seed(0)
        edited = build_edit(name, block=default_block(image.shape[-1]))(image)
        # Without the mean, half of the values are below 0.
        tiles[_ALIASES.get(name, name)] = edited + 0.5 if name == "highpass" else edited
    captioned = [_tile(name, _bgr(picture[0])) for name, picture in tiles.items()]
    captioned += [np.full_like(captioned[0], 255)] * (-len(captioned) % _COLUMNS)
    rows = [np.concatenate(captioned[i : i + _COLUMNS], 1) for i in range(0, len(captioned), _COLUMNS)]
    return np.concatenate(rows)


def regeneration_sheet(options: Options, folder: Path) -> tuple[str, np.ndarray]:
    """The run's edit, and a row per frame: target, redacted, regenerated, disparity.

    Raises UserError for a run without DejaVu.
    """
    path, state = load_resumable(folder)
    config = resolved(config_from_dict(state["config"]))
    if not config.dejavu.dejavu:
        raise UserError(f"{folder} was trained without --dejavu")
    objective = build_objective(config)
    load_weights(objective, state["objective"], "model", path)
    batch = _frames(options, config.data.height, config.data.width, options.frames)
    torch.manual_seed(0)
    with torch.no_grad():
        disparity = objective.depth_net.eval()(batch.target).disparities[0]
        branch = objective.dejavu.eval()(batch.target, disparity)
    rows = []
    for i in range(len(batch.target)):
        pictures = {
            "target": _bgr(batch.target[i]),
            "redacted": _bgr(branch.redacted[i]),
            "regenerated": _bgr(branch.regenerated[i]),
            "disparity": colour_map(disparity[i, 0]).permute(1, 2, 0).numpy()[..., ::-1],
        }
        rows.append(np.concatenate([_tile(name, picture) for name, picture in pictures.items()], 1))
    return config.dejavu.edit, np.concatenate(rows)


def _frames(options: Options, height: int, width: int, indices: tuple[int, ...]) -> FrameBatch:
    """Test frames of the embedded world without their sources."""
    cache_dir = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    world = find_data(None, "synthetic", cache_dir).root
    refs = load_split(world / "splits", "test")
    dataset = FrameDataset(KittiRaw(world), [refs[i] for i in indices], height, width, (), augment=False)
    return prepare(collate([dataset[i] for i in range(len(dataset))]), "cpu")


def _bgr(image: Tensor) -> np.ndarray:
    """(3,H,W) RGB -> uint8 (H,W,3) BGR, clamped to [0,1]."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]


def _tile(caption: str, picture: np.ndarray) -> np.ndarray:
    strip = np.full((_CAPTION, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, caption, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(np.concatenate([strip, picture]), 0, 4, 0, 4, cv2.BORDER_CONSTANT, value=(255,) * 3)


def _write(path: Path, sheet: np.ndarray) -> None:
    data = cv2.imencode(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    write_file(path, data.tobytes())
    print(f"{path}: {len(data) / 1024:.0f} kB")


if __name__ == "__main__":
    run(main)
