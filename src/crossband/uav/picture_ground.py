"""How much ground a pixel of a single picture shows, by what is known of its height and lens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from ..io.exif import exif_and_side
from .flight import meters_a_pixel

__all__ = ["COARSEST", "ground_of_picture"]

COARSEST = 10.0
"""Meters of ground that a pixel shows, at most."""

_FINEST = 0.001
_HEIGHTS = (2.0, 2000.0)  # meters; what lies beyond is no height above ground
_PITCHES = (-100.0, -10.0)  # degrees: above, a view shows the horizon rather than ground
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def ground_of_picture(
    data: bytes, size: tuple[int, int], known: Mapping[str, Any] | pd.Series = _NOTHING
) -> float | None:
    """Return meters of ground a pixel in the middle of a picture shows, or None.

    None is where neither the manifest nor the picture says so, or says what cannot be. A picture's height above
    take-off and its pitch are those of DJI's and FLIR's XMP, which EXIF has no place for; its focal length is
    DJI's or EXIF's. One that does not say where its gimbal looked is taken for one that looks straight down.

    Args:
        data: the picture's file.
        size: (height, width) of its thermal image, which may be smaller than the picture that carries it.
        known: what counts before what the picture says, of ``altitude`` (meters above ground), ``pitch``
            (degrees above the horizon) and ``focal`` (pixels of the thermal image).

    Example:
        >>> ground_of_picture(b"", (512, 640), {"altitude": 50.0, "focal": 500.0})
        0.1
    """
    said, side = exif_and_side(data)
    if side and "focal" in said:
        said["focal"] *= max(size) / side
    told = {name: _number(known, name) for name in ("altitude", "focal", "pitch")}
    said |= {name: value for name, value in told.items() if value is not None}
    altitude, focal, pitch = said.get("altitude", 0.0), said.get("focal", 0.0), said.get("pitch", -90.0)
    if not (_HEIGHTS[0] <= altitude <= _HEIGHTS[1] and focal > 0 and _PITCHES[0] <= pitch <= _PITCHES[1]):
        return None
    meters = meters_a_pixel(altitude, pitch, focal)
    return meters if _FINEST <= meters <= COARSEST else None


def _number(known: Mapping[str, Any] | pd.Series, name: str) -> float | None:
    try:
        value = float(known[name])
    except (KeyError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
