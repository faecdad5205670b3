"""A file of several images becomes an image a file, in its own depth."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from crossband.datasets.extract import extract
from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.io.flir import read_kelvin

from ..flir_file import RAW, camera_info, fff, sized


def test_each_page_of_a_tiff_keeps_its_pixels(tmp_path):
    pages = np.arange(6 * 20 * 24).reshape(6, 20, 24).astype(np.uint16)
    tifffile.imwrite(tmp_path / "flight.tiff", pages)
    files = extract(tmp_path / "flight.tiff", tmp_path / "out", every=2)
    assert [file.name for file in files] == [f"flight_{i:06d}.tif" for i in (0, 2, 4)]
    assert np.array_equal(np.stack([read_image(file, "tir").pixels for file in files]), pages[::2])


def test_each_frame_of_a_sequence_has_its_temperatures(tmp_path):
    frames = [fff({1: sized(8, 6, (RAW + np.uint16(i)).tobytes()), 32: camera_info()}) for i in (0, 900)]
    (tmp_path / "a.seq").write_bytes(b"".join(frames))
    files = extract(tmp_path / "a.seq", tmp_path / "out")
    for file, frame in zip(files, frames, strict=True):
        assert np.array_equal(read_image(file, "tir", "kelvin").pixels, read_kelvin(frame))


def test_what_is_none_of_them_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(CrossbandError):
        extract(tmp_path / "a.txt", tmp_path / "out")
    with pytest.raises(CrossbandError, match="there is no"):
        extract(tmp_path / "b.seq", tmp_path / "out")
