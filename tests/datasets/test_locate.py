"""Where the frames are looked for."""

import pytest

from datasets import locate
from datasets.locate import find_data
from depth.types import UserError


def test_the_flag_the_variable_the_folder_and_the_embedded_world_in_this_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locate, "ensure_world", lambda cache, _: cache / "world")
    for name in ("flag", "variable", "kitti_data"):
        (tmp_path / name).mkdir()

    def found(data_path=None):
        return find_data(data_path, "kitti", tmp_path).root.name

    monkeypatch.setenv("KITTI_DATA", "variable")
    assert found("flag") == "flag" and found() == "variable"
    monkeypatch.setenv("KITTI_DATA", "absent")
    with pytest.raises(UserError, match=r"\$KITTI_DATA absent is not a folder"):
        found()
    monkeypatch.setenv("KITTI_DATA", "")  # as if it were not set, not the current folder
    assert found() == "kitti_data"
    (tmp_path / "kitti_data").rmdir()
    assert found() == "world"
