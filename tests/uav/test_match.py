"""Distances against their definitions and OpenCV's; calibration against a search by hand."""

import cv2
import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.uav.match import (
    bhattacharyya,
    calibrate_threshold,
    combined,
    mser_distance,
    object_crop,
    pair_distances,
    signature,
    temperature_histogram,
)


@pytest.fixture
def crops():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(6):
        crop = 300 + rng.normal(0, 0.3, (12, 20))
        top, left = rng.integers(0, 6, 2)
        crop[top : top + 5, left : left + 7] += rng.uniform(-12, 15)
        found.append(crop)
    return found


def test_bhattacharyya_is_opencvs(crops):
    histograms = [temperature_histogram(crop - 300) for crop in crops]
    for p in histograms:
        for q in histograms:
            reference = cv2.compareHist(p.astype(np.float32), q.astype(np.float32), cv2.HISTCMP_BHATTACHARYYA)
            assert float(bhattacharyya(p, q)) == pytest.approx(reference, abs=1e-3)


def test_a_histogram_is_of_temperatures_relative_to_ambient_and_takes_up_what_lies_beyond():
    low, high = temperature_histogram(np.full((3, 3), -500.0)), temperature_histogram(np.full((3, 3), 500.0))
    assert low.sum() == pytest.approx(1)
    assert high.sum() == pytest.approx(1)
    assert (low.argmax(), high.argmax()) == (0, len(high) - 1)
    assert bhattacharyya(low, high) == pytest.approx(1)


def test_mser_distance_is_its_definition_by_loops(crops):
    first, second = (signature(crop, 300.0).regions for crop in crops[:2])
    total = []
    for mine, other in ((first, second), (second, first)):
        best = [
            min(0.4 * min(abs(a[1] - b[1]), 1) + 0.6 * min(abs(a[0] - b[0]) / 15, 1) for b in other)
            for a in mine
        ]
        total.append(sum(w * b for w, b in zip(mine[:, 2], best, strict=True)) / mine[:, 2].sum())
    assert mser_distance(first, second) == pytest.approx(sum(total) / 2)


def test_an_object_is_nearest_to_itself_and_distances_are_the_same_both_ways(crops):
    signatures = [signature(crop, 300.0) for crop in crops]
    for part in pair_distances(signatures, signatures):
        assert part == pytest.approx(part.T)
        assert np.diag(part) == pytest.approx(0, abs=1e-7)
        assert part.min() >= 0
        assert part.max() <= 1


def test_a_warmer_day_changes_nothing(crops):
    here, there = signature(crops[0], 300.0), signature(crops[0] + 7.0, 307.0)
    assert here.histogram == pytest.approx(there.histogram)
    assert here.regions == pytest.approx(there.regions, abs=1e-5)


def test_regions_are_where_the_heat_is():
    crop = np.full((20, 40), 300.0)
    crop[8:12, 2:8] = 320.0
    regions = signature(crop, 300.0).regions
    hot = regions[np.argmax(regions[:, 0])]
    assert hot[0] == pytest.approx(20, abs=4)
    assert hot[1] == pytest.approx(15 / np.hypot(20, 10), abs=0.1)


def test_an_object_without_contrast_is_one_region():
    assert signature(np.full((5, 7), 300.0), 298.0).regions.tolist() == [[2.0, 0.0, 1.0]]


@pytest.mark.parametrize("crop", [np.zeros((0, 4)), np.full((3, 3), np.nan)])
def test_a_crop_without_temperatures_is_refused(crop):
    with pytest.raises(CrossbandError):
        signature(crop, 300.0)


def test_equation_1_weighs_both_parts():
    heat, regions = np.array([0.2]), np.array([0.6])
    assert combined(heat, regions, 0.25) == pytest.approx([0.5])
    with pytest.raises(CrossbandError, match="beta"):
        combined(heat, regions, 1.5)


def test_no_other_threshold_is_right_more_often():
    rng = np.random.default_rng(1)
    present, absent = rng.normal(0.3, 0.1, 40), rng.normal(0.5, 0.1, 30)
    threshold, accuracy = calibrate_threshold(present, absent)
    by_hand = [50 * ((present <= t).mean() + (absent > t).mean()) for t in np.linspace(-1, 2, 5001)]
    assert accuracy == pytest.approx(max(by_hand))
    assert accuracy == pytest.approx(50 * ((present <= threshold).mean() + (absent > threshold).mean()))


@pytest.mark.parametrize("box", [(-5, -5, -1, -1), (100, 100, 120, 120), (3, 3, 3, 3)])
def test_a_box_at_the_edge_still_has_a_pixel(box):
    assert object_crop(np.zeros((10, 10)), box).size >= 1
