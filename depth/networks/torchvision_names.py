"""torchvision's names for the weights of networks whose order differs from timm's: their names under timm's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

# torchvision counts stages and the steps between them in one list, `features`: 0 is the first layer, 1, 3, 5, 7 are
# stages, 2, 4, 6 halve the size before the stage that follows.
_STAGE = re.compile(r"features\.([1357])\.(\d+)\.(.+)")
_STEP = re.compile(r"features\.([246])\.(.+)")


def _renamed(name: str, stage: str, inside: Mapping[str, str], outside: Mapping[str, str]) -> str:
    """One name; `stage` is timm's word for its list of stages, the tables are beginnings of names."""
    if found := _STAGE.fullmatch(name):
        rest = _first(found[3], inside)
        return f"{stage}.{int(found[1]) // 2}.blocks.{found[2]}.{rest}"
    if found := _STEP.fullmatch(name):
        return f"{stage}.{int(found[1]) // 2}.downsample.{found[2]}"
    return _first(name, outside)


def _first(name: str, table: Mapping[str, str]) -> str:
    for theirs, ours in table.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _convnext(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inside = {
        "block.0": "conv_dw", "block.2": "norm", "block.3": "mlp.fc1", "block.5": "mlp.fc2", "layer_scale": "gamma",
    }  # fmt: skip
    outside = {"features.0.": "stem.", "classifier.0": "head.norm", "classifier.2": "head.fc"}
    names = {name: _renamed(name, "stages", inside, outside) for name in state}
    return {new: state[name].flatten() if new.endswith("gamma") else state[name] for name, new in names.items()}


def _swin(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inside = {"mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2"}
    outside = {"features.0.0": "patch_embed.proj", "features.0.2": "patch_embed.norm", "head": "head.fc"}
    names = {name: _renamed(name, "layers", inside, outside) for name in state}
    return {new: state[name] for name, new in names.items() if not new.endswith("relative_position_index")}


# timm's module -> its names for torchvision's state dict.
RENAMES: Mapping[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "convnext": _convnext,
    "swin_transformer": _swin,
}
