"""What a checkpoint holds: options and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from depth.options.config import Config, config_from_dict, resolved
from depth.types import UserError

# Name of a network -> what its entries in a whole objective's state begin with.
_PREFIXES = {"depth": "depth_net.", "dense": "depth_net.", "pose": "pose_net."}


def config_of(state: dict[str, Any], path: Path) -> Config:
    """A checkpoint's options. Raises UserError where they are not there or malformed."""
    try:
        return resolved(config_from_dict(state["config"]))
    except KeyError as error:
        raise UserError(f"{path} has no entry {error}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def network_of(state: dict[str, Any], name: str) -> dict[str, Tensor] | None:
    """A network's state dict, out of a whole objective's where it has no entry of its own; None where there is none.

    Args:
        name: "depth", "pose", or "dense", a network of several tasks.
    """
    networks, objective = state.get("networks"), state.get("objective")
    if isinstance(networks, dict) and networks:
        return networks.get(name)
    prefix = _PREFIXES[name]
    given = objective if isinstance(objective, dict) else {}
    found = {str(key).removeprefix(prefix): value for key, value in given.items() if str(key).startswith(prefix)}
    return found or None
