"""The options of the DejaVu branch; see depth.options."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from depth.dejavu.crm import CRMS
from depth.dejavu.edits import EDITS
from depth.options.fields import Integer, Text, check

EditName = Literal[tuple(EDITS)]  # its choices are the table's


@dataclass(frozen=True)
class DejaVuOptions:
    """The DejaVu branch: edit the frame, regenerate it from the edit and the disparity. No cost at inference."""

    dejavu: bool = False
    """Trains with the regeneration branch."""
    edit: EditName = "spectral"
    """What is removed from the frame: spectral is bandstop, spatial is blocks; low, middle and high are the
    ablation's bands; none is the control without redaction."""
    edit_keep: float = 0.5
    """pixels: share of the pixels that stays."""
    edit_block: Integer = None
    """checkerboard, blocks: edge of a block in pixels. Default: 32 at a width of 640, in proportion."""
    edit_drop: float = 0.5
    """blocks: share of the blocks that is dropped."""
    edit_cutoff: float = 0.25
    """lowpass keeps, highpass removes the radii below this, in [0,1]."""
    edit_band: tuple[float, float] = (0.08, 0.35)
    """bandstop: the radii that are removed, in [0,1]."""
    crm: Literal["auto", *CRMS] = "auto"
    """Regeneration module; auto is recursive for random edits (pixels, blocks), forward for the others; residual is
    forward that adds the edited frame to its output."""
    dejavu_condition: Literal["prediction", "detached", "none"] = "prediction"
    """What the module sees of the disparity; detached and none are controls."""
    dejavu_weight: float = 0.1
    """gamma, the weight of the whole branch."""
    dejavu_mse: float = 1.0
    """alpha, the weight of the squared error inside the branch."""
    dejavu_lpips: float = 0.1
    """beta, the weight of LPIPS inside the branch."""
    dejavu_cyclic: float = 0.0
    """DejaVu-CL: weight of the squared distance between the disparities of the regenerated and the real frame."""
    dejavu_text: float = 0.0
    """DejaVu-TS: weight of the squared distance between CLIP's features of the regenerated and the real frame."""
    text_model: str = "ViT-B-32"
    """OpenCLIP's name of the CLIP model."""
    text_weights: str = "openai"
    """Its weights: a tag of OpenCLIP's, a file with the model's state dict, or random."""
    class_names: tuple[str, ...] = ()
    """Names whose similarities to both frames are compared instead of the features, e.g. road car building."""
    dejavu_attention: bool = False
    """DejaVu-SA: shared attention inside the depth network, with or without --dejavu. It stays at inference; its
    reconstruction, for training only, is weighed like the branch's. The frame loses the --edit_band."""
    lpips_net: Literal["alex", "squeeze", "vgg"] = "alex"
    """Trunk of LPIPS."""
    lpips_weights: Text = None
    """pretrained, random, or a file with the trunk's state dict. Default: pretrained where the depth network's
    encoder is fetched too, else random, so that nothing is; a random trunk still compares structure, but its distances
    are not LPIPS's."""

    def __post_init__(self) -> None:
        low, high = self.edit_band
        check(0 <= low < high <= 1, f"--edit_band {low} {high} is not two radii 0 <= low < high <= 1")
        for name in ("edit_keep", "edit_drop", "edit_cutoff"):
            check(0 <= getattr(self, name) <= 1, f"--{name} {getattr(self, name)} is not in [0,1]")
        for name in ("dejavu_weight", "dejavu_mse", "dejavu_lpips", "dejavu_cyclic", "dejavu_text"):
            check(getattr(self, name) >= 0, f"--{name} is 0 or more")
        for name in ("dejavu_cyclic", "dejavu_text"):
            check(self.dejavu or not getattr(self, name), f"--{name} needs --dejavu, which regenerates the frame")
        check(not self.class_names or self.dejavu_text > 0, "--class_names needs --dejavu_text")
        check(self.edit_block is None or self.edit_block > 0, "--edit_block is a number of pixels")

    def check_used(self) -> None:
        """Raises UserError for options without effect: a baseline would pass for a DejaVu run.

        Not checked when an instance is made: the records of older runs hold such options.
        """
        if self.dejavu:
            image_terms = self.dejavu_weight * (self.dejavu_mse + self.dejavu_lpips)
            check(
                image_terms + self.dejavu_cyclic + self.dejavu_text > 0,
                "--dejavu has no weight above 0: leave it out, or raise --dejavu_weight",
            )
            return
        read = {"dejavu_attention", *(_OF_ATTENTION if self.dejavu_attention else ())}
        idle = [f.name for f in fields(self) if f.name not in read and getattr(self, f.name) != f.default]
        check(not idle, f"--{' --'.join(idle)} without --dejavu has no effect: add --dejavu, or leave it out")


# What DejaVu-SA reads without the branch.
_OF_ATTENTION = ("edit_band", "dejavu_weight", "dejavu_mse", "dejavu_lpips", "lpips_net", "lpips_weights")
