"""Radiometric FLIR JPEG: temperatures and the embedded photograph, through the library flyr."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from ..bands import Band

__all__ = ["is_radiometric_jpeg", "read_radiometric_jpeg"]

_FLIR_SEGMENT = b"FLIR\x00"
_HEADER_BYTES = 1 << 17


def is_radiometric_jpeg(data: bytes) -> bool:
    """Whether the bytes are a JPEG that carries FLIR records.

    Example:
        >>> is_radiometric_jpeg(b"not a JPEG")
        False
    """
    return (
        data[:2] == b"\xff\xd8"
        and b"\xff\xe1" in data[:_HEADER_BYTES]
        and _FLIR_SEGMENT in data[:_HEADER_BYTES]
    )


def read_radiometric_jpeg(data: bytes, band: Band) -> np.ndarray | None:
    """Kelvin as float32 ``(H, W)`` for ``tir``; the embedded photograph ``(H, W, 3)`` uint8 for ``rgb``.

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
            "a radiometric FLIR JPEG, read by the library flyr; install it with pip install 'crossband[flir]'"
        ) from None
    thermogram = flyr.unpack(BytesIO(data))
    if band is Band.TIR:
        return np.ascontiguousarray(thermogram.kelvin, np.float32)
    photograph = thermogram.optical
    return None if photograph is None else np.ascontiguousarray(photograph[..., :3])
