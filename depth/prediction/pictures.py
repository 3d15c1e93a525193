"""The user's own pictures as arrays: any common format, bit depth and number of channels in, 8-bit RGB out.

`datasets.core.images` reads the PNGs and JPEGs of a dataset; here more formats are taken.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from depth.types import UserError

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
_MAX_PIXELS = 200_000_000
# What Pillow raises for damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


def read_picture(path: Path) -> np.ndarray:
    """A picture from a file as uint8 (H,W,3) RGB, upright by its EXIF rotation.

    Grey is repeated, alpha dropped, a palette resolved, 16 bits rounded to 8. Raises UserError naming the file where
    it cannot be read or decoded.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise UserError(f"{path}: {image.width}x{image.height} pixels are too many")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image), path)
    except Image.UnidentifiedImageError:
        raise UserError(f"{path} is no image, or its header is damaged (known: {', '.join(_FORMATS)})") from None
    except (Image.DecompressionBombError, *_DAMAGE) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be read as an image: {reason}") from None


def as_picture(image: np.ndarray | Tensor) -> np.ndarray:
    """An array or a tensor as uint8 (H,W,3) RGB.

    Args:
        image: numpy (H,W), (H,W,3) or (H,W,4), or a tensor (3,H,W), RGB; uint8, uint16, or floats in [0,1].

    Raises:
        UserError: another shape or type, or floats outside [0,1].
    """
    if isinstance(image, Tensor):
        if image.dim() != 3 or image.shape[0] != 3:
            raise UserError(f"a tensor image is (3,H,W), this has the shape {tuple(image.shape)}")
        image = image.detach().permute(1, 2, 0).cpu().numpy()
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, 2)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        raise UserError(f"an image is (H,W,3), (H,W,4) or (H,W), this has the shape {image.shape}")
    return np.ascontiguousarray(_to_8_bits(image[:, :, :3]))


def resize_picture(picture: np.ndarray, height: int, width: int) -> Tensor:
    """uint8 (H0,W0,3) -> uint8 (3,height,width), antialiased Lanczos as in training."""
    if picture.shape[:2] != (height, width):
        picture = np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def _to_rgb(image: Image.Image, path: Path) -> np.ndarray:
    """Pillow clips 16-bit grey and float pictures where it should scale, hence the first two cases."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64).clip(0, 65535).astype(np.uint16)
        return as_picture(grey)
    if image.mode == "F":
        raise UserError(f"{path} holds floating-point pixels: save it with 8 or 16 bits")
    return np.array(image.convert("RGB"))


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(values.dtype, np.floating):
        raise UserError(f"an image holds uint8, uint16 or floats in [0,1], this holds {values.dtype}")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise UserError("an image of floats lies in [0,1]; divide by 255 where it was made of 8-bit values")
    return np.round(values * 255).astype(np.uint8)
