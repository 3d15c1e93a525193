"""Making the embedded world: the same bytes each time, kept in the cache, whole or not at all."""

import errno
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.world import making as synthetic
from datasets.world.making import WorldSpec, ensure_world
from depth.types import UserError

DATE = "2000_01_01"
TINY = WorldSpec(height=32, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
ROOT = Path(__file__).resolve().parents[2]


def test_shipped_split_files_are_the_default_world():
    for name in ("train", "val", "test"):
        lines = (ROOT / "splits/synthetic" / f"{name}.txt").read_text().splitlines()
        assert lines == WorldSpec().split(name)
    folders = [{line.split()[0] for line in WorldSpec().split(name)} for name in ("train", "val", "test")]
    assert not folders[0] & folders[1] and not folders[0] & folders[2] and not folders[1] & folders[2]


def digest(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_bytes_here_and_in_processes(tmp_path, monkeypatch):
    here = ensure_world(tmp_path / "a", TINY)
    monkeypatch.setattr(synthetic, "_SMALL", 0)
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 2)
    elsewhere = ensure_world(tmp_path / "b", TINY)
    assert digest(here) == digest(elsewhere)
    assert here.name == elsewhere.name != WorldSpec(height=32, width=96, seed=1).folder_name()


def test_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("DEJAVU_CACHE", str(tmp_path))
    folder = ensure_world(spec=TINY)
    assert folder.parent == tmp_path
    monkeypatch.setattr(synthetic, "write_drive", None)
    assert ensure_world(spec=TINY) == folder


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_interrupted_or_full_leaves_nothing(tmp_path, monkeypatch, stop):
    def fail(*_):
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "write_drive", fail)
        with pytest.raises(KeyboardInterrupt if stop is KeyboardInterrupt else UserError) as caught:
            ensure_world(tmp_path, TINY)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert (ensure_world(tmp_path, TINY) / "world.json").is_file()


def test_a_faster_writer_wins(tmp_path, monkeypatch):
    original = synthetic.write_drive

    def write_while_another_finishes(folder, spec, drive):
        monkeypatch.setattr(synthetic, "write_drive", original)
        ensure_world(tmp_path, spec)
        original(folder, spec, drive)

    monkeypatch.setattr(synthetic, "write_drive", write_while_another_finishes)
    folder = ensure_world(tmp_path, TINY)
    assert list(tmp_path.iterdir()) == [folder]


def test_worker_errors_reach_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_SMALL", 0)
    monkeypatch.setattr(synthetic, "write_calibration", lambda folder, spec: folder.mkdir())
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 2)
    # A file where the date folder should be: the workers cannot write below it.
    monkeypatch.setattr(synthetic.os, "utime", lambda path: None)
    start = synthetic._start

    def blocked(folder, spec, numbers):
        (folder / DATE).write_text("")
        return start(folder, spec, numbers)

    monkeypatch.setattr(synthetic, "_start", blocked)
    with pytest.raises(UserError, match="cannot write the embedded world"):
        ensure_world(tmp_path, TINY)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="DEJAVU_CACHE"):
        ensure_world(tmp_path / "file", TINY)
    with pytest.raises(UserError, match="frames_per_drive is 2"):
        ensure_world(tmp_path, WorldSpec(frames_per_drive=2))
    command = [sys.executable, "-m", "datasets.synthetic", "--root", str(tmp_path), "--height", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
