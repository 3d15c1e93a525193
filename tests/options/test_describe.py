"""A run's name, and what its reader should know."""

import pytest

from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.describe import remarks, run_name
from depth.options.network import NetworkOptions

TURNED = "training turns its cameras up or down by up to 2.2 degrees"
SAID = "DejaVu: the edit is spatial, C is the prediction of depth"


@pytest.mark.parametrize(
    ("network", "dejavu", "name"),
    [
        ({"num_layers": 50}, {}, "resnet50"),
        ({"depth_net": "packnet"}, {"dejavu": True, "edit": "blocks"}, "packnet_dejavu-blocks"),
        ({}, {"dejavu_attention": True}, "resnet18_attention"),
    ],
)
def test_a_run_is_called_after_what_is_trained(network, dejavu, name):
    assert run_name(Config(network=NetworkOptions(**network), dejavu=DejaVuOptions(**dejavu))) == name


@pytest.mark.parametrize(
    ("data", "dejavu", "expected"),
    [
        ({"dataset": "kitti", "split": "mine"}, {}, []),
        ({"dataset": "synthetic"}, {}, [TURNED]),
        ({"dataset": "synthetic", "use_stereo": True}, {}, []),
        (
            {"dataset": "kitti", "pitch_jitter": 5.0},
            {},
            ["training turns its cameras up or down by up to 5 degrees"],
        ),
        ({"dataset": "synthetic", "split": "mine"}, {}, ["--split mine is not used", TURNED]),
        ({"dataset": "synthetic", "split": "splits/synthetic/train.txt"}, {}, [TURNED]),
        ({"dataset": "synthetic"}, {"dejavu": True}, [TURNED, SAID]),  # the Lite distance
        ({"dataset": "synthetic"}, {"dejavu": True, "perceptual": "lpips"}, [TURNED, SAID, "LPIPS has a random"]),
        ({"dataset": "synthetic"}, {"dejavu": True, "dejavu_lpips": 0.0}, [TURNED, SAID]),
        (
            {"dataset": "kitti"},
            {"dejavu": True, "dejavu_text": 1.0, "text_weights": "random"},
            [SAID, "CLIP has random"],
        ),
    ],
)
def test_remarks(data, dejavu, expected):
    found = remarks(resolved(Config(data=DataOptions(**data), dejavu=DejaVuOptions(**dejavu))))
    assert len(found) == len(expected) and all(
        line.startswith(begin) for line, begin in zip(found, expected, strict=True)
    )
