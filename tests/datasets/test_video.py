import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.core.frames import FrameDataset
from datasets.core.images import read_image
from datasets.footage import clips
from datasets.footage.camera import CameraChoice, PinholeCamera, write_camera
from datasets.footage.decoding import find_clips
from datasets.footage.video import open_footage, training_size
from depth.types import UserError
from tests.clip_maker import HEIGHT, WIDTH, drive, stand, wall, write_images, write_video

FOV = CameraChoice(fov=60)


def footage(path, cache, choice=FOV, keep_still=False):
    return open_footage(path, cache, choice, keep_still, progress=False)


def test_a_video_with_spaces_and_other_letters_in_its_path(tmp_path):
    folder = tmp_path / "mein Ordner ÄÖ 道"
    folder.mkdir()
    frames = drive(30)
    found = footage(write_video(folder / "Fahrt 1 é.mp4", frames), tmp_path / "cache")
    train, val = found.frames("train"), found.frames("val")
    assert (len(train), len(val)) == (25, 1)  # 27 and 3 frames, each without its ends
    assert found.size == (WIDTH, HEIGHT)
    image = read_image(found.image_path(train[0])).permute(1, 2, 0).numpy()
    assert np.abs(image.astype(float) - frames[1]).mean() < 8  # the second frame, but for two compressions
    matrix, size = found.intrinsics(train[0])
    assert size == (WIDTH, HEIGHT) and matrix[0, 0] == pytest.approx(WIDTH / 2 / np.tan(np.pi / 6))
    sample = FrameDataset(found, train, 64, 96)[0]
    assert [frame.shape for frame in sample.frames] == [(3, 64, 96)] * 3


def test_what_was_read_is_not_read_again(tmp_path, monkeypatch):
    video = write_video(tmp_path / "a.mp4", drive(12))
    first = footage(video, tmp_path / "cache")
    monkeypatch.setattr(clips, "Video", None)
    assert footage(video, tmp_path / "cache").clips == first.clips
    assert [p.name for p in (tmp_path / "cache" / "footage").iterdir()] == [first.clips[0].folder.rpartition("/")[2]]
    monkeypatch.undo()
    write_video(video, drive(14))
    assert footage(video, tmp_path / "cache").clips[0].frames == 14


def test_a_cache_can_be_moved(tmp_path, monkeypatch):
    """So can one whose clip.json names the folder where it was, as older versions wrote it."""
    video = write_video(tmp_path / "a.mp4", drive(12))
    first = footage(video, tmp_path / "cache").clips[0]
    monkeypatch.setattr(clips, "Video", None)  # it is not read again
    for old, new in (("cache", "moved"), ("moved", "again")):
        (tmp_path / old).rename(tmp_path / new)
        found = footage(video, tmp_path / new)
        assert found.image_path(found.frames("train")[0]).is_file()
        record = tmp_path / new / "footage" / Path(first.folder).name / "clip.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"folder": first.folder}))


def test_an_interrupted_reading_leaves_nothing(tmp_path, monkeypatch):
    video = write_video(tmp_path / "a.mp4", drive(12))

    def fail(image, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(clips, "_encode", fail)
    with pytest.raises(KeyboardInterrupt):
        footage(video, tmp_path / "cache")
    assert list((tmp_path / "cache" / "footage").iterdir()) == []


def test_standing_falls_out_unless_it_is_to_be_kept(tmp_path):
    video = write_video(tmp_path / "a.mp4", stand(15) + drive(15)[1:])
    found = footage(video, tmp_path / "cache")
    assert found.clips[0].kept == 15 and found.clips[0].still == pytest.approx(14 / 29)
    assert any("48% standing" in note for note in found.notes())
    kept = footage(video, tmp_path / "cache", keep_still=True)
    assert kept.clips[0].kept == 29 and kept.clips[0].still == 0


def test_nothing_reaches_across_a_cut_or_into_validation(tmp_path):
    video = write_video(tmp_path / "a.mp4", drive(20) + drive(20, seed=3))
    found = footage(video, tmp_path / "cache")
    train, val = found.frames("train"), found.frames("val")
    numbers = {part: [_triple(found, ref) for ref in refs] for part, refs in (("train", train), ("val", val))}
    assert all(b == a + 1 and c == b + 1 for a, b, c in numbers["train"] + numbers["val"])
    assert not any(a < 20 <= c for a, _, c in numbers["train"] + numbers["val"])
    assert max(c for *_, c in numbers["train"]) < min(a for a, *_ in numbers["val"])
    assert min(a for a, *_ in numbers["val"]) == 36


def _triple(found, ref):
    return [int(found.image_path(ref.neighbour(o) if o else ref).stem) for o in (-1, 0, 1)]


def test_a_folder_of_images_is_read_in_place_and_in_order(tmp_path):
    folder = write_images(tmp_path / "images", drive(12))
    found = footage(folder, tmp_path / "cache")
    names = [found.image_path(ref).name for ref in found.frames("train")]
    assert names == [f"frame{i}.png" for i in range(2, 9)]
    assert found.image_path(found.frames("train")[0]).parent == folder


def test_a_folder_of_clips(tmp_path):
    folder = tmp_path / "clips"
    write_images(folder / "b", drive(12))
    write_video(folder / "a.mp4", drive(13))
    (folder / "notes.txt").write_text("x")
    found = footage(folder, tmp_path / "cache")
    assert [(clip.name, clip.frames) for clip in found.clips] == [("a.mp4", 13), ("b", 12)]
    assert {ref.folder for ref in found.frames("train")} == {"a.mp4#1", "b#1"}


def test_grey_alpha_and_16_bits(tmp_path):
    frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in drive(12)]
    folder = tmp_path / "images"
    folder.mkdir()
    for i, grey in enumerate(frames):
        wide = Image.fromarray(grey.astype(np.uint16) * 257)
        kinds = [Image.fromarray(grey), Image.fromarray(np.dstack([grey] * 3 + [255 - grey])), wide]
        kinds[i % 3].save(folder / f"{i:03d}.png")
    found = footage(folder, tmp_path / "cache")
    assert found.clips[0].kept == 12
    sample = FrameDataset(found, found.frames("train"), HEIGHT, WIDTH)[0]
    np.testing.assert_array_equal(sample.frames[0][0].numpy(), frames[1])
    np.testing.assert_array_equal(sample.frames[2][0].numpy(), frames[2])


def test_pictures_stored_on_their_side_are_used_upright_with_the_camera_of_the_upright_picture(tmp_path):
    folder = tmp_path / "phone"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    upright = [np.ascontiguousarray(frame[:, : HEIGHT // 2]) for frame in drive(12)]
    for number, frame in enumerate(upright):
        Image.fromarray(np.rot90(frame)).save(folder / f"{number:03d}.png", exif=exif)
    write_camera(tmp_path / "k.json", PinholeCamera(HEIGHT // 2, HEIGHT, 100, 100, 47.5, 95.5))
    found = footage(folder, tmp_path / "cache", CameraChoice(tmp_path / "k.json"))
    assert found.size == (HEIGHT // 2, HEIGHT)
    ref = found.frames("train")[0]
    np.testing.assert_array_equal(read_image(found.image_path(ref)).permute(1, 2, 0).numpy(), upright[1])
    assert found.intrinsics(ref)[1] == (HEIGHT // 2, HEIGHT)
    across = footage(folder, tmp_path / "cache", CameraChoice(fov=90)).intrinsics(ref)[0]
    assert across[0, 0] == pytest.approx(HEIGHT // 4), "the angle is that across the upright picture"


def test_mixed_sizes_are_refused(tmp_path):
    folder = write_images(tmp_path / "images", drive(6))
    Image.fromarray(wall()[:100]).save(folder / "frame4.png")
    with pytest.raises(UserError, match="frame4.png has 320x100.*320x192"):
        footage(folder, tmp_path / "cache")


def test_large_footage_is_stored_smaller_with_its_camera(tmp_path):
    frames = [cv2.resize(frame, (1600, 960)) for frame in drive(4)]
    write_camera(tmp_path / "k.json", PinholeCamera(3200, 1920, 3000, 3000, 1599.5, 959.5))
    found = footage(write_images(tmp_path / "images", frames), tmp_path / "cache", CameraChoice(tmp_path / "k.json"))
    ref = found.frames("train")[0]
    matrix, size = found.intrinsics(ref)
    assert size == (1280, 768) and found.size == (1600, 960)
    assert read_image(found.image_path(ref)).shape == (3, 768, 1280)
    assert matrix[0, 0] == pytest.approx(1200) and matrix[0, 2] == pytest.approx(639.5)


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_a_video_that_does_not_open(tmp_path, content, capfd):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UserError, match="a.mp4"):
        footage(tmp_path / "a.mp4", tmp_path / "cache")
    assert capfd.readouterr().err == ""


def test_a_video_cut_short_is_noted(tmp_path):
    video = write_video(tmp_path / "a.avi", drive(40))
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    found = footage(video, tmp_path / "cache")
    assert 3 < found.clips[0].frames < 30
    assert any("damaged from there on" in note for note in found.notes())


def test_very_short_videos(tmp_path):
    with pytest.raises(UserError, match="has 2 frames"):
        footage(write_video(tmp_path / "a.mp4", drive(2)), tmp_path / "cache")
    three = footage(write_video(tmp_path / "b.mp4", drive(3)), tmp_path / "cache")
    assert len(three.frames("train")) == 1 and three.frames("val") == []


def test_footage_without_parallax(tmp_path):
    with pytest.raises(UserError, match="--keep_still"):
        footage(write_video(tmp_path / "a.mp4", stand(8)), tmp_path / "cache")


def test_places_without_clips(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no video"):
        find_clips(tmp_path)
    write_images(tmp_path / "images", drive(1))
    with pytest.raises(UserError, match="single image"):
        find_clips(tmp_path / "images" / "frame1.png")


def test_the_camera_is_asked_for_before_anything_is_read(tmp_path, monkeypatch):
    video = write_video(tmp_path / "a.mp4", drive(6))
    monkeypatch.setattr(clips, "Video", None)
    with pytest.raises(UserError, match="--fov DEGREES"):
        footage(video, tmp_path / "cache", CameraChoice())


def test_one_camera(tmp_path):
    found = footage(write_video(tmp_path / "a.mp4", drive(6)), tmp_path / "cache")
    ref = found.frames("train")[0]
    assert not found.has(ref.neighbour(0))
    with pytest.raises(UserError, match="one camera"):
        found.stereo_from(ref)
    with pytest.raises(UserError, match="no frame"):
        found.image_path(ref.neighbour(100))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1242, 375), (192, 640)), ((1920, 1080), (256, 448)), ((1080, 1920), (448, 256)), ((640, 480), (288, 384))],
)
def test_training_size(size, expected):
    assert training_size(size) == expected


def test_training_size_beside_a_given_side():
    assert training_size((1920, 1080), height=288) == (288, 512)
    assert training_size((1920, 1080), width=640) == (352, 640)
    assert training_size((1920, 1080), 64, 96) == (64, 96)
