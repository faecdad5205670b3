"""PGM and PPM of any depth, binary and as text; Pillow narrows them to 8 bits or stretches them."""

from __future__ import annotations

import re

import numpy as np

from .remarks import Remark

__all__ = ["netpbm_size", "read_netpbm"]

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P([2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s")


def netpbm_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a PGM or PPM, ``None`` where the bytes are none.

    Example:
        >>> netpbm_size(b"P5 3 2 255 ......")
        (3, 2)
    """
    header = _HEADER.match(data[: 1 << 16])
    return None if header is None else (int(header[2]), int(header[3]))


def read_netpbm(data: bytes, scaled: bool) -> tuple[np.ndarray, list[Remark]]:
    """Read the pixels of a PGM or PPM: uint8 ``(H, W[, 3])`` up to a maxval of 255, else uint16.

    Args:
        data: the whole file.
        scaled: whether another maxval than 255 or 65535 is brought to the full range, as color wants it; else
            counts stay as they stand, which is said.

    Raises:
        ValueError: truncated, or a maxval or a pixel that the format does not allow.
    """
    header = _HEADER.match(data[: 1 << 16])
    assert header is not None
    kind, width, height, maxval = (int(group) for group in header.groups())
    if not 0 < maxval < 65536:
        raise ValueError(f"a maxval of {maxval}; the format allows 1 to 65535")
    channels, deep = 3 if kind in (3, 6) else 1, maxval > 255
    count = width * height * channels
    content = data[header.end() :]
    values = _from_text(content, count) if kind < 4 else _from_bytes(content, count, deep)
    if values.size and int(values.max()) > maxval:
        raise ValueError(f"damaged: a pixel of {int(values.max())} above the maxval of {maxval}")
    pixels = values.astype(np.uint16 if deep else np.uint8).reshape((height, width, 3)[: 2 + (channels == 3)])
    full = 65535 if deep else 255
    if maxval == full:
        return pixels, []
    if not scaled:
        return pixels, [Remark("maxval", f"its largest value is {maxval}; counts are kept as they stand")]
    spread = np.rint(np.arange(maxval + 1) * full / maxval).astype(pixels.dtype)
    return spread[pixels], [Remark("maxval", f"its largest value is {maxval}; scaled to {full}")]


def _from_bytes(content: bytes, count: int, deep: bool) -> np.ndarray:
    needed = count * (2 if deep else 1)
    if len(content) < needed:
        raise ValueError(f"truncated: {len(content)} bytes of {needed}")
    return np.frombuffer(content, ">u2" if deep else np.uint8, count)


def _from_text(content: bytes, count: int) -> np.ndarray:
    if len(content) < 2 * count - 1:
        raise ValueError(f"truncated: {len(content)} bytes for {count} numbers")
    plain = re.sub(rb"#[^\n]*", b" ", content)
    if re.search(rb"[^0-9\s]", plain):
        raise ValueError("damaged: its pixels are no whole numbers")
    values = np.fromstring(plain.decode("ascii"), np.int64, sep=" ")
    if len(values) < count:
        raise ValueError(f"truncated: {len(values)} numbers of {count}")
    return values[:count]
