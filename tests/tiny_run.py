"""A run whose networks have learnt nothing, as train.py would leave it."""

from pathlib import Path

import torch

from depth.build import build_objective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.runs.checkpoint import load_checkpoint, save_checkpoint

HEIGHT, WIDTH = 64, 96


def save_run(
    folder: Path,
    depth_net: str = "resnet",
    use_stereo: bool = False,
    attention: bool = False,
    dejavu: bool = False,
    edit: str = DejaVuOptions.edit,
    encoder: str | None = None,
) -> Path:
    """Writes folder/checkpoints/last.pt and returns the folder."""
    torch.manual_seed(0)
    data = DataOptions(dataset="synthetic", height=HEIGHT, width=WIDTH, use_stereo=use_stereo)
    network = NetworkOptions(depth_net=depth_net, encoder=encoder, encoder_weights="scratch")
    branch = DejaVuOptions(dejavu=dejavu, dejavu_attention=attention, edit=edit)
    config = resolved(Config(data=data, network=network, dejavu=branch))
    objective = build_objective(config)
    # Fresh batch norms have statistics that no network keeps: an export that forgot them would not show.
    generator = torch.Generator().manual_seed(1)
    for name, buffer in objective.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2, generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    (folder / "checkpoints").mkdir(parents=True)
    state = {"config": config.to_dict(), "dataset": "synthetic", "versions": {}, "progress": {"epoch": 2, "step": 34}}
    save_checkpoint(folder / "checkpoints" / "last.pt", state | {"objective": objective.state_dict()})
    return folder


def add_best(folder: Path) -> None:
    """Beside it a best.pt, of an epoch before and with other weights: they are the last's times 1.1."""
    state = load_checkpoint(folder / "checkpoints" / "last.pt")
    weights = {name: 1.1 * v if v.is_floating_point() else v for name, v in state.pop("objective").items()}
    networks = {"depth": {}, "pose": {}}
    for name, value in weights.items():
        network, _, rest = name.partition("_net.")
        networks[network][rest] = value
    state |= {"networks": networks, "progress": {"epoch": 1, "step": 17}, "chosen_by": "lowest toy score"}
    save_checkpoint(folder / "checkpoints" / "best.pt", state)
