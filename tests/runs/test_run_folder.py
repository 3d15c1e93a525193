"""A run's folder belongs to one run, and its record says what made it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from depth.runs import run_folder
from depth.runs.run_folder import create_run, versions
from depth.types import UserError


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    class Stopped(run_folder.datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(run_folder, "datetime", Stopped)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda seed: create_run(str(tmp_path), None, "net", {"seed": seed})[0], range(4)))
    stem = "2026-01-02_03-04-05_net"
    assert sorted(folder.name for folder in folders) == [stem, f"{stem}_2", f"{stem}_3", f"{stem}_4"]
    assert {run_folder.read_run(folder)["seed"] for folder in folders} == {0, 1, 2, 3}


def test_another_process_may_not_train_in_the_same_folder(tmp_path):
    _, claim = create_run(str(tmp_path), "mine", "net", {"seed": 0})
    ask = """
import sys
from pathlib import Path
from depth.runs.run_folder import claim_run, create_run
from depth.types import UserError
log_dir = sys.argv[1]
for start in (lambda: create_run(log_dir, "mine", "net", {"seed": 1}), lambda: claim_run(Path(log_dir, "mine"))):
    try:
        start()
        print("claimed")
    except UserError as error:
        print(error)
"""
    command = [sys.executable, "-c", ask, str(tmp_path)]

    def answers():
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    refused = answers()
    assert len(refused) == 2 and all("is being trained by another process" in line for line in refused)
    assert run_folder.read_run(tmp_path / "mine")["seed"] == 0
    claim.close()
    assert answers() == ["claimed", "claimed"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        create_run(str(tmp_path / "file"), "mine", "net", {})


def test_the_revision_is_that_of_this_code_and_not_of_a_checkout_around_it(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for command in (["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    subprocess.run(["git", "-C", tmp_path, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "site-packages" / "depth" / "runs" / "run_folder.py"))
    assert versions()["git"] == "unknown"
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "depth" / "runs" / "run_folder.py"))
    assert len(versions()["git"]) >= 7 and versions()["git"] != "unknown"
