"""What a decoder process makes of one image file: pixels, a picture for a screen, a temperature, a guess.

Everything here runs in the decoder's process (:mod:`.decoder`) and knows neither torch nor the web.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image

from ..bands import Band, Units, to_kelvin
from ..errors import CrossbandError, ImageFault
from ..io import Image, read_bytes
from ..io.dji import is_dji_thermal
from ..io.flir import is_fff, is_radiometric_jpeg
from ..io.images import decode_image
from .palettes import colors

__all__ = ["Asked", "decode", "guess", "is_video", "render", "value"]

_NAME = "the image"
_ZERO = 273.15
_LARGEST_PICTURE = 4096
_COLD, _HOT = 220, 420  # kelvin, between which the middle of a picture of temperatures lies
_FLAT = 1.5  # a picture of floats that range over less holds shares of light


@dataclass(frozen=True)
class Asked:
    """How one image is to be read.

    Attributes:
        band: for which.
        units: of thermal pixels, where the file does not say.
        frame: of a video.
        crop: left, top, right, bottom as shares of the upright image, or ``None``.
    """

    band: Band
    units: Units | None = None
    frame: int = 0
    crop: tuple[float, float, float, float] | None = None


def is_video(data: bytes) -> bool:
    """Tell by its first bytes whether a file is a video.

    Example:
        >>> is_video(b"\\x1aE\\xdf\\xa3 Matroska"), is_video(b"P5 4 4 255")
        (True, False)
    """
    riff = data[:4] == b"RIFF" and data[8:12] == b"AVI "
    return riff or data[4:8] == b"ftyp" or data[:4] in (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba")


def decode(data: bytes, asked: Asked, max_pixels: int) -> Image:
    """Decode an image file, or one frame of a video.

    Raises:
        ImageFault: it cannot be used.
    """
    if is_video(data):
        return _video_frame(data, asked, max_pixels)
    return decode_image(data, _NAME, asked.band, asked.units, max_pixels)


def read_file(path: str) -> bytes:
    """Read the file of a gallery's item.

    Raises:
        ImageFault: it is gone, or cannot be read.
    """
    try:
        return read_bytes(path)
    except ImageFault as fault:
        raise ImageFault(_NAME, fault.reason) from None  # a stranger is not told where files lie


def cropped(image: Image, crop: tuple[float, float, float, float] | None) -> Image:
    """Cut a part out, at least one pixel."""
    if crop is None:
        return image
    height, width = image.size
    left, top = int(crop[0] * width), int(crop[1] * height)
    right, bottom = (max(a + 1, round(b)) for a, b in ((left, crop[2] * width), (top, crop[3] * height)))
    part = np.ascontiguousarray(image.pixels[min(top, height - 1) : bottom, min(left, width - 1) : right])
    return Image(part, image.units, image.remarks)


def guess(data: bytes, max_pixels: int) -> dict[str, Any]:
    """Guess the band of an image and say why; its size, and the units of its pixels."""
    if is_radiometric_jpeg(data) or is_fff(data):
        image, band, why, sure = decode(data, Asked(Band.TIR), max_pixels), "tir", "a radiometric file", True
    elif is_dji_thermal(data):
        image, band, why, sure = decode(data, Asked(Band.TIR), max_pixels), "tir", "a DJI thermal file", True
    else:
        image = decode(data, Asked(Band.TIR), max_pixels)
        band, why, sure = _by_pixels(image.pixels)
    return {
        "band": band,
        "why": why,
        "sure": sure,
        "height": image.size[0],
        "width": image.size[1],
        "dtype": str(image.pixels.dtype),
        "units": image.units.value,
        "likely_units": _likely_units(image) if band == "tir" else image.units.value,
        "video": is_video(data),
        "remarks": [remark.text for remark in image.remarks],
    }


def _likely_units(image: Image) -> str:
    """The units of thermal pixels; where the file does not say, those in which they are a temperature."""
    some = image.pixels[::4, ::4]
    if image.units is not Units.COUNTS or some.ndim != 2 or not np.isfinite(some).any():
        return image.units.value
    low, middle, high = np.nanpercentile(some, (1, 50, 99))
    if some.dtype == np.uint16:
        likely = Units.CENTIKELVIN if 100 * _COLD < middle < 100 * _HOT else Units.COUNTS
    elif some.dtype.kind == "f" and high - low > _FLAT:
        celsius = _COLD - _ZERO < middle < _HOT - _ZERO
        likely = Units.KELVIN if _COLD < middle < _HOT else Units.CELSIUS if celsius else Units.COUNTS
    else:
        likely = Units.COUNTS
    return likely.value


def render(
    image: Image, band: Band, palette: str, low: float | None, high: float | None, size: int, kind: str
) -> tuple[dict[str, Any], bytes]:
    """Draw an image for a screen.

    Args:
        image: decoded.
        band: thermal ones are colored.
        palette: of :data:`.palettes.PALETTES`.
        low: degrees Celsius, or counts of what has no temperature, of the first color; by default the first
            percentile; ``high`` of the last, the 99th.
        high: see ``low``.
        size: longer side in pixels, at most; never enlarged.
        kind: ``png`` or ``jpeg``.

    Returns:
        what the colors mean, and the file.
    """
    told: dict[str, Any] = {"height": image.size[0], "width": image.size[1], "low": None, "high": None}
    pixels = image.pixels
    if band is Band.TIR:
        values, unit = _values(image)
        finite = values[np.isfinite(values)]
        ends = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
        low = float(ends[0]) if low is None else low
        high = float(ends[1]) if high is None else high
        told |= {"low": low, "high": high, "unit": unit}
        if finite.size:
            told |= {"coldest": float(finite.min()), "hottest": float(finite.max())}
        scaled = np.nan_to_num((values - low) / max(high - low, 1e-6), nan=0.0).clip(0, 1)
        shown = PIL.Image.fromarray(colors(palette)[(scaled * 255).round().astype(np.uint8)])
    else:
        shown = PIL.Image.fromarray(eight_bits(pixels))
    longest = min(size, _LARGEST_PICTURE)
    if max(shown.size) > longest:
        scale = longest / max(shown.size)
        sides = [max(1, round(side * scale)) for side in shown.size]
        shown = shown.resize((sides[0], sides[1]), PIL.Image.Resampling.LANCZOS)
    buffer = BytesIO()
    if kind == "jpeg":
        shown.convert("RGB").save(buffer, "JPEG", quality=82)
    else:
        shown.save(buffer, "PNG", compress_level=3)
    return told, buffer.getvalue()


def value(image: Image, band: Band, x: int, y: int) -> dict[str, Any]:
    """Tell what one pixel holds.

    Raises:
        CrossbandError: it is outside.
    """
    height, width = image.size
    if not (0 <= x < width and 0 <= y < height):
        raise CrossbandError(f"pixel {x}, {y} is outside of {width}x{height}", parameter="x")
    pixel = image.pixels[y, x]
    told: dict[str, Any] = {"x": x, "y": y, "value": np.nan_to_num(pixel.astype(float)).tolist()}
    told["celsius"] = None
    if band is Band.TIR and image.units is not Units.COUNTS and pixel.ndim == 0 and np.isfinite(pixel):
        told["celsius"] = float(to_kelvin(np.asarray(pixel)[None], image.units)[0]) - _ZERO
    return told


def _values(image: Image) -> tuple[np.ndarray, str]:
    pixels = image.pixels
    if image.units is not Units.COUNTS and pixels.ndim == 2:
        return to_kelvin(pixels, image.units) - np.float32(_ZERO), "celsius"
    gray = pixels if pixels.ndim == 2 else pixels[..., :3].astype(np.float32).mean(-1)
    return gray.astype(np.float32), "counts"


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = np.ascontiguousarray(pixels[..., :3])
    if pixels.dtype == np.uint8:
        return pixels
    values = np.nan_to_num(pixels.astype(np.float32))
    low, high = np.percentile(values, (0.5, 99.5))
    return (255 * ((values - low) / max(high - low, 1e-6)).clip(0, 1)).astype(np.uint8)


def _by_pixels(pixels: np.ndarray) -> tuple[str, str, bool]:
    if pixels.ndim == 2:
        if pixels.dtype != np.uint8:
            return "tir", f"gray of {pixels.dtype.itemsize * 8} bits", True
        return "tir", "gray of 8 bits: thermal, or near infrared", False
    some = pixels[::3, ::3, :3].astype(np.float32)
    color = some - some.mean(-1, keepdims=True)
    color -= color.mean((0, 1)).clip(-2, 2)  # a video tints gray a little, everywhere the same
    spread = np.abs(color).max(-1).mean()
    if spread < 1.5:
        return "tir", "a color file without color: thermal, or near infrared", False
    return "rgb", "a color picture", True


def _video_frame(data: bytes, asked: Asked, max_pixels: int) -> Image:
    from ..io.video import read_video

    place = os.memfd_create("video")  # the library reads videos by path: this one has no name
    try:
        _write_all(place, data)
        frames = read_video(f"/proc/self/fd/{place}")
        pixels = next(itertools.islice(frames, asked.frame, None), None)
    except ImageFault:
        raise
    except CrossbandError as error:
        raise ImageFault(_NAME, str(error).replace(f"/proc/self/fd/{place}", "the video")) from None
    finally:
        os.close(place)
    if pixels is None:
        raise ImageFault(_NAME, f"the video has no frame {asked.frame}; frames are counted from 0")
    if pixels.shape[0] * pixels.shape[1] > max_pixels:
        raise ImageFault(_NAME, f"the video's frames have more than {max_pixels} pixels")
    return Image(pixels, asked.units or Units.COUNTS if asked.band is Band.TIR else Units.COUNTS)


def _write_all(place: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(place, view) :]
