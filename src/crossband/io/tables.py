"""Temperatures as plain numbers: NumPy's ``.npy`` and tables of text (``.csv``) as thermography exports."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np

__all__ = ["is_npy", "npy_size", "read_npy", "read_table", "table_size"]

LEAST_SIDE = 16  # smaller arrays are matrices, and narrower tables are logs
_NPY = b"\x93NUMPY"
_MOST_TEXT = 1 << 28
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?|[nN]a[nN]")


def is_npy(data: bytes) -> bool:
    """Tell whether the bytes begin as an ``.npy`` file does.

    Example:
        >>> is_npy(b"PNG")
        False
    """
    return data[:6] == _NPY


def npy_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) of an array of numbers ``(H, W)``, from its header.

    Raises:
        ValueError: no header, objects, or no two dimensions.
    """
    _, shape = _npy_header(data)
    return shape[1], shape[0]


def read_npy(data: bytes) -> np.ndarray:
    """Read the array as it is stored; nothing is unpickled.

    Raises:
        ValueError: truncated, objects, or no two dimensions.
    """
    dtype, shape = _npy_header(data)
    if len(data) < dtype.itemsize * shape[0] * shape[1]:
        raise ValueError(f"truncated: {len(data)} bytes for {shape[0]} x {shape[1]} of {dtype}")
    return np.load(BytesIO(data), allow_pickle=False)


def _npy_header(data: bytes) -> tuple[np.dtype, tuple[int, int]]:
    file = BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
        version
    )
    if read is None:
        raise ValueError(f"an .npy file of version {version}")
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.kind not in "buif":
        raise ValueError(f"an .npy file of {dtype}, no plain numbers")
    if len(shape) != 2:
        raise ValueError(f"an array of {len(shape)} dimensions; an image has two")
    return dtype, (int(shape[0]), int(shape[1]))


def table_size(head: bytes) -> tuple[int, int] | None:
    """Return (columns, ``LEAST_SIDE``) where a text begins with a row of so many numbers.

    A table of temperatures has many columns, and a log has few.

    Example:
        >>> table_size((";".join(["21,5"] * 20) + "\\n").encode()), table_size(b"time,lat,lon\\n1,2,3\\n")
        ((20, 16), None)
    """
    if b"\0" in head:
        return None
    for line in head.decode("latin-1").splitlines()[:64]:
        numbers = _numbers(line)
        if len(numbers) >= LEAST_SIDE:
            return len(numbers), LEAST_SIDE
    return None


def read_table(data: bytes, max_pixels: int) -> np.ndarray:
    """Read the longest block of rows with equally many numbers, float32 ``(H, W)``.

    Lines before and after it, a head say, are passed over. Fields are separated by semicolons or tabs, and
    numbers may have a decimal comma; or by commas or blanks.

    Raises:
        ValueError: no such block, or too large.
    """
    if len(data) > _MOST_TEXT:
        raise ValueError(f"a table of {len(data)} bytes, more than {_MOST_TEXT}")
    best: list[list[float]] = []
    block: list[list[float]] = []
    for line in [*data.decode("utf-8-sig", "replace").splitlines(), ""]:
        row = _numbers(line)
        if block and len(row) != len(block[0]):
            best, block = max(best, block, key=lambda rows: len(rows)), []
        if len(row) >= LEAST_SIDE:
            block.append(row)
            if len(block) * len(row) > max_pixels:
                raise ValueError(f"a table of more than {max_pixels} numbers")
    if len(best) < LEAST_SIDE:
        raise ValueError(f"no table of numbers with {LEAST_SIDE} rows and columns at least")
    return np.array(best, np.float32)


def _numbers(line: str) -> list[float]:
    """The numbers of a line of nothing else; a first field may be the row's name."""
    semicolons = ";" in line or "\t" in line
    fields = [
        field.strip().strip('"') for field in re.split(r"[;\t]" if semicolons else r"[,\s]", line.strip())
    ]
    while fields and not fields[-1]:
        fields.pop()
    if fields and not _NUMBER.fullmatch(fields[0]):
        fields = fields[1:]
    if not all(_NUMBER.fullmatch(field) for field in fields):
        return []
    return [float(field.replace(",", ".")) for field in fields]
