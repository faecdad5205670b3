"""Radiometric JPEG: temperatures, the embedded photograph, and every fault named."""

from __future__ import annotations

import builtins
import math

import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band, Units
from crossband.errors import ImageFault
from crossband.io import read_image
from crossband.io.flir import has_flir_records, is_radiometric_jpeg

from ..flir_file import PHOTO, PLANCK, RAW, radiometric_jpeg


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "flir.jpg"
    path.write_bytes(radiometric_jpeg())
    return path


def test_thermal_pixels_are_kelvin_by_plancks_law(file):
    pytest.importorskip("flyr")
    image = read_image(file, "tir")
    planck = [
        PLANCK["b"] / math.log(PLANCK["r1"] / (PLANCK["r2"] * (raw + PLANCK["o"])) + PLANCK["f"])
        for raw in RAW.ravel().tolist()
    ]
    assert image.units is Units.KELVIN
    assert image.pixels.dtype == np.float32
    assert image.pixels.ravel() == pytest.approx(planck, abs=0.05)


def test_units_in_the_manifest_do_not_overrule_the_file(file):
    pytest.importorskip("flyr")
    assert read_image(file, "tir", "centikelvin").units is Units.KELVIN


def test_the_visible_band_is_the_embedded_photograph(file):
    pytest.importorskip("flyr")
    image = read_image(file, "rgb")
    assert np.array_equal(image.pixels, PHOTO)
    assert image.units is Units.COUNTS


@pytest.mark.parametrize("band", ["rgb", "tir"])
def test_both_bands_are_upright(file, tmp_path, band):
    pytest.importorskip("flyr")
    (tmp_path / "turned.jpg").write_bytes(radiometric_jpeg(orientation=6))
    turned = read_image(tmp_path / "turned.jpg", band).pixels
    assert np.array_equal(turned, np.rot90(read_image(file, band).pixels, 3))


def test_a_gray_photograph_keeps_its_width(tmp_path):
    pytest.importorskip("flyr")
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(PHOTO[..., 0]))
    assert np.array_equal(read_image(tmp_path / "a.jpg", "rgb").pixels, PHOTO[..., 0])


def test_without_a_photograph_the_files_own_picture_is_read(tmp_path):
    pytest.importorskip("flyr")
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(None))
    assert read_image(tmp_path / "a.jpg", "rgb").pixels.shape == (6, 8, 3)


def test_near_infrared_is_the_files_own_picture(file):
    assert read_image(file, Band.NIR).pixels.shape == (6, 8, 3)


@pytest.mark.parametrize("cut", [900, 1400])
def test_damaged_records_are_a_named_fault(tmp_path, cut):
    pytest.importorskip("flyr")
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(cut=cut))
    with pytest.raises(ImageFault, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg", "tir")


def test_a_damaged_photograph_leaves_the_temperatures(tmp_path):
    pytest.importorskip("flyr")
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(cut=300))
    assert read_image(tmp_path / "a.jpg", "tir").size == (8, 6)
    assert read_image(tmp_path / "a.jpg", "rgb").size == (8, 6)


def test_a_directory_that_claims_billions_of_records_is_not_walked(tmp_path):
    pytest.importorskip("flyr")
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(claimed=2**32 - 1))
    with pytest.raises(ImageFault, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg", "tir")


def test_a_thermal_image_above_the_limit_is_refused(file):
    pytest.importorskip("flyr")
    with pytest.raises(ImageFault, match=r"jpg"):
        read_image(file, "tir", max_pixels=47)


def test_without_flyr_the_mend_is_said(file, monkeypatch):
    real_import = builtins.__import__

    def without_flyr(name, *args, **kwargs):
        if name == "flyr":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_flyr)
    with pytest.raises(ImageFault, match=r"pip install 'crossband\[flir\]'"):
        read_image(file, "tir")


def test_only_a_jpeg_with_flir_records_is_radiometric(file, tmp_path):
    assert is_radiometric_jpeg(file.read_bytes())
    assert has_flir_records(file)
    PIL.Image.fromarray(PHOTO).save(tmp_path / "plain.jpg")
    assert not has_flir_records(tmp_path / "plain.jpg")
    assert not has_flir_records(tmp_path)
    assert not is_radiometric_jpeg(b"FLIR\0" + file.read_bytes())
