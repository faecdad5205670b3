"""Radiometric FLIR JPEG: temperatures and the embedded photograph, through the library flyr."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from ..bands import Band

__all__ = ["has_flir_records", "is_radiometric_jpeg", "read_radiometric_jpeg"]

_FLIR_SEGMENT = b"FLIR\x00"
_HEADER_BYTES = 1 << 17
_MAX_RECORDS = 4096  # real files have some thirty; flyr walks as many as the header claims


def is_radiometric_jpeg(data: bytes) -> bool:
    """Return whether the bytes are a JPEG that carries FLIR records.

    Example:
        >>> is_radiometric_jpeg(b"not a JPEG")
        False
    """
    return (
        data[:2] == b"\xff\xd8"
        and b"\xff\xe1" in data[:_HEADER_BYTES]
        and _FLIR_SEGMENT in data[:_HEADER_BYTES]
    )


def has_flir_records(path: Path) -> bool:
    """Return whether the file is a JPEG that carries FLIR records; only its head is read.

    Example:
        >>> has_flir_records(Path("gone.jpg"))
        False
    """
    try:
        with open(path, "rb") as file:
            return is_radiometric_jpeg(file.read(_HEADER_BYTES))
    except OSError:
        return False


def read_radiometric_jpeg(data: bytes, band: Band) -> np.ndarray | None:
    """Read a radiometric FLIR JPEG: kelvin as float32 ``(H, W)`` for ``tir``, or its photograph.

    The photograph for ``rgb`` is uint8 ``(H, W, 3)`` or, where it is gray, ``(H, W)``.

    The embedded photograph as uint8 for ``rgb``, ``(H, W, 3)`` or, where it is gray, ``(H, W)``.

    Object temperatures follow the file's own emissivity, distance and atmosphere (flyr's conversion).

    Returns:
        ``None`` when the file carries no photograph and one is asked for: its own picture is then meant.

    Raises:
        ValueError: the records cannot be read, or flyr is not installed.
    """
    try:
        import flyr
    except ImportError:
        raise ValueError(
            "radiometric FLIR JPEG: reading it needs flyr; pip install 'crossband[flir]'"
        ) from None
    if _records_claimed(data) > _MAX_RECORDS:
        raise ValueError("its FLIR records cannot be read (the directory is damaged)")
    try:
        thermogram = flyr.unpack(BytesIO(data))
        kelvin = np.ascontiguousarray(thermogram.kelvin, np.float32)
    except Exception as error:  # flyr lets through whatever a broken record raises
        raise ValueError(f"its FLIR records cannot be read ({type(error).__name__}: {error})") from None
    if band is Band.TIR:
        return kelvin
    photograph = thermogram.optical
    if photograph is None or photograph.ndim == 2:
        return photograph
    return np.ascontiguousarray(photograph[..., :3])


def _records_claimed(data: bytes) -> int:
    header = data.find(b"FFF\x00", data.find(_FLIR_SEGMENT))
    return int.from_bytes(data[header + 28 : header + 32], "big") if header >= 0 else 0
