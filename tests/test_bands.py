"""Bands, units and normalizations."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.bands import (
    BANDS,
    Band,
    Normalization,
    default_normalization,
    parse_band,
    to_kelvin,
)
from crossband.errors import CrossbandError


def test_bands_are_named_as_in_the_manifest():
    assert [band.value for band in BANDS] == ["rgb", "nir", "tir"]
    assert parse_band("nir") is Band.NIR


@pytest.mark.parametrize(
    ("units", "pixels", "kelvin"),
    [
        ("kelvin", np.array([293.15], np.float32), 293.15),
        ("centikelvin", np.array([29315], np.uint16), 293.15),
        ("celsius", np.array([20.0], np.float32), 293.15),
    ],
)
def test_units_become_kelvin(units, pixels, kelvin):
    result = to_kelvin(pixels, units)
    assert result.dtype == np.float32
    assert result == pytest.approx(kelvin, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.int32, np.float32, np.float64])
@pytest.mark.parametrize("limits", [(1, 99), (0, 100), (2.5, 60)])
@pytest.mark.parametrize("shape", [(7, 5), (31, 17, 3), (1, 2)])
def test_percentile_limits_equal_numpys(dtype, limits, shape):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 250, shape).astype(dtype)
    low, high = np.percentile(pixels.astype(np.float64), limits)
    expected = ((pixels.astype(np.float64) - low) / (high - low)).clip(0, 1)
    result = Normalization.parse(f"percentile:{limits[0]}:{limits[1]}")(pixels)
    assert result.dtype == np.float32
    assert result == pytest.approx(expected, abs=1e-5)


def test_sixteen_bits_keep_their_steps():
    pixels = np.arange(30000, 30400, dtype=np.uint16).reshape(20, 20)
    assert len(np.unique(Normalization.parse("percentile:0:100")(pixels))) == 400


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_image_becomes_zeros(dtype):
    assert not Normalization.parse("percentile")(np.full((4, 4), 7, dtype)).any()


def test_pixels_that_are_no_number_become_zero():
    pixels = np.array([[1.0, 2.0, 3.0], [np.nan, np.inf, -np.inf]], np.float32)
    result = Normalization.parse("percentile:0:100")(pixels)
    assert result.tolist() == [[0.0, 0.5, 1.0], [0.0, 1.0, 0.0]]
    assert not Normalization.parse("percentile")(np.full((2, 2), np.nan, np.float32)).any()


def test_a_kelvin_range_is_the_same_for_every_image():
    normalize = Normalization.parse("kelvin:273.15:373.15")
    assert normalize(np.array([27315, 32315, 37315, 40000], np.uint16), "centikelvin") == pytest.approx(
        [0, 0.5, 1, 1], abs=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_range_divides_by_the_full_range_of_the_type(dtype):
    top = np.iinfo(dtype).max
    assert Normalization.parse("range")(np.array([0, top], dtype)).tolist() == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "percentile:99:1",
        "percentile:-1:99",
        "percentile:1:101",
        "kelvin:300:300",
        "kelvin:a:b",
        "kelvin:1",
        "kelvin:0:inf",
        "kelvin:nan:300",
        "percentile:1:2:3",
    ],
)
def test_limits_out_of_order_are_refused(text):
    with pytest.raises(CrossbandError):
        Normalization.parse(text)


@pytest.mark.parametrize("text", ["percentil", "repeat8:1:2", ""])
def test_an_unknown_normalization_names_the_known(text):
    with pytest.raises(CrossbandError, match="normalization"):
        Normalization.parse(text)


@pytest.mark.parametrize("text", ["percentile:1:99", "kelvin:263.1512:313.1512", "repeat8", "range"])
def test_a_normalization_reads_back_what_it_writes(text):
    assert str(Normalization.parse(text)) == text


def test_thermal_is_stretched_and_the_others_are_not():
    assert [str(default_normalization(band)) for band in BANDS] == ["range", "range", "percentile:1:99"]
