"""A run whose networks have learnt nothing, as train.py would leave it."""

from pathlib import Path

import torch

from depth.build import build_objective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.runs.checkpoint import save_checkpoint

HEIGHT, WIDTH = 64, 96


def save_run(
    folder: Path,
    depth_net: str = "resnet",
    use_stereo: bool = False,
    attention: bool = False,
    encoder: str | None = None,
) -> Path:
    """Writes folder/checkpoints/best.pt and returns the folder."""
    torch.manual_seed(0)
    data = DataOptions(dataset="synthetic", height=HEIGHT, width=WIDTH, use_stereo=use_stereo)
    network = NetworkOptions(depth_net=depth_net, encoder=encoder, encoder_weights="scratch")
    config = resolved(Config(data=data, network=network, dejavu=DejaVuOptions(dejavu_attention=attention)))
    objective = build_objective(config)
    # Fresh batch norms have statistics that no network keeps: an export that forgot them would not show.
    generator = torch.Generator().manual_seed(1)
    for name, buffer in objective.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2, generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    (folder / "checkpoints").mkdir(parents=True)
    state = {"config": config.to_dict(), "dataset": "synthetic", "versions": {}, "progress": {}}
    save_checkpoint(folder / "checkpoints" / "best.pt", state | {"networks": objective.inference_networks()})
    return folder
