import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.core import images
from datasets.core.images import image_size, read_depth_png, read_image, resize_image
from depth.prediction.pictures import read_picture
from depth.types import UserError
from tests.kitti_layout import picture


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0" * 30


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.fromarray(picture(0)), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_rgb_files_by_hand(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(picture(1))))
    image = read_image(path)
    assert image.dtype == torch.uint8
    assert np.array_equal(image.permute(1, 2, 0).numpy(), picture(1))
    smooth = Image.linear_gradient("L").resize((40, 24)).convert("RGB")
    path = tmp_path / "wrong_suffix.png"
    path.write_bytes(encoded(smooth, "JPEG"))
    difference = read_image(path).permute(1, 2, 0).numpy().astype(int) - np.asarray(smooth)
    assert np.abs(difference).max() <= 4 and image_size(path) == (40, 24)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(10))
def test_pictures_are_turned_upright_as_prediction_turns_them(tmp_path, kind, orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = cv2.GaussianBlur(picture(4), (0, 0), 2)
    Image.fromarray(stored).save(tmp_path / "a", kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    upright = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    image = read_image(tmp_path / "a").permute(1, 2, 0).numpy().astype(int)
    if orientation in upright:
        assert np.abs(image - cv2.rotate(stored, upright[orientation])).max() <= 12
    assert np.abs(image - read_picture(tmp_path / "a")).max() <= 3
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    assert image_size(tmp_path / "a") == (image.shape[1], image.shape[0])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_an_orientation_that_cannot_be_read_is_none(tmp_path):
    Image.fromarray(picture(4)).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12")
    assert np.array_equal(read_image(tmp_path / "a.png").permute(1, 2, 0).numpy(), picture(4))
    Image.fromarray(picture(4)).save(tmp_path / "a.png", exif=b"Exif\0\0nothing of the kind")
    assert image_size(tmp_path / "a.png") == (40, 24)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_other_modes_become_rgb(tmp_path, mode):
    grey = Image.fromarray(np.where(picture(2)[:, :, 0] > 127, 255, 0).astype(np.uint8))
    path = tmp_path / "a"
    path.write_bytes(encoded(grey.convert(mode), "JPEG" if mode == "CMYK" else "PNG"))
    image = read_image(path)
    assert image.shape == (3, 24, 40) and image.dtype == torch.uint8
    assert (image.float().mean(0) - torch.from_numpy(np.array(grey)).float()).abs().mean() < 12


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.array([[0, 128, 129, 257, 65535, 32768]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[0, 0, 1, 1, 255, 128]]
    cv2.imwrite(str(tmp_path / "b.png"), np.full((2, 2, 3), (65535, 0, 25700), np.uint16))
    assert read_image(tmp_path / "b.png")[:, 0, 0].tolist() == [100, 0, 255]


def test_depth_maps_are_in_256ths_of_a_metre(tmp_path):
    path = tmp_path / "d.png"
    cv2.imwrite(str(path), np.array([[0, 256, 1000], [65535, 1, 512]], np.uint16))
    depth = read_depth_png(path)
    assert depth.dtype == np.float32
    assert depth.tolist() == [[0, 1, 3.90625], [65535 / 256, 1 / 256, 2]]
    path.write_bytes(encoded(Image.new("L", (3, 2))))
    with pytest.raises(UserError, match="16-bit grey"):
        read_depth_png(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_files_are_named(tmp_path, kind, share):
    data = encoded(Image.fromarray(picture(3)), kind)
    path = tmp_path / "broken.img"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"broken\.img") as error:
        read_image(path)
    assert "\n" not in str(error.value)


def test_a_jpeg_filled_up_with_zeros_is_refused(tmp_path):
    data = encoded(Image.fromarray(picture(3)), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    with pytest.raises(UserError, match=r"a\.jpg: damaged or truncated"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data + bytes(100))
    assert read_image(tmp_path / "a.jpg").shape == (3, 24, 40)


def test_a_jpeg_with_data_behind_its_end_is_whole(tmp_path):
    data, path = encoded(Image.fromarray(picture(3)), "JPEG"), tmp_path / "phone.jpg"
    path.write_bytes(data)
    expected = read_image(path)
    path.write_bytes(data + b"\0motion" * 2000)
    assert torch.equal(read_image(path), expected) and image_size(path) == (40, 24)
    path.write_bytes(data + b"\0motion" * 2000 + bytes(16))
    with pytest.raises(UserError, match=r"phone\.jpg: damaged or truncated"):
        read_image(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_large_jpeg_that_lost_its_end_is_refused(tmp_path, share):
    data = encoded(Image.fromarray(picture(3, 400, 300)), "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    assert path.stat().st_size > 3 * 4096
    for filling in (b"", bytes(5000)):
        path.write_bytes(data[: int(len(data) * share)] + filling)
        with pytest.raises(UserError, match=r"a\.jpg: damaged or truncated"):
            read_image(path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(20)])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.png"):
        read_image(tmp_path / "x.png")
    with pytest.raises(UserError, match="No such file"):
        read_image(tmp_path / "absent.png")


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize(
    "data",
    [
        png_claiming(10_001, 10_000),
        png_claiming(65_000, 65_000),
        png_claiming(2**31, 9),
        jpeg_claiming(10_001, 10_000),
        jpeg_claiming(65_000, 65_000),
    ],
)
def test_absurd_headers_are_refused_before_memory_is_taken(tmp_path, data, monkeypatch):
    (tmp_path / "bomb").write_bytes(data)
    for decoder in ("_decode_jpeg", "_load"):
        monkeypatch.setattr(images, decoder, lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match="bomb"):
        read_image(tmp_path / "bomb")


def test_damaged_files_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "fuzz"
    for trial in range(600):
        data = bytearray(encoded(Image.fromarray(picture(trial % 7)), ("PNG", "JPEG")[trial % 2]))
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(len(data) if rng.random() < 0.5 else 200)] = rng.integers(256)
        path.write_bytes(data)
        try:
            assert read_image(path).shape[0] == 3
        except UserError as error:
            assert "fuzz" in str(error)


@pytest.mark.parametrize("size", [(12, 20), (17, 33), (48, 80), (24, 40)])
def test_lanczos_is_pillows_with_and_without_torchs_own(size, monkeypatch):
    smooth = cv2.GaussianBlur(picture(5), (0, 0), 2)
    expected = np.asarray(Image.fromarray(smooth).resize(size[::-1], Image.LANCZOS)).astype(int)
    image = torch.from_numpy(smooth).permute(2, 0, 1)
    for native in {images._TORCH_HAS_LANCZOS, False}:
        monkeypatch.setattr(images, "_TORCH_HAS_LANCZOS", native)
        resized = resize_image(image, *size)
        assert resized.is_contiguous() and resized.shape == (3, *size)
        assert np.abs(resized.permute(1, 2, 0).numpy() - expected).max() <= 1


def test_a_resize_keeps_constants_and_the_mean():
    flat = torch.full((3, 50, 70), 137, dtype=torch.uint8)
    assert (resize_image(flat, 20, 30) == 137).all()
    image = torch.from_numpy(picture(6, 60, 48)).permute(2, 0, 1)
    assert abs(resize_image(image, 24, 30).float().mean() - image.float().mean()) < 2
