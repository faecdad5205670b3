"""DJI's R-JPEG: the sensor's counts in APP3, beside a picture in false color.

M2EA, M30T, M3T, H20T and their like write the thermal image's 16-bit counts, row by row, into the APP3
segments. How counts become temperatures is DJI's own (its Thermal SDK) and published nowhere: counts are all
that is read.
"""

from __future__ import annotations

import struct

import numpy as np

from .flir import segments

__all__ = ["is_dji_thermal", "read_dji_counts"]

_COUNTS, _PARAMETERS, _FRAME = 0xE3, 0xE4, (0xC0, 0xC1, 0xC2)


def is_dji_thermal(data: bytes) -> bool:
    """Tell whether the bytes are a JPEG whose APP3 segments hold one 16-bit count a pixel.

    Example:
        >>> is_dji_thermal(b"not a JPEG")
        False
    """
    return data[:2] == b"\xff\xd8" and b"\xff\xe3" in data[: 1 << 18] and _parts(data) is not None


def read_dji_counts(data: bytes) -> np.ndarray:
    """Read the counts, uint16 ``(H, W)``.

    Raises:
        ValueError: there are none.
    """
    found = _parts(data)
    if found is None:
        raise ValueError("it carries no counts of a DJI thermal camera")
    counts, (height, width) = found
    return np.frombuffer(counts, "<u2").reshape(height, width).astype(np.uint16)


def _parts(data: bytes) -> tuple[bytes, tuple[int, int]] | None:
    """The counts and their (height, width): the picture's, or half of it where the camera enlarged that."""
    counts, size, parameters = [], None, False
    for marker, payload in segments(data):
        parameters |= marker == _PARAMETERS
        if marker == _COUNTS:
            counts.append(payload)
        if marker in _FRAME and len(payload) >= 5:
            size = struct.unpack(">HH", payload[1:5])
    if size is None or not parameters or not counts:
        return None
    whole = b"".join(counts)
    for part in (1, 2):
        height, width = size[0] // part, size[1] // part
        if height * width and len(whole) == 2 * height * width:
            return whole, (height, width)
    return None
