"""PNG, JPEG, BMP and WebP, by Pillow; 16-bit color PNG by imagecodecs, because Pillow narrows it to 8 bits."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO

import imagecodecs
import numpy as np
import PIL.Image

from .tiff import narrowed

__all__ = [
    "PNG",
    "check_size",
    "decode_deep_png",
    "decode_with_pillow",
    "is_deep_color_png",
    "jpeg_size",
    "open_with_pillow",
    "orientation_of",
    "upright",
]

PNG = b"\x89PNG\r\n\x1a\n"
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "WEBP")
_EXIF_ORIENTATION = 274
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a picture's size
_STRIP_PIXELS = 1 << 22  # what is copied out of Pillow at once; a whole large image would be there four times


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a size of no pixels, or of more than ``max_pixels``.

    Raises:
        ValueError: it is one.
    """
    if width < 1 or height < 1:
        raise ValueError(f"no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise ValueError(f"decompression bomb: {width} x {height} pixels, more than {max_pixels}")


def is_deep_color_png(data: bytes) -> bool:
    """Tell whether a file is a PNG of several channels of 16 bits."""
    if data[:8] != PNG or len(data) < 33:
        return False
    depth, color = struct.unpack(">BB", data[24:26])
    return depth == 16 and color in (2, 4, 6)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a JPEG from its first segments, ``None`` where they do not say it.

    Example:
        >>> jpeg_size(b"\\xff\\xd8\\xff\\xc0\\x00\\x11\\x08\\x00\\x02\\x00\\x03")
        (3, 2)
    """
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def open_with_pillow(data: bytes) -> PIL.Image.Image:
    """Open an image of a kind that is read; nothing is decoded yet.

    Raises:
        ValueError: it says that it is larger than Pillow opens.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            return PIL.Image.open(BytesIO(data), formats=_FORMATS)
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"decompression bomb: {error}") from None


def decode_with_pillow(data: bytes, max_pixels: int, least: int | None = None) -> np.ndarray:
    """Decode an image in its own depth, upright; ``(H, W)`` or ``(H, W, 3 or 4)``.

    Of a JPEG whose sides are all at least twice ``least``, a half, a quarter or an eighth is decoded, as small
    as ``least`` lets it be: its decoder then computes fewer pixels.
    """
    with open_with_pillow(data) as image:
        check_size(*image.size, max_pixels)  # a PNG may have a second header, and Pillow goes by the last
        orientation = orientation_of(image)
        if least is not None and image.format == "JPEG":
            image.draft(None, (least, least))
        image.load()
        mode = image.mode
        if mode.startswith("I;16"):
            pixels = _array(image, mode).astype(np.uint16, copy=False)
        elif mode == "I":
            pixels = narrowed(_array(image, mode))[0]
        elif mode in ("F", "RGBA", "RGB"):
            pixels = _array(image, mode)
        elif mode in ("1", "L", "LA"):
            pixels = _array(image, "L")
        else:  # palettes and other color spaces
            pixels = _array(image, "RGB")
    return upright(pixels, orientation)


def _array(image: PIL.Image.Image, mode: str) -> np.ndarray:
    """The pixels of a loaded image in a mode; a large one strip by strip, each converted by itself."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    pixels: np.ndarray | None = None
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        part = np.asarray(strip if strip.mode == mode else strip.convert(mode))
        if pixels is None:
            pixels = np.empty((height, *part.shape[1:]), part.dtype)
        pixels[top : top + rows] = part
    assert pixels is not None
    return pixels


def orientation_of(image: PIL.Image.Image) -> int:
    """Read EXIF tag 274, where Pillow does not apply it itself, as it does for TIFF."""
    if image.format == "TIFF":
        return 1
    value = image.getexif().get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def decode_deep_png(data: bytes, max_pixels: int) -> np.ndarray:
    """Decode what :func:`is_deep_color_png` knows, upright; uint16 ``(H, W)`` or ``(H, W, 3 or 4)``."""
    with open_with_pillow(data) as image:
        check_size(*image.size, max_pixels)
        orientation = orientation_of(image)
    pixels = imagecodecs.png_decode(data)
    return upright(pixels[..., 0] if pixels.shape[-1] == 2 else pixels, orientation)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror pixels as EXIF tag 274 asks.

    1 as is, 3 by 180, 6 by 90 clockwise, 8 by 90 counterclockwise, the even ones mirrored; anything else is
    left as is.

    Example:
        >>> upright(np.array([[1, 2], [3, 4]]), 6)
        array([[3, 1],
               [4, 2]])
    """
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 8: 1, 6: 3, 7: 3}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns))
