"""Which pictures a path or a glob means, and what they are called."""

import cv2
import pytest

from datasets.footage.media import find_pictures
from tests.clip_maker import drive, write_video
from tests.prediction.noise import noise_folder, noise_picture


def test_clips_of_folders_and_globs(tmp_path):
    folder = noise_folder(tmp_path / "frames")
    for index in range(5, 11):
        cv2.imwrite(str(folder / f"{index}.png"), noise_picture(index, 4, 4))
    (folder / "._3.png").write_text("another program's")
    (folder / "notes.txt").write_text("")
    (clip,) = find_pictures([str(folder)])
    assert (clip.name, clip.count) == ("frames", 11)
    assert [frame.name for frame in clip.frames()] == [str(index) for index in range(11)]
    (clip,) = find_pictures([str(folder / "1*.png")])
    assert [frame.name for frame in clip.frames()] == ["1", "10"] and clip.name == "frames"
    names = [clip.name for clip in find_pictures([str(folder / "1.png"), str(folder), str(folder / "1.png")])]
    assert names == ["1", "frames", "1_2"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["left/*.png", "right/*.png"], ["left", "right"]),
        (["right", "right/*.png"], ["right", "right_2"]),
        (["../clips/*/0.png"], ["clips"]),
        (["left/../right/[0].png"], ["right"]),
        (["**/0.png"], ["clips"]),
    ],
)
def test_a_glob_is_called_after_its_folder(tmp_path, monkeypatch, patterns, names):
    (tmp_path / "clips").mkdir()
    for name in ("left", "right"):
        noise_folder(tmp_path / "clips" / name, ((4, 4),))
    monkeypatch.chdir(tmp_path / "clips")
    assert [clip.name for clip in find_pictures(patterns)] == names


def test_a_videos_frames_are_counted_before_they_are_read(tmp_path):
    (clip,) = find_pictures([str(write_video(tmp_path / "clip.mp4", drive(9)))])
    assert clip.count == 9 and len(list(clip.frames())) == 9 and clip.notes == []
