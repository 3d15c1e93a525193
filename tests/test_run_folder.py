"""A run's folder belongs to one run, and its record says what made it."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from depth import run_folder
from depth.run_folder import create_run, versions
from depth.types import UserError


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    class Stopped(run_folder.datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(run_folder, "datetime", Stopped)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda seed: create_run(str(tmp_path), None, "net", {"seed": seed}), range(4)))
    stem = "2026-01-02_03-04-05_net"
    assert sorted(folder.name for folder in folders) == [stem, f"{stem}_2", f"{stem}_3", f"{stem}_4"]
    assert {run_folder.read_run(folder)["seed"] for folder in folders} == {0, 1, 2, 3}


def test_of_runs_with_the_same_name_one_gets_it(tmp_path):
    def start(seed):
        try:
            return create_run(str(tmp_path), "mine", "net", {"seed": seed})
        except UserError as error:
            assert "holds a run already" in str(error)
            return None

    with ThreadPoolExecutor(4) as pool:
        assert sum(folder is not None for folder in pool.map(start, range(4))) == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        create_run(str(tmp_path / "file"), "mine", "net", {})


def test_the_revision_is_that_of_this_code_and_not_of_a_checkout_around_it(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for command in (["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    subprocess.run(["git", "-C", tmp_path, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "site-packages" / "depth" / "run_folder.py"))
    assert versions()["git"] == "unknown"
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "depth" / "run_folder.py"))
    assert len(versions()["git"]) >= 7 and versions()["git"] != "unknown"
