import os
import time

import pytest

from depth.support.files import whole_folder, write_file, written_aside
from depth.types import UserError


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_file(path, b"old")

    def full(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old" and [f.name for f in tmp_path.iterdir()] == ["metrics.json"]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere/x.png cannot be written: No such file"):
        write_file(tmp_path / "nowhere" / "x.png", b"", flush=False)


def test_a_file_appears_when_the_block_ends_well(tmp_path):
    path = tmp_path / "model.onnx"
    with written_aside(path) as aside:
        aside.write_text("new")
        assert aside.suffix == ".onnx" and not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), written_aside(path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_the_block_ends_well_and_the_first_one_stays(tmp_path):
    final = tmp_path / "cache" / "world"
    with pytest.raises(OSError, match="full"), whole_folder(final, "done"):
        raise OSError("full")
    assert list(final.parent.iterdir()) == []
    for content in ("first", "second"):
        with whole_folder(final, "done") as folder:
            (folder / "done").write_text(content)
    assert (final / "done").read_text() == "first" and list(final.parent.iterdir()) == [final]


def test_what_a_killed_run_left_is_removed_after_an_hour_and_what_lives_is_not(tmp_path):
    old, living = tmp_path / ".world.old", tmp_path / ".world.living"
    for left in (old, living):
        (left / "new").mkdir(parents=True)
        for folder in (left / "new", left):
            os.utime(folder, (time.time() - 4000,) * 2)
    os.utime(living)
    with whole_folder(tmp_path / "world", "done"):
        pass
    assert not old.exists() and living.exists()
