"""What predict.py wrote is not taken for footage when it is called again, nor by a training."""

from pathlib import Path

import pytest

from datasets.footage.decoding import find_clips
from datasets.footage.finding import look_into
from datasets.footage.media import find_pictures
from datasets.footage.naming import IMAGE_SUFFIXES
from depth.types import UserError
from tests.prediction.noise import noise_folder, run_predict


def found(folder):
    """Images and videos as names below the folder, and the lines about the rest."""
    contents, notes = look_into(folder, IMAGE_SUFFIXES)
    return [str(path.relative_to(folder)) for c in contents for path in (*c.images, *c.videos)], notes


def test_what_predict_wrote_is_never_footage(run_folder, tmp_path):
    """In the folder of the images, in one below it, as single images and by a glob."""
    folder = noise_folder(tmp_path / "own", ((8, 8),) * 3)
    noise_folder(folder / "deep", ((8, 8),) * 3)
    wanted = [f"{number}.png" for number in range(3)] + [f"deep/{number}.png" for number in range(3)]
    images = [folder / name for name in wanted]
    run_predict(run_folder, tmp_path, folder, out=str(folder / "predictions"), video="yes")
    run_predict(run_folder, tmp_path, folder, out=str(tmp_path), video="yes")
    run_predict(run_folder, tmp_path, *images[:3], out=str(folder))
    run_predict(run_folder, tmp_path, str(folder / "**" / "[0-2].png"), out=str(folder / "glob"))
    inside, notes = found(folder)
    assert inside == wanted
    (note,) = notes
    written = [f for f in folder.rglob("*") if f.suffix in IMAGE_SUFFIXES | {".mp4"} and f not in images]
    assert note.startswith(f"left out: {len(written)} files that predict.py wrote")
    assert [clip.count for clip in find_pictures([str(folder)])] == [3, 3]
    assert find_pictures([str(folder)])[0].notes == notes
    assert [clip.images for clip in find_clips(folder)[0]] == [("0.png", "1.png", "2.png")] * 2
    for take in (find_clips, lambda path: find_pictures([str(path)])):
        with pytest.raises(UserError, match="left out: .* files that predict.py wrote"):
            take(folder / "predictions")
    for sidecar in folder.rglob("*.json"):  # without them they are a user's own
        sidecar.unlink()
    assert {Path(name).name for name in found(folder)[0]} >= {"1_colour.jpg", "own_side_by_side.mp4"}
