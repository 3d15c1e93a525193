"""Options: defaults by dataset, checks, round trip; the command line's one-line errors."""

import json
from dataclasses import fields, replace
from typing import get_args, get_type_hints

import docstring_parser
import pytest

from benchmarks.throughput import ThroughputOptions
from datasets.labelled import LABELLED
from depth.dejavu.branch import CONDITIONS
from depth.dejavu.crm import CRMS
from depth.dejavu.edits import EDITS
from depth.losses.perceptual import TRUNKS
from depth.networks import DEPTH_NETS
from depth.options.config import Config, config_from_dict, resolved
from depth.options.data import LABELLED_DATASETS, DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.evaluate import DenseOptions, EvaluationOptions, PoseOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.predict import ExportOptions, PredictOptions
from depth.options.presets import PRESETS, parse_training
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions
from depth.support.cli import parse
from depth.types import UserError


def test_flags_reach_the_config():
    line = "--dejavu --edit blocks --height 96 --width 320 --frame_ids 0 -1 --edit_band 0.1 0.2 --skip_missing"
    config = parse(Config, "", line.split())
    assert config.dejavu.dejavu and config.dejavu.edit == "blocks" and config.dejavu.edit_band == (0.1, 0.2)
    assert config.data.height == 96 and config.data.frame_ids == (0, -1) and config.data.skip_missing


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--edit wobble", ["--edit", "wobble", "bandstop"]),
        ("--height 100", ["--height 100", "32"]),
        ("--height tall", ["--height", "tall"]),
        ("--batch_size 0", ["--batch_size 0"]),
        ("--heigth 96", ["--heigth"]),
        ("--frame_ids -1 1", ["--frame_ids"]),
        ("--edit_band 0.5 0.1", ["--edit_band"]),
        ("--learning_rate -1", ["--learning_rate"]),
        ("--scales 1 2", ["--scales"]),
        ("--model_name a/b", ["--model_name"]),
        ("--model_name ..", ["--model_name"]),
        ("--seed -1", ["--seed"]),
        ("--image_frequency -1", ["--image_frequency -1", "0 (never)"]),
        ("--log_frequency -1", ["--log_frequency -1", "0 (never)"]),
        ("--scheduler_step_size -1", ["--scheduler_step_size -1", "0 (never)"]),
    ],
)
def test_a_bad_flag_is_one_line_that_names_it(line, words):
    with pytest.raises(UserError) as caught:
        parse(Config, "", line.split())
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


OPTIONS = [group.default_factory for group in fields(Config)]
OPTIONS += [EvaluationOptions, PoseOptions, DenseOptions, PredictOptions, ExportOptions, ThroughputOptions]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.__name__)
def test_every_option_is_documented(options):
    """By a text of its own: --help lists the others as well, without one."""
    texts = [each for part in options.__mro__[:-1] for each in docstring_parser.parse_from_object(part).params]
    documented = {each.arg_name for each in texts if each.description}
    assert not [option.name for option in fields(options) if option.name not in documented]


def test_flags_offer_what_there_is():
    """Some names stand in the options too, for the help text."""
    offered = {
        (NetworkOptions, "depth_net"): DEPTH_NETS,
        (DejaVuOptions, "edit"): set(EDITS),
        (DejaVuOptions, "crm"): {"auto", *CRMS},
        (DejaVuOptions, "dejavu_condition"): CONDITIONS,
        (DejaVuOptions, "lpips_net"): TRUNKS,
    }
    for (options, name), choices in offered.items():
        assert set(get_args(get_type_hints(options)[name])) == set(choices), name


def test_defaults_depend_on_the_dataset():
    kitti, world = (
        resolved(Config()),
        resolved(Config(data=DataOptions(dataset="synthetic"), network=NetworkOptions(num_layers=18))),
    )
    assert (kitti.data.height, kitti.data.width, kitti.train.batch_size) == (192, 640, 12)
    assert kitti.network.encoder_weights == "pretrained" and world.network.encoder_weights == "scratch"
    assert (kitti.train.num_epochs, kitti.train.scheduler_step_size) == (20, 15)
    scratch = NetworkOptions(encoder_weights="scratch")
    assert resolved(Config(network=scratch)).train.num_epochs == 30
    assert resolved(Config(network=scratch, train=TrainOptions(num_epochs=4))).train.num_epochs == 4
    assert resolved(Config(network=scratch, data=DataOptions(dataset="synthetic"))).train.num_epochs == 8
    given = resolved(Config(data=DataOptions(dataset="synthetic", height=64)))
    assert given.data.height == 64


def test_the_rate_falls_as_published_but_where_trainings_are_short_or_labels_teach():
    def schedule(line: str) -> str:
        return resolved(parse_training("", line.split())).train.lr_schedule

    assert schedule("--dataset kitti") == schedule("--preset kitti_hr --load_weights_folder runs/x") == "step"
    assert schedule("--dataset synthetic") == schedule("--dataset synthetic --tasks semantics") == "poly"
    assert schedule("--dataset camvid --tasks semantics") == "poly"
    assert schedule("--dataset synthetic --scheduler_step_size 3") == "step"
    assert schedule("--dataset kitti --lr_schedule poly") == "poly"


def test_config_survives_json():
    config = resolved(Config(dejavu=DejaVuOptions(dejavu=True, edit_band=(0.1, 0.3))))
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "values",
    [[], {"data": 3}, {"extra": {}}, {"data": {"colour": 1}}, {"data": {"height": 33}}, {"data": {"height": "x"}}],
)
def test_config_from_others_is_checked(values):
    with pytest.raises(UserError):
        config_from_dict(values)


def test_a_preset_gives_defaults_and_flags_count_more():
    config = parse_training("", "--preset small_gpu --batch_size 2 --dejavu".split())
    assert (config.data.height, config.data.width, config.train.batch_size) == (192, 640, 2)
    assert config.dejavu.dejavu and config.train.preset == "small_gpu"
    assert parse_training("", ["--batch_size", "2"]).data.height is None
    assert resolved(parse_training("", ["--preset", "kitti"])).train == replace(
        resolved(Config()).train, preset="kitti"
    )  # Monodepth2's settings are the defaults on KITTI


def test_the_high_resolution_goes_on_from_a_model():
    """For 5 epochs at 1e-5, which does not fall."""
    train = resolved(parse_training("", "--preset kitti_hr --load_weights_folder runs/x".split())).train
    assert (train.batch_size, train.num_epochs) == (4, 5)
    assert (train.learning_rate, train.scheduler_step_size) == (1e-5, 0)
    with pytest.raises(UserError, match=r"asks for --load_weights_folder with a trained 640x192 model: as published"):
        parse_training("", ["--preset", "kitti_hr"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_stands_in_its_flag_and_in_the_config(name):
    start = "runs/640x192" if name == "kitti_hr" else None
    config = parse_training("", ["--preset", name, *(["--load_weights_folder", start] if start else [])])
    expected = replace(PRESETS[name], train=replace(PRESETS[name].train, preset=name))
    assert config == replace(expected, log=LogOptions(load_weights_folder=start))
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_preset_does_not_change_a_run_that_goes_on():
    with pytest.raises(UserError, match="--preset"):
        parse_training("", ["--preset", "demo", "--resume", "runs/x"])


def test_help_flows_and_has_no_empty_defaults(capsys, monkeypatch):
    """A flag's text is one paragraph, whatever the line breaks of its documentation; None is no default to read."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        parse(Config, "", ["--help"])
    rows = capsys.readouterr().out.splitlines()
    assert sum(len(row.rstrip(" │")) > 80 for row in rows) > 60  # lines are filled, not broken where the source is
    page = " ".join(" ".join(rows).replace("│", "").split())
    assert "where neither is, the embedded synthetic world is used and named in everything" in page
    assert "(default: 0.001)" in page and "(default: 0 -1 1)" in page
    assert "(default: None)" not in page and "(default: False)" not in page and "(default: )" not in page


def test_presets_of_labelled_sets_are_whole():
    """Each names its set, tasks that it can teach, and windows of a size that a network takes."""
    for name in ("cityscapes", "nyud", "camvid", "vkitti2"):
        config = resolved(parse_training("", ["--preset", name]))
        assert config.data.dataset == name and config.tasks.labelled and not config.tasks.video
        assert config.train.lr_schedule == "poly" and config.data.height % 32 == config.data.width % 32 == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--crop 64 64", ["--crop", "no effect"]),
        ("--dataset camvid", ["--dataset camvid has no video", "--depth_from labels"]),
        ("--tasks semantics --depth_from labels", ["--depth_from without --tasks depth"]),
        ("--tasks semantics --dataset video --data_path x.mp4 --fov 60", ["has no labels"]),
        ("--tasks semantics --depth_net packnet", ["--depth_net packnet"]),
        ("--tasks semantics --dejavu_attention", ["--dejavu_attention"]),
        ("--tasks depth semantics --crop 64 64", ["--crop", "--depth_from labels"]),
        ("--tasks depth semantics --scale_range 1 2", ["--scale_range"]),
        ("--tasks semantics --use_stereo", ["--use_stereo", "need video"]),
        ("--tasks depth semantics --cache x", ["--cache has no effect on tasks with labels"]),
        ("--tasks semantics --split odom", ["--split has no effect"]),
        ("--tasks semantics semantics", ["names one twice"]),
        ("--tasks semantics --dejavu --dejavu_tasks normals", ["--dejavu_tasks normals", "--tasks semantics"]),
        ("--tasks semantics --scale_range 2 1", ["--scale_range 2 1"]),
        ("--tasks semantics --crop 60 64", ["--crop 60"]),
        ("--tasks semantics --semantics_hardest 0", ["--semantics_hardest"]),
        ("--tasks wobble", ["--tasks", "wobble"]),
    ],
)
def test_tasks_that_do_not_fit_are_one_line(line, words):
    with pytest.raises(UserError) as caught:
        parse_training("", line.split())
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_labelled_sets_are_those_that_have_readers():
    assert {*LABELLED_DATASETS, "synthetic"} == set(LABELLED)


def test_panoptic_brings_semantics_along():
    tasks = TaskOptions(tasks=("panoptic", "depth"), depth_from="both", dejavu_tasks=("panoptic",))
    assert tasks.predicted == ("depth", "semantics", "panoptic") == tasks.labelled
    assert tasks.conditions == ("semantics", "panoptic") and tasks.label_kinds == ("depth", "semantics", "instances")


def test_what_depth_labels_weigh_goes_with_their_loss():
    """Logarithms are smaller than metres; what is given stands."""

    def of(dataset, **options):
        tasks = resolved(
            Config(tasks=TaskOptions(("depth",), "labels", **options), data=DataOptions(dataset=dataset))
        ).tasks
        return tasks.depth_loss, tasks.depth_weight

    assert (of("synthetic"), of("nyud")) == (("log", 10.0), ("l1", 1.0))
    assert of("nyud", depth_loss="log", depth_weight=2.0) == ("log", 2.0)
    assert of("synthetic", depth_loss="berhu") == ("berhu", 1.0)
