"""What a file holds besides, and what cannot be right in it, is said."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.bands import Units
from crossband.io import RemarkLog, read_image
from crossband.io.remarks import Remark, suspicions
from crossband.progress import says_once

from ..conftest import blobs

WARM = (15 + 20 * blobs(np.random.default_rng(0), (64, 48))).astype(np.float32)  # degrees C


def kinds(path, band="tir", units=None):
    return [remark.kind for remark in read_image(path, band, units).remarks]


def test_a_clean_thermal_image_has_nothing_to_be_said():
    for units, pixels in (
        (Units.CELSIUS, WARM),
        (Units.KELVIN, WARM + 273.15),
        (Units.CENTIKELVIN, ((WARM + 273.15) * 100).astype(np.uint16)),
        (Units.COUNTS, (WARM * 200).astype(np.uint16)),
    ):
        assert suspicions(pixels, units) == []


def test_declared_holes_are_masked(tmp_path):
    pixels = WARM.copy()
    pixels[:10, :10] = -9999
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, "-9999", True)])
    image = read_image(tmp_path / "a.tif", "tir", "celsius")
    assert np.isnan(image.pixels[:10, :10]).all()
    assert np.array_equal(image.pixels[10:], WARM[10:])
    assert "no data" in [remark.kind for remark in image.remarks]


def test_declared_holes_of_counts_are_masked_and_the_others_stay_exact(tmp_path):
    pixels = (WARM * 1000).astype(np.uint16)
    pixels[0, :3] = 0
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, "0", True)])
    read = read_image(tmp_path / "a.tif", "tir").pixels
    assert np.isnan(read[0, :3]).all()
    assert np.array_equal(read[1:], pixels[1:])


@pytest.mark.parametrize(
    ("value", "many", "units", "kind"),
    [
        (-9999, 300, "celsius", "temperatures"),
        (-9999, 300, "counts", "outliers"),
        (np.nan, 5, "celsius", "holes"),
        (np.inf, 5, "celsius", "holes"),
        (0, 40, "kelvin", "temperatures"),
        (1e6, 2, "counts", "outliers"),
    ],
)
def test_what_cannot_be_right_is_suspected(value, many, units, kind):
    pixels = WARM + (273.15 if units == "kelvin" else 0)
    pixels.reshape(-1)[:many] = value
    assert kind in [remark.kind for remark in suspicions(pixels, units)]


def test_wrong_units_are_suspected(tmp_path):
    PIL.Image.fromarray(WARM.astype(np.uint8)).save(tmp_path / "a.png")
    assert kinds(tmp_path / "a.png") == []
    assert kinds(tmp_path / "a.png", units="centikelvin") == ["temperatures"]


def test_a_constant_image_is_said_in_any_band(tmp_path):
    PIL.Image.new("RGB", (8, 8), (3, 3, 3)).save(tmp_path / "a.png")
    assert kinds(tmp_path / "a.png", "rgb") == ["constant"]


def test_pages_are_counted_but_for_smaller_copies(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for i in range(6):
            writer.write(WARM + i, contiguous=False)
        writer.write(WARM[::2, ::2], subfiletype=1, contiguous=False)
    remarks = read_image(tmp_path / "a.tif", "tir").remarks
    assert [(r.kind, r.text.split()[0]) for r in remarks] == [("pages", "6")]


def test_numbers_beyond_float32_are_masked_said_and_nothing_else_is_printed(tmp_path, capsys, recwarn):
    pixels = WARM.astype(np.float64)
    pixels[0, 0] = 1e300
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42112, "s", 0, "\x01junk", True)])
    image = read_image(tmp_path / "a.tif", "tir")
    assert np.isnan(image.pixels[0, 0])
    assert np.array_equal(image.pixels[1:], WARM[1:])
    assert "range" in [remark.kind for remark in image.remarks]
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list


def test_many_images_are_said_once_a_kind():
    log = RemarkLog()
    for name in ("b", "a", "b"):
        log.add(name, [Remark("pages", f"6 pages of {name}")])
    assert log.lines() == ["pages: 2 images, first a: 6 pages of a"]


def test_a_log_says_what_its_verb_has_not_said_yet(capsys):
    @says_once
    def verb():
        for paths in (("b.tif", "c.tif"), ("a.tif", "b.tif"), ("b.tif",)):
            log = RemarkLog()
            for path in paths:
                log.add(path, [Remark("pages", "6 pages")])
            log.say()

    for _ in range(2):
        verb()
        assert capsys.readouterr().err.splitlines() == [
            "pages: 2 images, first b.tif: 6 pages",
            "pages: 1 image, first a.tif: 6 pages",
        ]
