"""--preset: tables of defaults for train.py. A flag that is given counts more than the preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from depth.networks.encoders import check_encoder
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.train import TrainOptions
from depth.support.cli import parse
from depth.types import UserError

# Monodepth2's settings (Godard et al., ICCV 2019). Ours: the batches of 4, which are for the GPU's memory.
PRESETS: Mapping[str, Config] = {
    "kitti": Config(
        data=DataOptions(height=192, width=640),
        train=TrainOptions(batch_size=12, num_epochs=20, learning_rate=1e-4, scheduler_step_size=15),
    ),
    "kitti_hr": Config(data=DataOptions(height=320, width=1024), train=TrainOptions(batch_size=4)),
    "small_gpu": Config(data=DataOptions(height=192, width=640), train=TrainOptions(batch_size=4)),
    "demo": Config(
        data=DataOptions(dataset="synthetic", use_stereo=True),
        dejavu=DejaVuOptions(dejavu=True),
        train=TrainOptions(num_epochs=4),
    ),
}


def parse_training(description: str, arguments: Sequence[str] | None = None) -> Config:
    """The flags of train.py, with --preset's defaults under them.

    Raises:
        UserError: a flag or a value that is not known, an encoder too, a preset for a run that is resumed, or options
            of the DejaVu branch without it.
        SystemExit: after --help.
    """
    config = parse(Config, description, arguments)
    if config.train.preset is not None:
        if config.log.resume:
            raise UserError("--preset has no place beside --resume: a run goes on with its own options")
        config = parse(Config, description, arguments, PRESETS[config.train.preset])
    config.dejavu.check_used()
    for encoder in filter(None, (config.network.depth_encoder, config.network.pose_encoder)):
        check_encoder(encoder)
    return config
