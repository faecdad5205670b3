"""A JPEG of which less is needed is decoded at a half, a quarter or an eighth, and never too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band
from crossband.data.preprocess import Placement, Preprocess
from crossband.io import read_image
from crossband.io.pillow import jpeg_size


def written(path: Path, size: tuple[int, int] = (640, 480), **how: object) -> Path:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC).save(path, **how)
    return path


@pytest.mark.parametrize(
    ("least", "size"),
    [(None, (480, 640)), (300, (480, 640)), (240, (240, 320)), (100, (120, 160)), (1, (60, 80))],
)
def test_the_smallest_that_suffices_is_decoded(tmp_path, least, size):
    assert read_image(written(tmp_path / "a.jpg"), least=least).size == size


def test_other_formats_are_whole(tmp_path):
    assert read_image(written(tmp_path / "a.png"), least=10).size == (480, 640)


def test_a_turned_jpeg_is_turned(tmp_path):
    exif = PIL.Image.Exif()
    exif[274] = 6
    assert read_image(written(tmp_path / "a.jpg", exif=exif), least=100).size == (160, 120)


def test_a_network_reads_nearly_the_same_of_it(tmp_path):
    path, preprocess = written(tmp_path / "a.jpg", quality=95), Preprocess((96, 128))
    least = preprocess.least(Band.RGB)
    assert read_image(path, least=least).size == (240, 320)
    whole, small = (preprocess.unit(read_image(path, least=n), Band.RGB) for n in (None, least))
    assert (whole - small).abs().mean() < 0.01


def test_images_whose_own_pixels_count_are_read_whole():
    placed = Preprocess(rig={Band.TIR: Placement("180")})
    assert (placed.least(Band.TIR), placed.least(Band.RGB)) == (None, 320)


@pytest.mark.parametrize(
    "how", [{}, {"progressive": True}, {"quality": 20, "subsampling": 2}, {"comment": b"x" * 999}]
)
def test_the_size_of_a_jpeg_is_in_its_first_segments(tmp_path, how):
    data = written(tmp_path / "a.jpg", (31, 17), **how).read_bytes()
    assert jpeg_size(data) == (31, 17)
    for end in range(0, len(data), 7):
        assert jpeg_size(data[:end]) in (None, (31, 17))
    assert jpeg_size(b"") is jpeg_size(b"\x89PNG") is None
