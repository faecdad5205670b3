"""Where and when an image was taken: EXIF's position and time, and the height and gimbal of DJI's XMP."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import warnings
from pathlib import Path
from typing import Any

import PIL.Image

__all__ = ["read_exif"]

_GPS, _MORE = 0x8825, 0x8769
_TAKEN, _CHANGED, _FRACTION, _FOCAL_35 = 0x9003, 0x0132, 0x9291, 0xA405
_XMP = {"RelativeAltitude": "altitude", "GimbalYawDegree": "heading", "GimbalPitchDegree": "pitch"}
_XMP_VALUE = re.compile(
    rb"drone-dji:(" + b"|".join(name.encode() for name in _XMP) + rb")(?:=\"|>)\s*([-+]?\d+(?:\.\d+)?)"
)
_HEAD = 1 << 18
_FORMATS = ("JPEG", "TIFF", "PNG", "WEBP")


def read_exif(path: str | Path) -> dict[str, Any]:
    """Read what a file says of where and when it was taken; nothing is decoded.

    What cannot be read is not there.

    Returns:
        of ``lat`` and ``lon`` (degrees), ``time`` (ISO 8601, with what there is of a second), ``altitude``
        (meters above take-off), ``heading`` (degrees clockwise from north), ``pitch`` (degrees above the
        horizon) and ``focal`` (pixels, by the focal length in 35 mm) those that are there.

    Example:
        >>> read_exif("gone.jpg")
        {}
    """
    found: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(path, formats=_FORMATS) as image:
                exif, width = image.getexif(), max(image.size)
                gps, more = dict(exif.get_ifd(_GPS)), dict(exif.get_ifd(_MORE))
                changed = exif.get(_CHANGED)
    except Exception:  # whatever a damaged header raises; the image itself is judged where it is read
        return found
    found.update(_position(gps))
    if (time := _time(more.get(_TAKEN) or changed, more.get(_FRACTION))) is not None:
        found["time"] = time
    for name, value in _XMP_VALUE.findall(head):
        found[_XMP[name.decode()]] = float(value)
    with contextlib.suppress(TypeError, ValueError):
        if (focal := float(more[_FOCAL_35]) if _FOCAL_35 in more else 0.0) > 0:
            found["focal"] = focal / 36 * width
    return found


def _position(gps: dict[int, Any]) -> dict[str, float]:
    """Latitude and longitude of EXIF's degrees, minutes and seconds."""
    found = {}
    for name, sign, value, most in (("lat", 1, 2, 90), ("lon", 3, 4, 180)):
        try:
            degrees = sum(float(part) / 60**power for power, part in enumerate(gps[value]))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return {}
        if not math.isfinite(degrees) or abs(degrees) > most:
            return {}
        found[name] = -degrees if str(gps.get(sign, "")).strip("\0 ").upper() in ("S", "W") else degrees
    return {} if found == {"lat": 0.0, "lon": 0.0} else found  # no fix


def _time(text: object, fraction: object) -> str | None:
    digits = re.match(r"\d{1,6}", str(fraction or ""))
    try:
        moment = datetime.datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return moment.isoformat() + (f".{digits[0]}" if digits else "")
