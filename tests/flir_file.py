"""A minimal radiometric FLIR JPEG, built byte by byte: FFF header, raw data, camera info, photograph."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image

RAW = np.arange(12000, 12000 + 6 * 8 * 50, 50, dtype=np.uint16).reshape(6, 8)
PHOTO = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
PLANCK = {"r1": 16556.0, "b": 1428.0, "f": 1.0, "o": -342, "r2": 0.046952}


def camera_info() -> bytes:
    """A record of 1,000 bytes with emissivity 1 at no distance, so that Planck's law alone is left."""
    record = bytearray(1000)
    # emissivity, distance, reflected, atmosphere and window temperature, window transmission
    struct.pack_into("<6f", record, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", record, 60, 0.5)  # relative humidity
    struct.pack_into("<3f", record, 88, PLANCK["r1"], PLANCK["b"], PLANCK["f"])
    struct.pack_into("<5f", record, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into("<if", record, 776, PLANCK["o"], PLANCK["r2"])
    return bytes(record)


def sized(width: int, height: int, content: bytes) -> bytes:
    """Two bytes of anything, width, height, and the content from byte 32 on."""
    return struct.pack("<HHH", 2, width, height).ljust(32, b"\0") + content


def fff(records: dict[int, bytes], claimed: int | None = None, order: str = ">") -> bytes:
    """An FFF file: header, directory, records; entries are counted from the header's own 64 bytes on."""
    offset, directory, body = 64 + 32 * len(records), b"", b""
    for kind, record in records.items():
        entry = struct.pack(order + "HHIIII", kind, 1, 100, 1, offset + len(body), len(record))
        directory += entry.ljust(32, b"\0")
        body += record
    count = claimed if claimed is not None else len(records) + 2
    header = b"FFF\0" + b"test".ljust(16, b"\0") + struct.pack(order + "III", 100, 64, count)
    return header.ljust(64, b"\0") + directory + body


def radiometric_jpeg(
    photograph: np.ndarray | None = PHOTO, claimed: int | None = None, cut: int = 0, orientation: int = 1
) -> bytes:
    raw = io.BytesIO()
    PIL.Image.fromarray(RAW.byteswap()).save(raw, format="PNG")  # FLIR writes PNG in the wrong byte order
    records = {1: sized(8, 6, raw.getvalue()), 32: camera_info()}
    if photograph is not None:
        photo = io.BytesIO()
        PIL.Image.fromarray(photograph).save(photo, format="PNG")
        records[14] = sized(14, 10, photo.getvalue())
    own = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(np.full((6, 8, 3), 90, np.uint8)).save(own, format="JPEG", exif=exif)
    content = fff(records, claimed)
    content = content[: len(content) - cut] + b"\0"
    chunk = b"FLIR\0\x01" + bytes([0, 0]) + content
    segment = b"\xff\xe1" + struct.pack(">H", len(chunk) + 2) + chunk
    return own.getvalue()[:2] + segment + own.getvalue()[2:]
