"""CONTRIBUTING's four patches: they apply, cost one new file and one line each, and do what the text says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.clip_maker import FOCAL, HEIGHT, WIDTH, drive

ROOT = Path(__file__).parent.parent
PATCHES = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
COPIED = ("benchmarks", "datasets", "depth", "splits", "tests", "pyproject.toml", "CONTRIBUTING.md", *ROOT.glob("*.py"))


def run(folder: Path, *command: str) -> str:
    """Standard output of a Python command in a copy of the tree; a failure shows all that was said."""
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the checkout with all four patches."""
    copy = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)  # whatever lies around the copy
    for patch in PATCHES:
        subprocess.run(["git", "apply", "-"], cwd=copy, input=patch, text=True, check=True)
    return copy


def test_a_part_costs_one_new_file_and_one_line():
    assert len(PATCHES) == 4
    for patch in PATCHES:
        _, new, changed = re.split(r"^--- ", patch, flags=re.MULTILINE)
        assert new.startswith("/dev/null\n+++ b/")
        _, _, _, *lines = changed.splitlines()
        assert [line[0] for line in lines if line[0] != " "] == ["+"]


def test_edit_and_network_pass_the_tests_over_their_tables(tree):
    files = ("dejavu/test_edits", "dejavu/test_dejavu", "networks/test_networks", "options/test_config")
    paths = [f"tests/{name}.py" for name in (*files, "tasks/test_tasks", "test_architecture")]
    said = run(tree, "-m", "pytest", "-vv", *paths, "-k", "rows or plain or foreground or offer or table or house")
    for name in (
        "test_gradient_is_the_slope[rows]",
        "test_params_replay[rows]",
        "test_every_edit_regenerates[1-rows]",
        "test_every_net_gives_four_scales_of_any_number_of_channels[5-plain]",
        "test_losses_are_named_finite_and_reach_the_head[foreground]",
        "test_results_truths_and_constants_are_scored_and_shown[foreground]",
        "test_flags_offer_what_there_is",
        "test_imports_follow_the_table[depth.networks.plain_net]",
        "test_imports_follow_the_table[datasets.sets]",
        "test_house_has_no_long_file_and_no_long_function",
    ):
        assert f"{name} PASSED" in said
    assert "SKIPPED" not in said


def test_edit_network_and_dataset_train(tree):
    frames = tree / "frames"
    (frames / "street").mkdir(parents=True)
    (frames / "camera.txt").write_text(f"{FOCAL} {FOCAL} {(WIDTH - 1) / 2} {(HEIGHT - 1) / 2}\n")
    for number, frame in enumerate(drive(4)):
        cv2.imwrite(str(frames / "street" / f"{number:06d}.jpg"), frame[..., ::-1])
    (frames / "split").mkdir()
    (frames / "split" / "train.txt").write_text("street l 1-2\n")
    parts = "--depth_net plain --dejavu --edit rows --dejavu_lpips 0 --weights_init scratch --height 64 --width 96"
    short = "--data_path frames --split frames/split --batch_size 2 --max_steps 1 --num_workers 0 --device cpu"
    said = run(tree, "train.py", *parts.split(), *short.split())
    assert "2 of 2 frames in 1 of 1 drives" in said and "step 1: 1 steps" in said
    (run_folder,) = (tree / "runs").iterdir()
    assert (run_folder / "checkpoints" / "last.pt").is_file()
