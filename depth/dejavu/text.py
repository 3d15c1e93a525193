"""DejaVu-TS: the regenerated image must look to CLIP like the clean one.

Source: DejaVu (Borse et al., CVPR 2023), text supervision; CLIP: Radford et al., ICML 2021. The model comes from
OpenCLIP, in the project's `text` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.dejavu.losses import text_loss
from depth.losses.perceptual import freeze, own_randomness
from depth.support.quiet import quiet_loggers
from depth.types import UserError, reason_of

# Channel statistics of CLIP's training images (the paper's released code).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class TextSupervision(nn.Module):
    """Distance between CLIP's views of a regenerated image and of its target.

    Args:
        tower: normalised images (B,3,size,size) -> features (B,D). A module is frozen in place and hidden: see
            depth.losses.perceptual.freeze.
        size: side in pixels of the tower's input. Whole images are squeezed to it, not cropped.
        names: (K,D), text features of class names, of unit length; None compares the features themselves.
        mean, std: per channel, of the images in [0,1] that the tower expects.

    Always in eval mode. The gradient reaches the regenerated image only.
    """

    def __init__(
        self,
        tower: Callable[[Tensor], Tensor],
        size: int,
        names: Tensor | None = None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        super().__init__()
        self.tower = freeze(tower) if isinstance(tower, nn.Module) else tower
        self.size = size
        self.register_buffer("names", names, persistent=False)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> TextSupervision:
        """Stays in eval mode, whatever is asked."""
        return super().train(False)

    def forward(self, regenerated: Tensor, target: Tensor) -> Tensor:
        """(B,3,H,W) each, in [0,1] -> scalar, float32: `text_loss` of their features.

        CLIP runs in float32 under autocast too: in bfloat16 ViT-B/32's gradient to the image is off by 14 %.
        """
        with torch.autocast(target.device.type, enabled=False):
            with torch.no_grad():
                reference = self.features(target)
            return text_loss(self.features(regenerated), reference, self.names)

    def features(self, image: Tensor) -> Tensor:
        """CLIP's image features as the tower gives them, (B,3,H,W) in [0,1] -> (B,D)."""
        square = F.interpolate(image.float(), (self.size, self.size), mode="bicubic", antialias=True)
        return self.tower((square - self.mean) / self.std)


def text_supervision_from_clip(
    model: nn.Module, tokenizer: Callable[[list[str]], Tensor], class_names: Sequence[str] = ()
) -> TextSupervision:
    """Takes the image tower out of an OpenCLIP model, and what its text tower makes of the names.

    model: an open_clip CLIP; its image tower is frozen in place. tokenizer: names -> tokens (K,L).
    """
    names = None
    if class_names:
        model.eval()
        with torch.no_grad():
            names = model.encode_text(tokenizer(list(class_names)), normalize=True)
    size = model.visual.image_size
    size = size if isinstance(size, int) else size[0]
    # Models made without weights carry no statistics.
    mean, std = getattr(model.visual, "image_mean", None), getattr(model.visual, "image_std", None)
    return TextSupervision(model.visual, size, names, mean or MEAN, std or STD)


def load_text_supervision(
    model_name: str = "ViT-B-32", weights: str = "openai", class_names: Sequence[str] = ()
) -> TextSupervision:
    """Builds a model of OpenCLIP's.

    Args:
        model_name: OpenCLIP's name of the architecture.
        weights: a tag of OpenCLIP's (fetched once into its cache), a file with the model's state dict, or `random`
            (the same each time; the global random state is left alone).
        class_names: names whose similarities are compared; empty compares the image features.

    Raises UserError where the package or the weights cannot be had, or the name is unknown.
    """
    try:
        import open_clip
    except ImportError as error:
        raise UserError(
            "--dejavu_text needs the package open_clip_torch; install it with: pip install '.[text]'"
        ) from error
    if model_name not in open_clip.list_models():
        raise UserError(f"OpenCLIP has no model {model_name!r}; open_clip.list_models() names them, e.g. ViT-B-32")
    pretrained, quick_gelu = None, False
    if weights != "random":
        pretrained, quick_gelu = weights, _trained_with_quick_gelu(open_clip, model_name, weights)
    try:
        # Without a network Hugging Face logs a minute of retries, each line twice; the one error says it all.
        with own_randomness(), quiet_loggers():
            model = open_clip.create_model(model_name, pretrained=pretrained, force_quick_gelu=quick_gelu)
    except Exception as error:  # the network, the cache, a damaged or foreign file: it fails in nearly any way
        raise UserError(
            f"CLIP weights {weights!r} of {model_name} cannot be had ({reason_of(error)}); put them into OpenCLIP's "
            "cache, or name a file with the model's state dict"
        ) from None
    return text_supervision_from_clip(model, open_clip.get_tokenizer(model_name), class_names)


def _trained_with_quick_gelu(open_clip: ModuleType, model_name: str, weights: str) -> bool:
    """OpenAI's weights were trained with an activation that the architecture's name does not tell; a tag does.

    Raises UserError where the weights are neither a file nor a tag of the model.
    """
    if Path(weights).is_file():
        return False
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if weights not in tags:
        raise UserError(f"CLIP weights {weights!r}: neither a file nor a tag of {model_name} ({', '.join(tags)})")
    return open_clip.get_pretrained_cfg(model_name, weights).get("quick_gelu", False)
