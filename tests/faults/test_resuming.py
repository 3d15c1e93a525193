"""Whose options count when a run is resumed, restarted, or comes from someone else."""

import json
from dataclasses import replace

import pytest
import torch

from depth.options.config import Config, config_from_dict
from depth.options.data import DataOptions
from depth.options.log import LogOptions
from depth.options.train import TrainOptions
from depth.runs.checkpoint import load_checkpoint, save_checkpoint
from depth.runs.resuming import keep_changes, load_same, open_run, restarted, resume_command, resumed, was_restarted
from depth.runs.run_folder import create_run, read_run
from depth.support.distributed import Process
from depth.types import UserError


def _run(folder, config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"config": config.to_dict()}))
    return Config(log=LogOptions(resume=str(folder)))


def test_a_run_keeps_its_options_and_the_machine_is_the_commands(tmp_path):
    saved = Config(
        data=DataOptions(data_path="/data", split="mine", num_workers=9, cache_dir="/elsewhere"),
        train=TrainOptions(num_epochs=7, device="cuda:3", seed=5),
        log=LogOptions(log_dir="/elsewhere", val_samples=3),
    )
    config = resumed(_run(tmp_path, saved))
    assert (config.data.split, config.train.seed, config.log.val_samples) == ("mine", 5, 3)
    assert (config.data.data_path, config.train.num_epochs) == ("/data", 7)
    # A record that somebody sent neither chooses where files are written nor how many processes are started.
    assert (config.data.cache_dir, config.data.num_workers, config.train.device) == (None, None, None)
    assert config.log.resume == str(tmp_path)
    longer = Config(train=TrainOptions(num_epochs=9), log=LogOptions(resume=str(tmp_path)))
    assert resumed(longer).train.num_epochs == 9


def test_a_flag_that_would_be_ignored_is_refused(tmp_path):
    resume = _run(tmp_path, Config(train=TrainOptions(seed=5, learning_rate=1e-3)))
    with pytest.raises(UserError, match="^--learning_rate has no place beside --resume: .* 0.001$"):
        resumed(replace(resume, train=TrainOptions(learning_rate=0.5)))
    with pytest.raises(UserError, match="--model_name"):
        resumed(replace(resume, log=replace(resume.log, model_name="other")))
    # torchrun starts a run again by its first command.
    assert resumed(replace(resume, train=TrainOptions(seed=5, learning_rate=1e-3))).train.seed == 5


@pytest.mark.parametrize(
    "value", [torch.zeros(2), torch.zeros(9, 9), 10**5000, [], {}], ids=["pair", "table", "number", "list", "dict"]
)
@pytest.mark.parametrize("option", ["dataset", "split", "use_stereo"])
def test_a_value_of_no_use_is_a_user_error_of_one_line(option, value):
    with pytest.raises(UserError, match=f"^config: data.{option} |^--{option} ") as error:
        config_from_dict({"data": {option: value}})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["\n", "a\nb", 10**5000, None], ids=["end", "lines", "number", "none"])
def test_a_name_of_no_use_is_a_user_error_of_one_line(name):
    for values in ({name: {}}, {"data": {name: 1}}):
        with pytest.raises(UserError, match="^config: unknown .*cannot be printed") as error:
            config_from_dict(values)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": 3}', '{"config": {"log": {"model_name": "../x"}}}'])
def test_a_malformed_record_is_a_user_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="--resume"):
        resumed(Config(log=LogOptions(resume=str(tmp_path))))


def test_torchruns_restart_goes_on_from_the_checkpoint(tmp_path, monkeypatch):
    config = Config(log=LogOptions(log_dir=str(tmp_path), model_name="run"))
    assert restarted(config, again=True) is config, "without torchrun"
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    assert restarted(config, again=True).log.resume is None, "killed before its first checkpoint: from the start"
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    save_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt", {})
    assert restarted(config, again=True).log.resume == str(tmp_path / "run")
    assert restarted(config, again=False).log.resume is None, "a first start never takes another run for its own"
    with pytest.raises(UserError, match="--model_name"):
        restarted(Config(), again=True)


def test_torchruns_count_of_restarts(monkeypatch):
    alone = Process(0, 1, torch.device("cpu"))
    assert not was_restarted(alone)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert was_restarted(alone)


def test_processes_that_find_different_checkpoints_are_refused(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    save_checkpoint(tmp_path / "checkpoints" / "last.pt", {"progress": {"step": 4}})
    process = Process(1, 2, torch.device("cpu"))
    assert load_same(tmp_path, process)[1]["progress"]["step"] == 4
    monkeypatch.setattr("depth.runs.resuming.from_main", lambda _value: 7)
    with pytest.raises(UserError, match="is at step 4, the main process's at 7"):
        load_same(tmp_path, process)


def test_a_taken_name_is_refused_but_to_a_restart(tmp_path):
    folder, _ = create_run(str(tmp_path), "run", "x", {})
    assert create_run(str(tmp_path), "run", "x", {})[0] == folder  # a run that died before its first checkpoint
    (folder / "checkpoints" / "last.pt").write_bytes(b"")
    with pytest.raises(UserError, match="holds a run already"):
        create_run(str(tmp_path), "run", "x", {})
    assert create_run(str(tmp_path), "run", "x", {}, again=True)[0] == folder


def test_the_command_to_go_on(tmp_path, monkeypatch):
    config = Config(data=DataOptions(cache_dir="my cache"), train=TrainOptions(device="cpu"))
    assert resume_command(config, tmp_path / "a b", 1) == (
        f"python train.py --resume '{tmp_path}/a b' --cache_dir 'my cache' --device cpu"
    )
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert resume_command(Config(), tmp_path, 4).startswith("torchrun --nproc_per_node 2 train.py --resume ")


def test_a_run_that_was_made_longer_stays_so(tmp_path):
    """The command that an interrupted training prints, --resume RUN, goes on to the new end."""
    config = Config(data=DataOptions(data_path="/data"), train=TrainOptions(num_epochs=2, seed=5))
    folder, claim = create_run(str(tmp_path), "run", "x", {"config": config.to_dict(), "versions": {"torch": "1"}})
    claim.close()
    resume = LogOptions(resume=str(folder))
    longer = Config(data=DataOptions(data_path="/moved"), train=TrainOptions(num_epochs=4, max_steps=9), log=resume)
    open_run(resumed(longer), {"config": {}, "versions": {}}, again=False)[1].close()
    assert resumed(Config(log=resume)).train.num_epochs == 2  # a resume may still be refused
    keep_changes(resumed(longer), folder)
    again = resumed(Config(log=resume))
    assert (again.train.num_epochs, again.train.max_steps, again.data.data_path) == (4, 9, "/moved")
    assert again.train.seed == 5 and again.log.log_dir == config.log.log_dir
    assert read_run(folder)["versions"] == {"torch": "1"} and read_run(folder)["config"]["log"]["resume"] is None
    (folder / "config.json").write_text('{"versions": {}}')  # which is a run with the defaults
    keep_changes(resumed(longer), folder)
    assert resumed(Config(log=resume)).train.num_epochs == 4


def test_a_damaged_last_checkpoint_does_not_push_out_the_good_one(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for step in (1, 2):
        save_checkpoint(folder / "last.pt", {"progress": {"step": step}}, keep_previous=True)
    (folder / "last.pt").write_bytes(b"half")
    path, state = load_same(tmp_path, Process(0, 1, torch.device("cpu")))
    assert path.name == "previous.pt" and (folder / "last.damaged.pt").read_bytes() == b"half"
    save_checkpoint(folder / "last.pt", {"progress": {"step": 3}}, keep_previous=True)
    assert load_checkpoint(folder / "previous.pt")["progress"]["step"] == 1
