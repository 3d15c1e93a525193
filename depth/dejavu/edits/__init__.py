"""The edits that redact an image before it is regenerated, as kornia augmentations; EDITS names them.

Each works alone and in kornia's AugmentationSequential, is differentiable with respect to the image, leaves masks,
boxes and keypoints as they are (no pixel moves) and replays from its params: what is random is drawn from torch's
global generator in `generate_parameters` and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depth.support.parts import Parts, build_part

if TYPE_CHECKING:
    from depth.dejavu.edits.base import Edit

EDITS: Parts = {
    "pixels": "depth.dejavu.edits.spatial:DropPixels",
    "checkerboard": "depth.dejavu.edits.spatial:Checkerboard",
    "blocks": "depth.dejavu.edits.spatial:DropBlocks",
    "lowpass": "depth.dejavu.edits.spectral:LowPass",
    "bandstop": "depth.dejavu.edits.spectral:BandStop",
    "highpass": "depth.dejavu.edits.spectral:HighPass",
    "low": "depth.dejavu.edits.spectral:LowStop",
    "middle": "depth.dejavu.edits.spectral:MiddleStop",
    "high": "depth.dejavu.edits.spectral:HighStop",
    "spatial": "depth.dejavu.edits.spatial:DropBlocks",
    "spectral": "depth.dejavu.edits.spectral:BandStop",
    "none": "depth.dejavu.edits.spatial:NoEdit",
}


def build_edit(name: str, **settings: Any) -> Edit:
    """The edit of this name in EDITS, told what concerns it of the settings.

    Args:
        name: one of EDITS.
        settings: keep (pixels: probability of keeping a pixel), block (checkerboard, blocks: side in pixels),
            drop (blocks: probability of dropping one), cutoff (lowpass, highpass: DCT radius), band (bandstop: DCT
            radii, low and high).

    Raises:
        UserError: an unknown name, or a value out of range.
    """
    return build_part(EDITS, name, "edit", **settings)


def default_block(width: int) -> int:
    """Side of a block in pixels for images of this width: 32 at 640, in proportion, at least 2."""
    return max(2, round(32 * width / 640))
