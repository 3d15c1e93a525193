"""app.py: in a headless Chromium a picture and a clip are dropped and looked at; what is refused; nothing stays."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from app import page_server
from datasets.world.making import WorldSpec, ensure_world
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.log import LogOptions
from depth.options.network import NetworkOptions
from depth.options.page import PageOptions
from depth.options.train import TrainOptions
from depth.prediction.api import load_model
from depth.support.distributed import Process
from tests.clip_maker import drive, write_video
from tests.page.serving import ask, served
from tests.tiny_run import add_best, save_run
from train import train

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the path")
HEIGHT, WIDTH = 60, 100
CHOICES = ("last", "best")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of one step with DejaVu."""
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
    world = ensure_world(tmp_path_factory.mktemp("world"), spec)
    folder = tmp_path_factory.mktemp("runs")
    config = Config(
        data=DataOptions(data_path=str(world), dataset="synthetic", height=64, width=96, num_workers=0),
        network=NetworkOptions(encoder_weights="scratch"),
        dejavu=DejaVuOptions(dejavu=True),
        train=TrainOptions(batch_size=2, max_steps=1, device="cpu"),
        log=LogOptions(log_dir=str(folder), model_name="tiny"),
    )
    assert train(config, Process(0, 1, torch.device("cpu")))
    return folder / "tiny"


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def server(run_folder, uploads):
    server = served(run_folder, uploads, max_megabytes=1.0, max_frames=4)
    yield server
    server.shutdown()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "my picture é.png"
    cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))[1].tofile(str(path))
    return path


@needs_browser
@pytest.mark.browser
def test_a_browser_shows_depth_points_and_dejavu(server, uploads, picture, run_folder, tmp_path):
    from tests.page.browser import Browser

    browser = Browser(tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        browser.upload(picture)
        browser.wait("!at('result').hidden && shown !== null")
        assert browser.value("at('error').textContent") == ""
        assert (browser.value("at('painted').width"), browser.value("at('painted').height")) == (WIDTH, HEIGHT)
        reds = "at('painted').getContext('2d').getImageData(0, 0, 100, 60).data.filter((_, i) => i % 4 === 0)"
        colours = browser.value(f"new Set({reds}).size")
        assert colours > 8
        lit = "at('cloud').getContext('2d').getImageData(0, 0, 600, 380).data.filter((v, i) => i % 4 < 3 && v > 60)"
        assert browser.value(f"{lit}.length") > 500
        before = browser.value("at('cloud').toDataURL()")
        browser.value("view.yaw += 0.5; draw(); 0")
        assert browser.value("at('cloud').toDataURL()") != before
        browser.point("#painted", 0.5, 0.5)
        said = browser.wait("at('readout').textContent.includes('column') && at('readout').textContent")
        expected = load_model(run_folder, device="cpu").predict(picture).depth[30, 50]
        assert said.endswith("at column 50, row 30") and float(said.split()[0]) == pytest.approx(expected, rel=6e-3)
        browser.screenshot(tmp_path / "depth.png")

        browser.value("at('tab-dejavu').click(); 0")
        browser.value("at('name').value = 'blocks'; at('name').onchange(); 0")
        assert browser.value("[...at('settings').querySelectorAll('input')].map((e) => e.name).join()") == "block,drop"
        browser.value("at('edit').requestSubmit(); 0")
        browser.wait("at('regeneration').querySelectorAll('img').length === 5")
        assert browser.value("[...at('regeneration').querySelectorAll('img')].every((e) => e.alt)") is True
        browser.value("at('settings').querySelector('[name=drop]').value = '7'; at('edit').requestSubmit(); 0")
        assert "drop" in browser.wait("at('error').textContent")
        browser.screenshot(tmp_path / "dejavu.png")
        assert all(
            url.startswith((f"http://127.0.0.1:{server.server_port}/", "data:", "about:")) for url in browser.requests
        )
    finally:
        browser.close()
    assert list(uploads.iterdir()) == []


@needs_browser
@pytest.mark.browser
def test_a_browser_shows_a_clip_and_says_what_is_refused(server, uploads, tmp_path):
    from tests.page.browser import Browser

    clip = write_video(tmp_path / "clip.mp4", drive(9))
    large, odd = tmp_path / "large.png", tmp_path / "odd.png"
    large.write_bytes(b"x" * 1_100_000)
    odd.write_bytes(b"no picture")
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        browser.upload(large)
        assert browser.wait("at('error').textContent") == "the file is larger than 1 MB"
        browser.upload(odd)
        said = browser.wait("at('error').textContent.includes('odd') && at('error').textContent")
        assert "odd.png is no image" in said
        browser.upload(clip)
        browser.wait("frames.length === 3 && !at('frames').hidden && at('error').textContent === ''")
        first = browser.value("at('painted').toDataURL()")
        browser.value("at('frame').value = 2; at('frame').oninput(); 0")
        browser.wait("at('number').textContent === '3 of 3'")
        assert browser.value("at('painted').toDataURL()") != first
    finally:
        browser.close()
    assert list(uploads.iterdir()) == []


def test_other_hosts_and_large_files_are_refused(server, uploads):
    assert ask(server, "GET", "/facts", Host="evil.example")[0] == 403
    assert ask(server, "POST", "/look", b"x", Origin="https://evil.example")[0] == 403
    # Refused by its announced length, before a byte of it is read.
    large = ask(server, "POST", "/look", **{"Content-Length": "1000001"})
    assert large == (413, {"error": "the file is larger than 1 MB"})
    assert ask(server, "POST", "/look")[0] == 411
    assert ask(server, "GET", "/../app.py")[0] == 404 and ask(server, "POST", "/nowhere", b"x")[0] == 404
    assert server.server_address[0] == "127.0.0.1" and list(uploads.iterdir()) == []


def test_what_cannot_be_shown_is_said_and_nothing_stays(server, uploads, picture):
    status, said = ask(server, "POST", "/look", b"no picture", **{"X-Name": "..%2F..%2Fx.png"})
    assert status == 400 and "x.png is no image" in said["error"] and str(uploads) not in said["error"]
    content = picture.read_bytes()
    numbers = "not numbers"
    for query, words in [("edit=magic", "unknown edit"), ("edit=blocks&drop=%22a%22", numbers), ("keep=x", numbers)]:
        status, said = ask(server, "POST", f"/dejavu?{query}", content, **{"X-Name": "a.png"})
        assert status == 400 and words in said["error"]
    assert list(uploads.iterdir()) == []


def test_a_model_without_the_branch_says_so(tmp_path, picture):
    server = served(save_run(tmp_path / "plain"), tmp_path)
    try:
        assert ask(server, "GET", "/facts")[1]["dejavu"] is False
        assert len(ask(server, "POST", "/look", picture.read_bytes(), **{"X-Name": "a.png"})[1]["frames"]) == 1
        status, said = ask(server, "POST", "/dejavu?edit=blocks", picture.read_bytes(), **{"X-Name": "a.png"})
        assert status == 400 and "trained without DejaVu" in said["error"]
    finally:
        server.shutdown()


def test_the_best_checkpoint_where_asked(tmp_path, picture):
    run = save_run(tmp_path / "run")
    add_best(run)
    models = {choice: page_server(PageOptions(str(run), choice, port=0, device="cpu"), tmp_path) for choice in CHOICES}
    image = cv2.imdecode(np.fromfile(str(picture), np.uint8), 1)
    for choice, server in models.items():
        expected = load_model(run, device="cpu", checkpoint_choice=choice).predict(image).depth
        np.testing.assert_allclose(server.model.look(image).depth, expected, rtol=1e-5)
        assert str(server.model.checkpoint).startswith(f"{choice} checkpoint after")
        server.server_close()
    last, best = (server.model.look(image).depth for server in models.values())
    assert np.abs(last - best).max() > 1e-3


def test_inference_never_holds_the_module(run_folder):
    """The page alone takes it out of last.pt; what predicts has no such weights."""
    model = load_model(run_folder, device="cpu")
    assert not any("dejavu" in name or "crm" in name for name in model.depth_net.state_dict())
