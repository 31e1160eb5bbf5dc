"""Decoding images from anywhere, safely: the size is checked before a single pixel is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from microtome.core.errors import TooLarge, UnsupportedMedia
from microtome.probes.base import ImageArray

#: Formats whose decoders are memory safe in practice and whose files stand alone.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})


def open_checked(source: bytes | Path, max_pixels: int, name: str) -> Image.Image:
    """An opened, not yet decoded image of at most ``max_pixels``.

    Raises:
        UnsupportedMedia: not an image of a known format.
        TooLarge: too many pixels, read from the header alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound, below, is stricter
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except Image.DecompressionBombError:
        raise TooLarge(f"{name} declares more pixels than can be decoded; the limit is {max_pixels:,}.", field="file") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise UnsupportedMedia(f"{name} is not an image that can be read. Use JPEG, PNG or WebP.", field="file") from None
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"{name} has {width} x {height} pixels; at most {max_pixels:,} are allowed. Scale it down first.", field="file")
    if width < 1 or height < 1:
        raise UnsupportedMedia(f"{name} has no pixels.", field="file")
    return image


def to_rgb(image: Image.Image, *, orient: bool = True) -> ImageArray:
    """uint8 [H, W, 3]: first frame, upright by EXIF, 16-bit scaled to 8, transparency on white."""
    if orient:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode.startswith("I") else max(float(deep.max(initial=0.0)), 1e-12)
        image = Image.fromarray((deep / top * 255).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def decode_image(source: bytes | Path, max_pixels: int, name: str = "The file", *, orient: bool = True) -> ImageArray:
    """Decode to uint8 [H, W, 3].

    Raises:
        UnsupportedMedia, TooLarge: as :func:`open_checked`, or the file breaks off.
    """
    image = open_checked(source, max_pixels, name)
    try:
        return to_rgb(image, orient=orient)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UnsupportedMedia(f"{name} is damaged: {str(error)[:120]}.", field="file") from None
    except Image.DecompressionBombError:
        raise TooLarge(f"{name} unpacks to more than {max_pixels:,} pixels.", field="file") from None
