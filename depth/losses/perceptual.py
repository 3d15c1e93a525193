"""LPIPS, the learned perceptual distance, frozen: it measures and is never trained, saved or counted.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018. The linear
weights are version 0.1 of the lpips package, the trunks are torchvision's.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights, WeightsEnum

from depth.support.pretrained import pretrained_state
from depth.types import UserError, reason_of

# Channel statistics that LPIPS 0.1 normalises images in [-1,1] with (the paper's released code).
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class Trunk:
    """A torchvision classifier whose `features` LPIPS reads after the layers `taps`."""

    build: Callable[[], nn.Module]
    weights: WeightsEnum
    taps: tuple[int, ...]


TRUNKS: Mapping[str, Trunk] = {
    "squeeze": Trunk(torchvision.models.squeezenet1_1, SqueezeNet1_1_Weights.IMAGENET1K_V1, (1, 4, 7, 9, 10, 11, 12)),
    "alex": Trunk(torchvision.models.alexnet, AlexNet_Weights.IMAGENET1K_V1, (1, 4, 7, 9, 11)),
    "vgg": Trunk(torchvision.models.vgg16, VGG16_Weights.IMAGENET1K_V1, (3, 8, 15, 22, 29)),
}


def freeze(module: nn.Module) -> nn.Module:
    """Makes every parameter and buffer of a module, in place, a non-persistent buffer; returns the module.

    It still follows `.to()` and computes as before, gradients pass through it to its input, and it has no
    parameters and an empty state dict, whatever it is part of.
    """
    for part in module.modules():
        tensors = dict(part.named_parameters(recurse=False)) | dict(part.named_buffers(recurse=False))
        for name, tensor in tensors.items():
            delattr(part, name)
            part.register_buffer(name, tensor.detach(), persistent=False)
    return module.eval()


@contextmanager
def own_randomness() -> Iterator[None]:
    """Draws made on the CPU inside are the same each time, and the global generators are left as they were."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would seed the GPUs' generators too.
        torch.random.default_generator.manual_seed(0)
        yield


class PerceptualLoss(nn.Module):
    """Mean LPIPS distance between a regenerated image and its target.

    Args:
        net: trunk, a name in TRUNKS.
        weights: of the trunk: `pretrained` (torchvision's, downloaded once), `random` (seeded, the global random
            state is left alone), or a file with its state dict (keys `features.*`, any float type).

    Always in eval mode, also after `.train()`; see `freeze` for what it hides. The target gets no gradient.
    Raises UserError for an unknown net, weights that cannot be had, or a file that does not fit.
    """

    term = "lpips"  # in the names of losses: regeneration_lpips

    def __init__(self, net: str = "squeeze", weights: str | Path = "pretrained") -> None:
        super().__init__()
        if net not in TRUNKS:
            raise UserError(f"unknown LPIPS net {net!r}; choose one of: {', '.join(TRUNKS)}")
        self.taps = TRUNKS[net].taps
        self.trunk = freeze(_trunk(net, weights))
        for index, weight in enumerate(_linear_weights(net)):
            self.register_buffer(f"linear_{index}", weight, persistent=False)
        shift, scale = torch.tensor(SHIFT).view(3, 1, 1), torch.tensor(SCALE).view(3, 1, 1)
        # (2x - 1 - shift) / scale in one multiply-add: from our [0,1] over LPIPS' [-1,1] to the trunk's range.
        self.register_buffer("gain", 2.0 / scale, persistent=False)
        self.register_buffer("offset", -(1.0 + shift) / scale, persistent=False)
        # Its pooling and distances take a third less time this way, on a CPU in float32 too.
        self.to(memory_format=torch.channels_last).eval()

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stays in eval mode, whatever is asked."""
        return super().train(False)

    def forward(self, regenerated: Tensor, target: Tensor) -> Tensor:
        """Scalar, 0 or more: the mean of `distances` over the batch."""
        return self.distances(regenerated, target).mean()

    def distances(self, regenerated: Tensor, target: Tensor) -> Tensor:
        """(B,3,H,W) each, in [0,1] (values beyond are taken as they are) -> (B,), float32, the LPIPS of each pair.

        The trunk runs in float32 under autocast too: in bfloat16 the gradient to the image is off by 13 %.
        """
        if regenerated.shape != target.shape or target.shape[1] != 3:
            raise ValueError(f"LPIPS compares (B,3,H,W) images of one size, got {regenerated.shape}, {target.shape}")
        with torch.autocast(target.device.type, enabled=False):
            # Apart, not as one batch: the trunk's backward then runs on half of it.
            with torch.no_grad():
                references = self._features(target)
            features = self._features(regenerated)
            distances = [
                unit_distance(feature, reference, self.get_buffer(f"linear_{index}"))
                for index, (feature, reference) in enumerate(zip(features, references, strict=True))
            ]
            return torch.stack(distances).sum(0)

    def _features(self, image: Tensor) -> list[Tensor]:
        """The trunk's activations (B,C,h,w) at its taps, float32."""
        x = torch.addcmul(self.offset, image, self.gain)
        features = []
        for index, layer in enumerate(self.trunk):
            x = layer(x)
            if index in self.taps:
                features.append(x)
        return features


def unit_distance(feature: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """Weighted squared distance of the pixels' feature vectors, each scaled to length 1, mean over the pixels.

    feature, reference (B,C,h,w), weight (C,) -> (B,). The gradient reaches `feature` only, and once.
    """
    return _UnitDistance.apply(feature, reference, weight)


class _UnitDistance(torch.autograd.Function):
    """The gradient is formed beside the value: a third of the memory traffic that recorded steps would take."""

    @staticmethod
    def forward(ctx, feature: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
        """Weighted squared distance of unit vectors, a mean over the pixels: (B,C,h,w), the same, (C,) -> (B,)."""
        pixels = feature.shape[2] * feature.shape[3]
        inverse = _inverse_length(feature)
        unit = feature * inverse
        difference = unit - reference * _inverse_length(reference)
        weighted = difference * weight.view(-1, 1, 1)
        value = difference.mul_(weighted).sum((1, 2, 3)) / pixels
        if ctx.needs_input_grad[0]:
            # With u = x / |x|: du/dx = (1 - u u^T) / |x|.
            along = (weighted * unit).sum(1, keepdim=True)
            ctx.save_for_backward(weighted.addcmul_(unit, along, value=-1.0).mul_(inverse * (2.0 / pixels)))
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * upstream.view(-1, 1, 1, 1), None, None


def _inverse_length(x: Tensor) -> Tensor:
    """1 / |x| of every pixel's vector, (B,C,h,w) -> (B,1,h,w); finite where all channels are 0."""
    return torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10)


def _trunk(net: str, weights: str | Path) -> nn.Sequential:
    """The layers of the trunk up to its last tap, in float32."""
    trunk = TRUNKS[net]
    if weights == "random":
        with own_randomness():
            features = trunk.build().features
    else:
        state = _downloaded(net) if weights == "pretrained" else _from_file(Path(weights), net)
        with torch.device("meta"):
            features = trunk.build().features
        features.load_state_dict(state, strict=True, assign=True)
    return features[: trunk.taps[-1] + 1]


def _downloaded(net: str) -> dict[str, Tensor]:
    otherwise = "do without: --lpips_weights FILE (a state dict of the trunk) or --lpips_weights random"
    return _features_of(pretrained_state(TRUNKS[net].weights, "LPIPS trunk weights", otherwise))


def _from_file(path: Path, net: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"--lpips_weights {path}: no such file (nor is it one of pretrained, random)")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file fails in nearly any way inside the unpickler
        raise UserError(f"--lpips_weights {path}: not a readable state dict ({reason_of(error)})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"--lpips_weights {path}: not a state dict of tensors")
    given = _features_of(state)
    with torch.device("meta"):
        expected = TRUNKS[net].build().features.state_dict()
    for name in sorted(expected.keys() | given.keys()):
        ours, theirs = (tuple(d[name].shape) if name in d else "absent" for d in (expected, given))
        if ours != theirs:
            raise UserError(f"--lpips_weights {path} does not fit {net}: features.{name} is {theirs}, expected {ours}")
    return given


def _features_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "features."
    return {key[len(prefix) :]: value.float() for key, value in state.items() if key.startswith(prefix)}


def _linear_weights(net: str) -> list[Tensor]:
    """One vector (C,) a tap, 0 or more each, from the lpips package's own file; the package is not imported."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package lpips is not installed; install it with: pip install lpips")
    path = Path(spec.submodule_search_locations[0]) / "weights" / "v0.1" / f"{net}.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"].flatten() for index in range(len(TRUNKS[net].taps))]
