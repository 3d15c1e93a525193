"""Reads folders that the original Monodepth2 code saved.

Only the layout of its files is known here (names and shapes of tensors); the networks are our own. The mapping,
for level and scale 0 at full resolution:

| file             | entry                                           | our network's entry               |
|------------------|-------------------------------------------------|-----------------------------------|
| encoder.pth      | encoder.X                                       | encoder.X                         |
| depth.pth        | decoder.{2(4-l)}.conv.conv, level l = 4..0      | decoder.levels.{l}.enter          |
| depth.pth        | decoder.{2(4-l)+1}.conv.conv                    | decoder.levels.{l}.merge          |
| depth.pth        | decoder.{10+s}.conv, scale s = 0..3             | decoder.heads.{s}                 |
| pose_encoder.pth | encoder.X, the first convolution on 6 channels  | encoder.X                         |
| pose.pth         | net.0, net.1, net.2, net.3                      | squeeze, conv1, conv2, pose       |

encoder.pth also holds height, width and use_stereo. Entries of the unused classifier, encoder.fc, are left out.

A folder trained with some of the scales has those heads one after the other, and each is known by its channels; that of
scale 0 is needed. A table may lie in another one (state_dict) and its names begin with module., as wrappers leave them.
Any other weight that is absent, superfluous or of another shape is an error, that of the poses only to who asks for
them: --pose_model_type shared and posecnn, and poses of more than two images, are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import models

from depth.types import UserError, reason_of

_CLASSIFIER = ("encoder.fc.weight", "encoder.fc.bias")
_SCALARS = ("height", "width", "use_stereo")
_DECODER_CHANNELS = (16, 32, 64, 128, 256)
_FIRST_HEAD = 10  # decoder.10 is the first of them, whatever its scale
_COUNTER = "num_batches_tracked"  # of batch norms; older files have none, and inference needs none
# Tables in which tables of weights lie, and what wrappers of networks put in front of names.
_TABLES = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
# (blocks of layer1..layer4, whether the blocks are bottlenecks) -> layers and torchvision's constructor
_RESNETS: dict[tuple[tuple[int, ...], bool], tuple[int, Callable[..., models.ResNet]]] = {
    ((2, 2, 2, 2), False): (18, models.resnet18),
    ((3, 4, 6, 3), False): (34, models.resnet34),
    ((3, 4, 6, 3), True): (50, models.resnet50),
    ((3, 4, 23, 3), True): (101, models.resnet101),
}

Layout = dict[str, tuple[str, tuple[int, ...]]]  # their entry -> our entry, shape


@dataclass(frozen=True)
class Monodepth2Weights:
    """An original folder: what it was trained for, and its weights under our networks' names."""

    num_layers: int  # of the depth network's ResNet
    height: int  # of the network's input, pixels
    width: int  # of the network's input, pixels
    use_stereo: bool  # trained with the other camera; its unit is then 5.4 m, the baseline being 0.1
    depth: dict[str, Tensor]  # state dict of networks.DepthNet(f"resnet{num_layers}"), of the heads those of `scales`
    scales: tuple[int, ...]  # that it was trained with, 0 among them


@dataclass(frozen=True)
class Monodepth2Poses:
    """The pose network of an original folder."""

    num_layers: int  # of its ResNet
    weights: dict[str, Tensor]  # state dict of networks.PoseNet(f"resnet{num_layers}")


def is_monodepth2_folder(path: Path) -> bool:
    """True where the folder holds encoder.pth or depth.pth, the original's names; one may be missing."""
    return any((path / name).is_file() for name in ("encoder.pth", "depth.pth"))


def load_monodepth2(folder: Path) -> Monodepth2Weights:
    """Reads an original folder without running anything that is in its files.

    Raises UserError, naming the file and the entry, where a file is absent or damaged or an entry is absent,
    unknown or of another shape.
    """
    path = folder / "encoder.pth"
    encoder = _read(path)
    height, width, use_stereo = _take_scalars(encoder, path)
    num_layers, layout, widths = _encoder_layout(encoder, path, num_images=1)
    depth = _rename(encoder, layout, path)
    path = folder / "depth.pth"
    decoder = _read(path)
    scales = _scales(decoder, path)
    depth |= _rename(decoder, _decoder_layout(widths, scales), path)
    return Monodepth2Weights(num_layers, height, width, use_stereo, depth, scales)


def load_monodepth2_poses(folder: Path) -> Monodepth2Poses | None:
    """The pose network of an original folder, None where there is none.

    Raises UserError as `load_monodepth2`, and where it is of another kind than Monodepth2's own default.
    """
    encoder_path, path = folder / "pose_encoder.pth", folder / "pose.pth"
    if not encoder_path.is_file() and not path.is_file():
        return None
    if not encoder_path.is_file():
        raise UserError(f"{path} has no pose_encoder.pth beside it: its kind, shared or posecnn, is not read")
    encoder = _read(encoder_path)
    num_layers, layout, widths = _encoder_layout(encoder, encoder_path, num_images=2)
    pose = _rename(encoder, layout, encoder_path)
    return Monodepth2Poses(num_layers, pose | _rename(_read(path), _pose_layout(widths[-1]), path))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} is missing; encoder.pth goes with depth.pth, and pose_encoder.pth with pose.pth")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file fails in nearly any way inside the unpickler
        raise UserError(f"{path} is damaged or not a file of weights: {reason_of(error)}") from None
    state = _unwrapped(state)
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise UserError(f"{path} is not a Monodepth2 file: it holds no table of named weights")
    return state


def _unwrapped(state: Any) -> Any:
    """The table of weights and scalars, out of others and with its names as the network's own."""
    if not isinstance(state, dict):
        return state
    inner = next((state[name] for name in _TABLES if isinstance(state.get(name), dict)), None)
    if inner is not None:
        return _unwrapped({name: state[name] for name in _SCALARS if name in state} | inner)
    for prefix in _PREFIXES:
        names = [key for key, value in state.items() if isinstance(value, Tensor)]
        if names and all(isinstance(name, str) and name.startswith(prefix) for name in names):
            return _unwrapped({str(key).removeprefix(prefix): value for key, value in state.items()})
    return dict(state)


def _take_scalars(state: dict[str, Any], path: Path) -> tuple[int, int, bool]:
    """Removes height, width and use_stereo from the state and returns them."""
    for key in _SCALARS:
        if key not in state:
            raise UserError(f"{path} has no entry {key}, which original folders have")
    height, width, use_stereo = (state.pop(key) for key in _SCALARS)
    for key, value in (("height", height), ("width", width)):
        if type(value) is not int or value <= 0 or value % 32:
            raise UserError(f"{path}: {key} is {str(value)[:40]}, not a positive multiple of 32")
    if type(use_stereo) is not bool:
        raise UserError(f"{path}: use_stereo is {str(use_stereo)[:40]}, not True or False")
    return height, width, use_stereo


def _encoder_layout(state: dict[str, Any], path: Path, num_images: int) -> tuple[int, Layout, tuple[int, ...]]:
    """Layers, layout and widths of the ResNet that the entries' names belong to."""
    names = [key.split(".") for key in state]
    blocks = tuple(len({n[2] for n in names if n[:2] == ["encoder", f"layer{i}"] and len(n) > 2}) for i in range(1, 5))
    bottleneck = "encoder.layer1.0.conv3.weight" in state
    if (blocks, bottleneck) not in _RESNETS:
        raise UserError(f"{path} holds no ResNet-18, -34, -50 or -101: encoder.layer1 to 4 have {blocks} blocks")
    num_layers, constructor = _RESNETS[blocks, bottleneck]
    with torch.device("meta"):
        network = constructor(weights=None)
    shapes = {f"encoder.{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    layout: Layout = {name: (name, shape) for name, shape in shapes.items() if name not in _CLASSIFIER}
    layout["encoder.conv1.weight"] = ("encoder.conv1.weight", (64, 3 * num_images, 7, 7))
    last = network.fc.in_features
    return num_layers, layout, (64, last // 8, last // 4, last // 2, last)


def _scales(state: dict[str, Any], path: Path) -> tuple[int, ...]:
    """The scales of the heads in their order. Raises UserError where there is none of scale 0."""
    scales: list[int] = []
    while isinstance(weight := state.get(f"decoder.{_FIRST_HEAD + len(scales)}.conv.weight"), Tensor):
        channels = weight.shape[1] if weight.dim() == 4 else 0
        if channels not in _DECODER_CHANNELS[:4]:
            break  # of another shape than any: who compares the shapes says so
        scales.append(_DECODER_CHANNELS.index(channels))
    if 0 not in scales:
        raise UserError(f"{path} has no head of scale 0 (decoder.{_FIRST_HEAD}.conv.weight, 16 channels in)")
    return tuple(scales)


def _decoder_layout(encoder_widths: tuple[int, ...], scales: tuple[int, ...]) -> Layout:
    layout: Layout = {}
    for level, width in enumerate(_DECODER_CHANNELS):
        first = 2 * (4 - level)
        entering = encoder_widths[-1] if level == 4 else _DECODER_CHANNELS[level + 1]
        skip = encoder_widths[level - 1] if level else 0
        layout |= _conv(f"decoder.{first}.conv.conv", f"decoder.levels.{level}.enter", (width, entering, 3, 3))
        layout |= _conv(f"decoder.{first + 1}.conv.conv", f"decoder.levels.{level}.merge", (width, width + skip, 3, 3))
    for place, scale in enumerate(scales, start=_FIRST_HEAD):
        layout |= _conv(f"decoder.{place}.conv", f"decoder.heads.{scale}", (1, _DECODER_CHANNELS[scale], 3, 3))
    return layout


def _pose_layout(encoder_width: int) -> Layout:
    return (
        _conv("net.0", "squeeze", (256, encoder_width, 1, 1))
        | _conv("net.1", "conv1", (256, 256, 3, 3))
        | _conv("net.2", "conv2", (256, 256, 3, 3))
        | _conv("net.3", "pose", (12, 256, 1, 1))
    )


def _conv(theirs: str, ours: str, shape: tuple[int, ...]) -> Layout:
    return {f"{theirs}.weight": (f"{ours}.weight", shape), f"{theirs}.bias": (f"{ours}.bias", shape[:1])}


def _rename(state: dict[str, Any], layout: Layout, path: Path) -> dict[str, Tensor]:
    """The state under our names. Raises UserError where its weights are not exactly those of the layout."""
    unknown = sorted({name for name, value in state.items() if isinstance(value, Tensor)} - {*layout, *_CLASSIFIER})
    if unknown:
        raise UserError(f"{path} has the unknown entry {unknown[0]} ({len(unknown)} in all); not an original folder?")
    renamed: dict[str, Tensor] = {}
    for theirs, (ours, shape) in layout.items():
        value = state.get(theirs, torch.tensor(0) if theirs.endswith(_COUNTER) else None)
        if not isinstance(value, Tensor):
            raise UserError(f"{path} has no tensor {theirs}; not an original folder, or a truncated one?")
        if tuple(value.shape) != shape:
            raise UserError(f"{path}: {theirs} has shape {tuple(value.shape)}, expected {shape}")
        renamed[ours] = value
    return renamed
