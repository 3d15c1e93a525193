"""Which encoders are chosen, how they begin by default, and what older records said."""

import json

import pytest

from depth.options.config import Config, config_from_dict, resolved
from depth.options.data import DataOptions
from depth.options.describe import run_name
from depth.options.network import NetworkOptions
from depth.options.presets import parse_training
from depth.types import UserError

LITE = "timm/tf_efficientnet_lite0"


def started(dataset="kitti", **network):
    """(encoder_weights, pose_encoder_weights, lpips_weights) of the resolved options."""
    config = resolved(Config(data=DataOptions(dataset=dataset), network=NetworkOptions(**network)))
    return config.network.encoder_weights, config.network.pose_encoder_weights, config.dejavu.lpips_weights


def test_monodepth2s_name_of_the_flag_is_the_same_flag():
    line = "--weights_init scratch"
    assert parse_training("", line.split()).network.encoder_weights == "scratch"
    assert started() == ("pretrained", "pretrained", "pretrained")
    assert started(encoder_weights="scratch") == ("scratch", "scratch", "random")


def test_for_the_embedded_world_nothing_is_fetched():
    """Its default encoder has its weights out of a package; a ResNet there starts from scratch."""
    assert started("synthetic") == ("pretrained", "pretrained", None)  # the Lite distance: tests/losses
    assert started("synthetic", num_layers=18) == ("scratch", "scratch", "random")
    assert started("synthetic", pose_encoder="resnet18") == ("pretrained", "scratch", None)


def test_the_embedded_world_has_its_own_default_encoder():
    def encoders(dataset, **network):
        found = resolved(Config(data=DataOptions(dataset=dataset), network=NetworkOptions(**network))).network
        return found.depth_encoder, found.pose_encoder

    assert encoders("kitti") == ("resnet18", "resnet18")
    assert encoders("synthetic") == (LITE, LITE)
    assert encoders("synthetic", num_layers=18) == ("resnet18", "resnet18"), "as the record of an older run names it"
    assert encoders("synthetic", encoder="resnet34", pose_encoder="resnet18") == ("resnet34", "resnet18")
    again = resolved(Config(data=DataOptions(dataset="synthetic")))
    assert resolved(again) == again


def test_a_file_serves_both_networks_only_where_both_have_that_encoder():
    assert started(encoder_weights="r.pth")[:2] == ("r.pth", "r.pth")
    given = started(encoder=LITE, encoder_weights="e.pth", pose_encoder_weights="scratch")
    assert given[:2] == ("e.pth", "scratch")
    with pytest.raises(
        UserError, match="--encoder_weights e.pth is for resnet50: .*--pose_encoder_weights how resnet18"
    ):
        started(encoder="resnet50", encoder_weights="e.pth")


def test_with_an_encoder_that_pip_pretrains_nothing_is_fetched():
    config = resolved(Config(data=DataOptions(dataset="kitti"), network=NetworkOptions(encoder=LITE)))
    assert (config.network.pose_encoder, config.network.pose_encoder_weights) == (LITE, "pretrained")
    assert config.dejavu.perceptual == "lite"
    other = NetworkOptions(encoder=LITE, pose_encoder="resnet18")
    assert resolved(Config(data=DataOptions(dataset="kitti"), network=other)).network.pose_encoder == "resnet18"


def test_records_of_older_runs_are_read():
    old = {"network": {"num_layers": 50, "weights_init": "pretrained", "depth_net": "resnet"}}
    network = resolved(config_from_dict(json.loads(json.dumps(old)))).network
    assert (network.depth_encoder, network.pose_encoder) == ("resnet50", "resnet18")
    assert (network.encoder_weights, network.pose_encoder_weights) == ("pretrained", "pretrained")


def test_contradictions_and_misspelt_names_are_told_before_anything_is_read():
    for line, message in {
        "--encoder resnet50 --num_layers 34": "both choose the encoder",
        "--encoder resnet18 --depth_net packnet": "packnet has its own",
        "--encoder resnet19": "unknown encoder 'resnet19'; did you mean .*resnet18",
        "--pose_encoder resnet": "unknown encoder 'resnet'",
    }.items():
        with pytest.raises(UserError, match=message):
            parse_training("", line.split())


def test_a_run_is_named_after_its_encoder():
    assert run_name(Config(network=NetworkOptions(encoder=LITE))) == "tf_efficientnet_lite0"
    assert run_name(Config(network=NetworkOptions(num_layers=50))) == "resnet50"
