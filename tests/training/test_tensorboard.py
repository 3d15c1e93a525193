"""Finished runs in TensorBoard, as a headless Chromium shows them: pictures and scalars of DejaVu and of tasks."""

import json
import re
import shutil
import subprocess
import sys
import time
from urllib.parse import quote
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
import torch

from datasets.world.making import WorldSpec, ensure_world
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.log import LogOptions
from depth.options.tasks import TaskOptions
from depth.options.train import TrainOptions
from depth.support.distributed import Process
from train import train

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PICTURES = ("1_target", "2_redacted", "3_regenerated", "4_disparity", "5_warped_source", "6_active_pixels")
SCALARS = ("loss/photometric", "loss/regeneration_mse", "loss/regeneration_lpips", "loss/total", "validation/abs_rel")
TASK_SCALARS = ("loss/semantics", "loss/centre", "loss/regeneration_mse", "validation/semantics/miou")
TASKS = ("depth", "semantics", "normals", "panoptic")
TASK_PICTURES = ("1_target", "2_redacted", "3_regenerated", *(f"9_{t}{e}" for t in TASKS for e in ("", "_label")))
SECONDS = 180

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the path"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(64, 96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4, labels=True)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


@pytest.fixture(scope="module", params=[TaskOptions(), TaskOptions(TASKS, "labels")], ids=["video", "tasks"])
def log_dir(request, world, tmp_path_factory):
    """A folder with one finished run of one step, called as what it learns from."""
    name = "tasks" if request.param.labelled else "video"
    folder = tmp_path_factory.mktemp("runs")
    config = Config(
        tasks=request.param,
        data=DataOptions(data_path=str(world), dataset="synthetic", height=64, width=96, num_workers=0),
        dejavu=DejaVuOptions(dejavu=True, perceptual="lpips"),
        train=TrainOptions(batch_size=2, max_steps=1, device="cpu"),
        log=LogOptions(log_dir=str(folder), model_name=name, log_frequency=1),
    )
    assert train(config, Process(0, 1, torch.device("cpu")))
    return folder / name


@pytest.fixture(scope="module")
def address(log_dir):
    """Where TensorBoard answers, on a port of its own choice."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir.parent)]
    command += ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    log = log_dir.parent.with_suffix(".log")
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as server:
        try:
            yield wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()))[0]
        finally:
            server.kill()


def wait_for(found):
    """The first true answer within SECONDS."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise AssertionError("TensorBoard did not answer in time")


def ask(address, path):
    with urlopen(f"{address}/data/plugin/{path}", timeout=SECONDS) as answer:
        return answer.read()


def test_tensorboard_has_the_scalars_and_pictures(address, log_dir):
    run, names = log_dir.name, TASK_PICTURES if log_dir.name == "tasks" else PICTURES
    tags = wait_for(lambda: json.loads(ask(address, "images/tags")))[run]
    assert set(tags) >= {f"validation_0/{name}" for name in names}
    scalars = set(json.loads(ask(address, "scalars/tags"))[run])
    assert scalars >= set(TASK_SCALARS if run == "tasks" else SCALARS)
    values = json.loads(ask(address, f"scalars/scalars?run={run}&tag=loss/regeneration_mse"))
    assert [step for _, step, _ in values] == [1] and values[0][2] > 0
    pictures = {}
    for name in names:
        (entry,) = json.loads(ask(address, f"images/images?run={run}&tag=validation_0/{name}&sample=0"))
        data = ask(address, f"images/individualImage?{entry['query']}")
        pictures[name] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert pictures[name].shape == (64, 96, 3)
    assert pictures["1_target"].std() > 20 and (pictures["1_target"] != pictures["2_redacted"]).any()
    for name in names:
        if name.endswith("_label"):  # nothing was learnt in a step
            assert (pictures[name] != pictures[name.removesuffix("_label")]).any()


def test_a_browser_shows_them(address, log_dir, tmp_path):
    tasks = log_dir.name == "tasks"
    wanted = quote("validation_0/9_(sem|pan)|validation_0/[23]" if tasks else "validation_0|regeneration_mse")
    # The cards are drawn when they come into view, which headless virtual time only counts with all stages drawn.
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--window-size=1300,1500", "--virtual-time-budget=30000",
        "--run-all-compositor-stages-before-draw", "--dump-dom", f"{address}/?tagFilter={wanted}#timeseries",
    ]  # fmt: skip
    # Virtual time runs on while the server answers in real time: about one page in three is dumped too early.
    for attempt in range(8):
        profile = f"--user-data-dir={tmp_path / str(attempt)}"
        page = subprocess.run([*command, profile], capture_output=True, text=True, check=True, timeout=SECONDS).stdout
        if page.count("Image at step 1") >= 4:
            break
    assert "TensorBoard" in page and page.count("Image at step 1") >= 4
    assert ("6 cards" if tasks else "7 cards") in page
    shown = ("9_semantics", "9_semantics_label", "9_panoptic", "9_panoptic_label", "2_redacted", "3_regenerated")
    for name in shown if tasks else ("regeneration_mse", "1_target", "2_redacted", "3_regenerated", "4_disparity"):
        assert name in page, name
