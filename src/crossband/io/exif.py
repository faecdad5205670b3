"""Where and when an image was taken: EXIF's position and time, height and gimbal of DJI's and FLIR's XMP."""

from __future__ import annotations

import contextlib
import datetime
import io
import math
import re
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import PIL.Image

__all__ = ["exif_and_side", "read_exif"]

_GPS, _MORE = 0x8825, 0x8769
_TAKEN, _CHANGED, _FRACTION, _FOCAL_35 = 0x9003, 0x0132, 0x9291, 0xA405
_FOCAL, _DENSITY, _DENSITY_UNIT, _DIRECTION = 0x920A, 0xA20E, 0xA210, 0x11
_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # of EXIF's units of density
_XMP = {  # what is said twice is taken from the later
    "FLIR:MAVRelativeAltitude": ("altitude", 0.0),
    "FLIR:MAVYaw": ("heading", 0.0),
    "Camera:Yaw": ("heading", 0.0),
    "Camera:Pitch": ("pitch", -90.0),  # Pix4D's: 0 looks straight down
    "drone-dji:RelativeAltitude": ("altitude", 0.0),
    "drone-dji:GimbalYawDegree": ("heading", 0.0),
    "drone-dji:GimbalPitchDegree": ("pitch", 0.0),
    "drone-dji:CalibratedFocalLength": ("focal", 0.0),
}
_XMP_VALUE = re.compile(
    rb"(" + b"|".join(name.encode() for name in _XMP) + rb")(?:=\"|>)\s*([-+]?\d+(?:\.\d+)?)(?:/(\d+))?"
)
_HEAD = 1 << 18
_FORMATS = ("JPEG", "TIFF", "PNG", "WEBP")


def read_exif(path: str | Path) -> dict[str, Any]:
    """Read what a file says of where and when it was taken; nothing is decoded.

    What cannot be read is not there.

    Returns:
        of ``lat`` and ``lon`` (degrees), ``time`` (ISO 8601, with what there is of a second), ``altitude``
        (meters above take-off, of DJI's and FLIR's XMP alone), ``heading`` (degrees clockwise from north),
        ``pitch`` (degrees above the horizon) and ``focal`` (pixels of the picture) those that are there.

    Example:
        >>> read_exif("gone.jpg")
        {}
    """
    return exif_and_side(path)[0]


def exif_and_side(source: str | Path | bytes) -> tuple[dict[str, Any], int]:
    """Read the same of a file or of its bytes, and the larger side of its picture, pixels; 0 without one.

    Example:
        >>> exif_and_side(b"no picture")
        ({}, 0)
    """
    found: dict[str, Any] = {}
    try:
        with contextlib.closing(
            io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")
        ) as file:
            head = file.read(_HEAD)
            file.seek(0)
            exif, side = _header(file)
            gps, more = dict(exif.get_ifd(_GPS)), dict(exif.get_ifd(_MORE))
            changed = exif.get(_CHANGED)
    except Exception:  # whatever a damaged header raises; the image itself is judged where it is read
        return found, 0
    found.update(_position(gps))
    if (time := _time(more.get(_TAKEN) or changed, more.get(_FRACTION))) is not None:
        found["time"] = time
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        if math.isfinite(heading := float(gps[_DIRECTION])):
            found["heading"] = heading
    if (focal := _focal(more, side)) is not None:
        found["focal"] = focal
    said = {
        name.decode(): float(value) / max(float(part or 1), 1) for name, value, part in _XMP_VALUE.findall(head)
    }
    for name in _XMP:
        if math.isfinite(said.get(name, math.nan)):
            target, plus = _XMP[name]
            found[target] = said[name] + plus
    return found, side


def _header(file: BinaryIO) -> tuple[PIL.Image.Exif, int]:
    """EXIF and the larger side of a picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PIL.Image.open(file, formats=_FORMATS) as image:
            return image.getexif(), max(image.size)


def _focal(more: dict[int, Any], width: int) -> float | None:
    """Pixels of the picture, by the focal length in 35 mm, or that of the lens and the sensor's density."""
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        if 0 < (focal := float(more[_FOCAL_35])) < math.inf:
            return focal / 36 * width
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        per_mm = float(more[_DENSITY]) / _MM[int(more.get(_DENSITY_UNIT, 2))]
        if 0 < (focal := float(more[_FOCAL]) * per_mm) < math.inf:
            return focal
    return None


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
