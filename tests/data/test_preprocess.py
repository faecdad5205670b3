"""What a model reads: shape, scale and statistics of each band, and the sense of every warp."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch

from crossband.bands import Band, Normalization, Units
from crossband.data import preprocess as module
from crossband.data.preprocess import Preprocess, Statistics, Warp, measure_statistics
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.io import Image, read_image

NEUTRAL = {band: Statistics((0.0,) * 3, (1.0,) * 3) for band in Band}


def centroid(image: torch.Tensor) -> tuple[float, float]:
    """(x, y) in pixels of the brightness of ``(1, H, W)``, from the image's center."""
    weights = image[0] / image[0].sum()
    height, width = weights.shape
    x = (weights.sum(0) * (torch.arange(width) + 0.5)).sum() - width / 2
    y = (weights.sum(1) * (torch.arange(height) + 0.5)).sum() - height / 2
    return x.item(), y.item()


def blob(x: float, y: float, size: tuple[int, int] = (120, 200), sigma: float = 4.0) -> torch.Tensor:
    """A bright spot at (x, y) pixels from the center of a ``(1, *size)`` image."""
    height, width = size
    xs = torch.arange(width) + 0.5 - width / 2 - x
    ys = torch.arange(height) + 0.5 - height / 2 - y
    return torch.exp(-(xs[None] ** 2 + ys[:, None] ** 2) / (2 * sigma**2))[None]


def test_the_identity_warp_changes_nothing():
    image = torch.rand(3, 37, 53)
    assert torch.allclose(Warp()(image), image, atol=1e-5)


def test_a_shift_moves_content_right_and_down_by_the_fraction_of_each_side():
    x, y = centroid(Warp(shift=0.1)(blob(-20, -10)))
    assert x == pytest.approx(-20 + 0.1 * 200, abs=0.05)
    assert y == pytest.approx(-10 + 0.1 * 120, abs=0.05)


def test_a_scale_above_one_enlarges_about_the_center():
    x, y = centroid(Warp(scale=1.5)(blob(20, -10)))
    assert (x, y) == (pytest.approx(30, abs=0.05), pytest.approx(-15, abs=0.05))


@pytest.mark.parametrize("angle", [30, 90, -45])
def test_a_rotation_turns_counterclockwise_as_seen_in_pixels_of_a_wide_image(angle):
    x, y = centroid(Warp(rotate=angle)(blob(30, 10)))
    turn = math.radians(angle)  # y points down: counterclockwise as seen is x cos + y sin, y cos - x sin
    assert x == pytest.approx(30 * math.cos(turn) + 10 * math.sin(turn), abs=0.1)
    assert y == pytest.approx(10 * math.cos(turn) - 30 * math.sin(turn), abs=0.1)


def test_a_turn_of_a_wide_image_keeps_circles_round():
    turned = Warp(rotate=45)(blob(0, 0, sigma=8.0))
    assert torch.allclose(turned, blob(0, 0, sigma=8.0), atol=2e-2)


def test_all_at_once_is_scale_and_turn_about_the_center_then_the_shift():
    warp = Warp(shift=0.05, scale=1.1, rotate=5)
    x, y = centroid(warp(blob(30, 10)))
    turn = math.radians(5)
    assert x == pytest.approx(1.1 * (30 * math.cos(turn) + 10 * math.sin(turn)) + 0.05 * 200, abs=0.1)
    assert y == pytest.approx(1.1 * (10 * math.cos(turn) - 30 * math.sin(turn)) + 0.05 * 120, abs=0.1)


def test_a_warp_extends_the_border_instead_of_painting_it_black():
    assert torch.allclose(Warp(shift=0.3, rotate=20)(torch.full((3, 16, 16), 0.7)), torch.tensor(0.7))


@pytest.mark.parametrize(
    ("pixels", "band"),
    [
        (np.zeros((20, 30, 3), np.uint8), "rgb"),
        (np.zeros((20, 30, 4), np.uint8), "rgb"),
        (np.zeros((20, 30), np.uint8), "rgb"),
        (np.zeros((20, 30), np.uint16), "nir"),
        (np.zeros((20, 30, 3), np.uint16), "rgb"),
        (np.zeros((20, 30), np.uint16), "tir"),
        (np.zeros((20, 30), np.float32), "tir"),
        (np.zeros((20, 30, 3), np.uint8), "tir"),
    ],
)
def test_every_depth_and_number_of_channels_becomes_three_channels_of_the_size(pixels, band):
    tensor = Preprocess((48, 64))(Image(pixels), band)
    assert tensor.shape == (3, 48, 64)
    assert tensor.dtype == torch.float32
    assert torch.isfinite(tensor).all()


def test_pixels_are_standardized_by_the_statistics_of_their_band():
    statistics = {**NEUTRAL, Band.NIR: Statistics((0.1, 0.2, 0.3), (0.5, 0.25, 0.125))}
    tensor = Preprocess((2, 2), statistics)(Image(np.full((2, 2), 255, np.uint8)), "nir")
    assert torch.allclose(tensor[:, 0, 0], torch.tensor([1.8, 3.2, 5.6]))


def test_sixteen_bits_are_not_cut_to_eight():
    ramp = np.arange(1000, 1100, dtype=np.uint16).reshape(10, 10)
    tensor = Preprocess((10, 10), NEUTRAL)(Image(ramp), "tir")
    assert len(tensor[0].unique()) > 90  # the 100 values lie within half an 8-bit step of the full range


def test_colors_of_a_thermal_palette_become_their_luminance():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2] = (200, 100, 50)
    preprocess = Preprocess(
        (4, 4), NEUTRAL, {**Preprocess().normalization, Band.TIR: Normalization.parse("range")}
    )
    assert preprocess(Image(pixels), "tir")[0, 0, 0].item() * 255 == pytest.approx(
        0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=0.51
    )


def test_a_fixed_range_of_kelvin_maps_the_same_temperature_to_the_same_number():
    kelvin = {**Preprocess().normalization, Band.TIR: Normalization.parse("kelvin:270:310")}
    cold, warm = (Image(np.full((4, 4), t * 100, np.uint16), Units.CENTIKELVIN) for t in (280, 300))
    preprocess = Preprocess((4, 4), NEUTRAL, kelvin)
    assert preprocess(cold, "tir").unique().item() == pytest.approx(0.25)
    assert preprocess(warm, "tir").unique().item() == pytest.approx(0.75)


def test_kelvin_on_counts_is_refused_in_one_sentence():
    kelvin = {**Preprocess().normalization, Band.TIR: Normalization.parse("kelvin:270:310")}
    with pytest.raises(CrossbandError, match="units") as caught:
        Preprocess((4, 4), NEUTRAL, kelvin)(Image(np.ones((4, 4), np.uint16)), "tir")
    assert caught.value.parameter == "units"


def test_resizing_bytes_agrees_with_resizing_numbers_to_a_gray_level():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    fast = Preprocess((32, 32), NEUTRAL)(Image(pixels), "rgb")
    exact = Preprocess((32, 32), NEUTRAL)(Image(pixels.astype(np.uint16) * 257), "rgb")
    assert (fast - exact).abs().max() < 1.01 / 255


def test_read_only_pixels_give_no_warning(tmp_path, make_pairs):
    root = make_pairs(tmp_path, n=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Preprocess((32, 32))(read_image(root / "rgb" / "0000.png"), "rgb")


def test_its_metadata_is_plain_json_and_complete():
    preprocess = Preprocess((32, 48), NEUTRAL, warp=Warp(0.05, 1.1, 5))
    assert Preprocess.from_description(json.loads(json.dumps(preprocess.describe()))) == preprocess


def test_measured_statistics_standardize_each_band_to_mean_zero_and_deviation_one(tmp_path, make_pairs):
    frames = open_frames(make_pairs(tmp_path, n=5))
    plain = Preprocess((48, 64), NEUTRAL)
    measured = measure_statistics(frames, plain)
    assert set(measured) == {Band.RGB, Band.TIR}
    for band, statistics in measured.items():
        own = Preprocess((48, 64), {band: statistics})
        pixels = torch.stack([own(read_image(path, band), band) for path in frames.paths(band) if path])
        assert torch.allclose(pixels.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
        assert torch.allclose(pixels.std((0, 2, 3)), torch.ones(3), atol=1e-3)


@pytest.mark.parametrize("band", ["rgb", "tir"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_large_image_is_resized_in_strips_to_the_same_numbers(monkeypatch, band, dtype, channels):
    if dtype is np.float32 and band == "rgb":
        pytest.skip("range reads integers")
    pixels = np.random.default_rng(0).integers(0, 250, (130, 90, *channels)).astype(dtype)
    preprocess = Preprocess((48, 64))
    whole = preprocess(Image(pixels), band)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 90 * 17)
    assert torch.equal(preprocess(Image(pixels), band), whole)


def test_statistics_are_measured_with_the_units_of_the_manifest(tmp_path, make_pairs):
    frames = open_frames(make_pairs(tmp_path, n=2)).assign(tir_units="centikelvin")
    kelvin = {**Preprocess().normalization, Band.TIR: Normalization.parse("kelvin:270:310")}
    pixels = read_image(frames.paths("tir")[0], "tir", "centikelvin")
    measured = measure_statistics(frames.select([0]), Preprocess((48, 64), NEUTRAL, kelvin))[Band.TIR]
    expected = Preprocess((48, 64), NEUTRAL, kelvin).unit(pixels, Band.TIR).mean().item()
    assert measured.mean[0] == pytest.approx(expected)


def test_statistics_pass_over_images_that_the_normalization_does_not_fit(tmp_path, make_pairs):
    units = ["centikelvin", "counts", "centikelvin"]
    frames = open_frames(make_pairs(tmp_path, n=3)).assign(tir_units=units)
    kelvin = {**Preprocess().normalization, Band.TIR: Normalization.parse("kelvin:270:310")}
    preprocess = Preprocess((48, 64), NEUTRAL, kelvin)
    assert measure_statistics(frames, preprocess) == {
        **measure_statistics(frames, preprocess),
        Band.TIR: measure_statistics(frames.select([0, 2]), preprocess)[Band.TIR],
    }
    with pytest.raises(CrossbandError, match=r"tir"):
        measure_statistics(frames.select([1]), preprocess)


@pytest.mark.parametrize(("images", "most", "read"), [(9, 5, 5), (10, 5, 5), (11, 5, 4), (5, 5, 5), (3, 5, 3)])
def test_statistics_read_no_more_images_than_they_say(tmp_path, make_pairs, monkeypatch, images, most, read):
    frames = open_frames(make_pairs(tmp_path, n=images, size=(16, 16)))
    seen = []
    monkeypatch.setattr(module, "read_image", lambda *given: seen.append(given) or read_image(*given))
    measure_statistics(frames.assign(tir=None), Preprocess((8, 8)), most)
    assert len(seen) == read


def test_statistics_of_several_sets_count_every_image_alike(tmp_path, make_pairs):
    one = open_frames(make_pairs(tmp_path / "one", n=3, seed=1))
    two = open_frames(make_pairs(tmp_path / "two", n=1, seed=2))
    parts = [measure_statistics(frames, Preprocess((16, 16)))[Band.RGB].mean[0] for frames in (one, two)]
    both = measure_statistics([one, two], Preprocess((16, 16)))[Band.RGB].mean[0]
    assert both == pytest.approx((3 * parts[0] + parts[1]) / 4)


def test_statistics_pass_over_images_that_cannot_be_read(tmp_path, make_pairs):
    root = make_pairs(tmp_path, n=3)
    frames = open_frames(root)
    (root / "rgb" / "0001.png").write_bytes(b"")
    assert Band.RGB in measure_statistics(frames, Preprocess((16, 16)))
    for path in (root / "rgb").iterdir():
        path.write_bytes(b"")
    with pytest.raises(CrossbandError, match="rgb"):
        measure_statistics(frames, Preprocess((16, 16)))
