"""A run's name, and what its reader should know."""

import pytest

from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.describe import remarks, run_name
from depth.options.network import NetworkOptions

SAID = "DejaVu: the edit is spectral, C is the prediction of depth"


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
        ({"dataset": "synthetic"}, {}, []),
        ({"dataset": "synthetic", "split": "mine"}, {}, ["--split mine is not used"]),
        ({"dataset": "synthetic"}, {"dejavu": True}, [SAID]),  # the Lite distance
        ({"dataset": "synthetic"}, {"dejavu": True, "perceptual": "lpips"}, [SAID, "LPIPS has a random"]),
        ({"dataset": "synthetic"}, {"dejavu": True, "dejavu_lpips": 0.0}, [SAID]),
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
