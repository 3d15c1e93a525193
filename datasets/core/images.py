"""Images from files: 8-bit RGB, 16-bit depth, and the resize that training and evaluation share."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from depth.types import UserError

# KITTI frames have half a megapixel; a header that claims more than this is damaged or an attack on memory.
MAX_PIXELS = 100_000_000
_MAX_FILE_BYTES = 1 << 29

# What Pillow raises for damaged files, found by feeding it mutated ones.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)

_DEEP_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".pgm"})
_PNG_BITS = 24  # where a PNG says how many bits a value has
_JPEG_END = b"\xff\xd9"
_JPEG_TAIL = 4096  # bytes in which the end is looked for
_JPEG_FILLING = 16  # so many zeros at the end of a file have filled it up

# EXIF orientation -> what turns a stored picture, (H,W,3), upright; 1 is upright. From 5 on the sides are exchanged.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.swapaxes(0, 1),
    6: lambda rgb: rgb.swapaxes(0, 1)[:, ::-1],
    7: lambda rgb: rgb.swapaxes(0, 1)[::-1, ::-1],
    8: lambda rgb: rgb.swapaxes(0, 1)[::-1],
}
_ON_ITS_SIDE = 5


def read_image(path: Path) -> Tensor:
    """A PNG or JPEG as uint8 (3,H,W) RGB.

    Grey is repeated, alpha dropped, a palette resolved, 16 bits rounded to 8; the picture is turned upright by its EXIF
    rotation, as prediction turns it. The memory may be laid out as (H,W,3). Raises UserError naming the file where it
    cannot be read or decoded, or claims more than MAX_PIXELS.
    """
    data = _read_bytes(path)
    header = _open(data, path)
    turn = _UPRIGHT.get(_orientation(header))
    # cv2 for JPEG: Pillow takes half as long again, and torchvision's decoders are on their way out. Pillow for PNG:
    # cv2 puts complaints of its own on stderr, and torchvision 0.29 dies of a segmentation fault on damaged ones.
    rgb = _decode_jpeg(data, header, path) if header.format == "JPEG" else _to_rgb(_load(header, path))
    return torch.from_numpy(rgb if turn is None else np.ascontiguousarray(turn(rgb))).permute(2, 0, 1)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture, from the file's header. Raises UserError as `read_image` does."""
    header = _open(_read_bytes(path), path)
    width, height = header.size
    return (height, width) if _orientation(header) >= _ON_ITS_SIDE else (width, height)


def has_16_bits(path: Path) -> bool:
    """Whether an image has one channel of 16 bits, by its header; False where that cannot be read."""
    if path.suffix.lower() not in _DEEP_SUFFIXES:
        return False
    try:
        with Image.open(path) as header:
            return header.mode.startswith("I")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False  # whoever reads it says what is wrong with it


def read_depth_png(path: Path, scale: float = 256.0) -> np.ndarray:
    """A depth map in a 16-bit grey PNG: float32 (H,W) metres, 0 where there is none.

    `scale` is what stands in the file for a metre, 256 in KITTI's. Raises UserError for anything but a readable 16-bit
    grey PNG.
    """
    image = _load(_open(_read_bytes(path), path), path)
    if image.format != "PNG" or not image.mode.startswith("I"):
        raise UserError(f"{path}: a depth map is a 16-bit grey PNG, this is {image.format} with mode {image.mode}")
    return np.asarray(image).astype(np.float32) / np.float32(scale)


def read_ids(path: Path, deep: bool = False) -> np.ndarray:
    """The numbers in a grey or palette PNG, as they are stored: int32 (H,W).

    Grey has 8 or 16 bits, with `deep` 16. Raises UserError for anything else, for a damaged file, and where the
    numbers could be meant in two ways.
    """
    data = _read_bytes(path)
    image = _load(_open(data, path), path)
    if image.format != "PNG" or image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
        raise UserError(f"{path}: ids are a grey or palette PNG, this is {image.format} with mode {image.mode}")
    if deep and not image.mode.startswith("I"):
        raise UserError(f"{path}: these ids are a PNG of 16 bits, this has mode {image.mode}")
    # Of 4 bits, 1 is the id 1 to some writers and 17, the same grey in 8 bits, to others and to those who shrink files.
    if image.mode in ("L", "1") and data[_PNG_BITS] < 8:
        raise UserError(f"{path}: a grey PNG of {data[_PNG_BITS]} bits, ids need 8 or 16: save it with so many")
    ids = np.asarray(image).astype(np.int32)
    if image.mode == "P" and _shuffled_greys(np.reshape(image.getpalette(), (-1, 3)), ids.max()):
        raise UserError(f"{path}: a palette of greys that are not their own numbers: save it as a grey PNG")
    return ids


def _shuffled_greys(palette: np.ndarray, last: int) -> bool:
    """Whether a palette looks like grey ids in a smaller file: then the ids are its entries, and not their numbers."""
    grey = (palette == palette[:, :1]).all()
    return bool(grey and (palette[: last + 1, 0] != np.arange(min(last + 1, len(palette)))).any())


def read_colours(path: Path) -> np.ndarray:
    """An RGB PNG as it is stored, uint8 or uint16 (H,W,3); Pillow would round 16 bits to 8.

    Raises UserError for anything else.
    """
    data = _read_bytes(path)
    header = _open(data, path)
    try:
        header.verify()  # the checksums: cv2 decodes what is lost to black
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (cv2.error, *_DAMAGE) as error:
        raise UserError(f"{path}: damaged or truncated ({_reason(error)}); replace or remove the file") from None
    if image is None or header.format != "PNG" or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"{path}: not an RGB PNG, but {header.format} with mode {header.mode}")
    return np.ascontiguousarray(image[..., ::-1])


def resize_image(image: Tensor, height: int, width: int) -> Tensor:
    """Antialiased Lanczos resize of uint8 (3,H0,W0) to contiguous uint8 (3,height,width).

    It is Pillow's, to a rounding step of 1/255, which is what Monodepth2's weights were trained on. On one slow core a
    1242x375 frame takes to 640x192: lanczos 0.97 ms, bicubic 0.68, bilinear 0.54, cv2's INTER_AREA 1.71, Pillow's
    lanczos 4.8; from Pillow's lanczos they are 0.005, 0.87, 2.3, 1.6 and 0 of 255 away on average. So lanczos costs
    0.4 ms beside the 1.6 ms of decoding, and checkpoints see the pixels they know.
    """
    if image.shape[1:] == (height, width):
        return image.contiguous()
    if not _TORCH_HAS_LANCZOS:
        resized = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).resize((width, height), Image.LANCZOS)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()
    batch = torch.nn.functional.interpolate(image[None], (height, width), mode="lanczos", antialias=True)
    return batch[0].contiguous()


def _torch_has_lanczos() -> bool:
    """Newer releases of torch resize 8-bit images with lanczos; older ones refuse the mode."""
    try:
        probe = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
        torch.nn.functional.interpolate(probe, (2, 2), mode="lanczos", antialias=True)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True


_TORCH_HAS_LANCZOS = _torch_has_lanczos()


def _read_bytes(path: Path) -> np.ndarray:
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise UserError(f"{path}: {size:,} bytes are too many for an image")
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if data.size == 0:
        raise UserError(f"{path}: the file is empty; replace or remove it")
    return data


def _open(data: np.ndarray, path: Path) -> Image.Image:
    """Reads the header only; the size is checked before memory is taken for the pixels."""
    try:
        image = Image.open(io.BytesIO(data.data), formats=("PNG", "JPEG"))
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: neither a PNG nor a JPEG, or its header is damaged") from None
    except (Image.DecompressionBombError, *_DAMAGE) as error:
        raise UserError(f"{path}: damaged header ({_reason(error)}); replace or remove the file") from None
    width, height = image.size
    if width * height > MAX_PIXELS or width * height == 0:
        raise UserError(f"{path}: its header claims {width}x{height} pixels; replace or remove the file")
    return image


def _orientation(header: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1, upright, where the header has none or one that cannot be read."""
    try:
        # Image's own method: that of a PNG decodes the pixels to look behind them.
        found = Image.Image.getexif(header).get(ExifTags.Base.Orientation)
    except _DAMAGE:
        return 1
    return found if found in _UPRIGHT else 1


def _decode_jpeg(data: np.ndarray, header: Image.Image, path: Path) -> np.ndarray:
    """uint8 (H,W,3), writable. Raises UserError."""
    image = None
    if _JPEG_END in data[-_JPEG_TAIL:].tobytes() or _goes_on_behind_its_end(data, header, path):
        try:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            image = None
    if image is None:
        raise UserError(f"{path}: damaged or truncated JPEG; replace or remove the file")
    return image


def _goes_on_behind_its_end(data: np.ndarray, header: Image.Image, path: Path) -> bool:
    """Whether a JPEG without an end near the file's is whole: some phones append data. Raises UserError for a lost end.

    cv2 decodes what is lost to grey. Pillow refuses it, unless the file was filled up with zeros.
    """
    if not data[-_JPEG_FILLING:].any():
        return False
    _load(header, path)
    return True


def _load(image: Image.Image, path: Path) -> Image.Image:
    try:
        image.load()
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged or truncated ({_reason(error)}); replace or remove the file") from None
    return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H,W,3). Pillow clips 16-bit grey where it should scale, hence the first case."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) + 128) // 257
        return np.repeat(grey.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _reason(error: Exception) -> str:
    """A library's message in one line."""
    return " ".join(str(error).split())[:120]
