"""How much ground a pixel of a single picture shows, from what the picture says of its height and lens."""

from __future__ import annotations

from pathlib import Path

import PIL.Image

from ..io.exif import read_exif
from .flight import meters_a_pixel

__all__ = ["ground_of_picture"]

_HEIGHTS = (2.0, 2000.0)  # meters; what lies beyond is no height above ground


def ground_of_picture(path: str | Path, size: tuple[int, int]) -> float | None:
    """Return meters of ground a pixel in the middle of a picture shows, or None.

    None is where the picture does not say. The height above take-off and the focal length are EXIF's and those
    of DJI's and FLIR's XMP; a picture that does not say where its gimbal looked is taken for one that looks
    straight down.

    Args:
        path: of the picture.
        size: (height, width) of its thermal image, which may be smaller than the picture that carries it.

    Example:
        >>> ground_of_picture("gone.jpg", (512, 640)) is None
        True
    """
    said = read_exif(path)
    altitude, focal = said.get("altitude"), said.get("focal")
    if altitude is None or not focal or not _HEIGHTS[0] <= altitude <= _HEIGHTS[1]:
        return None
    with PIL.Image.open(path) as picture:
        shown = max(picture.size)
    return meters_a_pixel(altitude, said.get("pitch", -90.0), focal * max(size) / shown)
