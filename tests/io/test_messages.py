"""What reading an image says where it cannot: a file's content on the left, its fault on the right."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.errors import ImageFault
from crossband.io import image_size, read_image

from ..flir_file import radiometric_jpeg
from ..messages import assert_says


def jpeg(cut: int = 0) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    PIL.Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()[: len(file.getvalue()) - cut]


def bomb() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0)
    packed = struct.pack(">I", len(header) - 4) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + packed


def many_channels() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((5, 7, 6), np.uint8), photometric="minisblack", planarconfig=1)
    return file.getvalue()


FILES = {
    "empty": (b"", "empty file (0 bytes)"),
    "text": (b"<html>404</html>", "not an image"),
    "cut": (jpeg(300), "truncated"),
    "bomb": (bomb(), "decompression bomb: 65535 x 65535 pixels, more than"),
    "channels": (many_channels(), "6 channels; give one band a file"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_says(tmp_path, case):
    content, words = FILES[case]
    (tmp_path / "a.img").write_bytes(content)
    assert_says(lambda: read_image(tmp_path / "a.img"), words, ImageFault)


def test_what_is_no_file_says(tmp_path):
    assert_says(lambda: read_image(tmp_path / "gone.png"), "gone.png: missing", ImageFault)
    assert_says(lambda: image_size(tmp_path / "gone.png"), "gone.png: missing", ImageFault)
    assert_says(lambda: read_image(tmp_path), "not a file", ImageFault)
    assert_says(lambda: read_image(tmp_path / ("a" * 5000)), "cannot be read", ImageFault)


def test_units_and_bands_say(tmp_path):
    PIL.Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert_says(lambda: read_image(tmp_path / "a.png", "tir", "kelvins"), "unknown units 'kelvins'")
    assert_says(lambda: read_image(tmp_path / "a.png", "lwir"), "unknown band 'lwir'")


RECORDS = {
    "cut": ({"cut": 900}, "its FLIR records cannot be read"),
    "directory": ({"claimed": 2**32 - 1}, "the directory is damaged"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_flir_records_say(tmp_path, case):
    pytest.importorskip("flyr")
    options, words = RECORDS[case]
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(**options))
    assert_says(lambda: read_image(tmp_path / "a.jpg", "tir"), words, ImageFault)
