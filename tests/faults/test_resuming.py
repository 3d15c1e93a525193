"""Whose options count when a run is resumed, restarted, or comes from someone else."""

import json

import pytest

from depth.checkpoint import save_checkpoint
from depth.config import Config
from depth.options import DataOptions, LogOptions, TrainOptions
from depth.resuming import restarted, resume_command, resumed
from depth.run_folder import create_run
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


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": 3}', '{"config": {"log": {"model_name": "../x"}}}'])
def test_a_malformed_record_is_a_user_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="--resume"):
        resumed(Config(log=LogOptions(resume=str(tmp_path))))


def test_torchruns_restart_goes_on_from_the_checkpoint(tmp_path, monkeypatch):
    config = Config(log=LogOptions(log_dir=str(tmp_path), model_name="run"))
    assert restarted(config) is config
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert restarted(config).log.resume is None, "killed before its first checkpoint: from the start"
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    save_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt", {})
    assert restarted(config).log.resume == str(tmp_path / "run")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert restarted(config).log.resume is None, "a first start never takes another run for its own"
    with pytest.raises(UserError, match="--model_name"):
        restarted(Config())


def test_a_taken_name_is_refused_but_to_a_restart(tmp_path):
    folder = create_run(str(tmp_path), "run", "x", {})
    with pytest.raises(UserError, match="holds a run already"):
        create_run(str(tmp_path), "run", "x", {})
    assert create_run(str(tmp_path), "run", "x", {}, again=True) == folder


def test_the_command_to_go_on(tmp_path, monkeypatch):
    config = Config(data=DataOptions(cache_dir="my cache"), train=TrainOptions(device="cpu"))
    assert resume_command(config, tmp_path / "a b", 1) == (
        f"python train.py --resume '{tmp_path}/a b' --cache_dir 'my cache' --device cpu"
    )
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert resume_command(Config(), tmp_path, 4).startswith("torchrun --nproc_per_node 2 train.py --resume ")
