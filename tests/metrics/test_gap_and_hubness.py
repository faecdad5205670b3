"""The gap between two bands, and how evenly a gallery answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew

from crossband.metrics import hubness, modality_gap


def test_the_gap_is_the_distance_of_the_means_and_pairs_are_told_from_strangers():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20, 8))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y)]
    found = modality_gap(3 * x, y)
    assert found.gap == pytest.approx(np.linalg.norm(unit[0].mean(0) - unit[1].mean(0)))
    distances = np.linalg.norm(unit[0][:, None] - unit[1][None], axis=-1)
    assert found.pairs == pytest.approx(np.diag(distances).mean())
    assert found.strangers == pytest.approx(distances[~np.eye(20, dtype=bool)].mean())


def test_a_shift_between_the_bands_is_the_gap():
    x = np.random.default_rng(0).normal(size=(50, 6)) * 0.01 + np.eye(6)[0]
    y = x @ np.roll(np.eye(6), 1, axis=1)
    assert modality_gap(x, x).gap == 0
    assert modality_gap(x, y).gap == pytest.approx(2**0.5, abs=0.02)


def test_hubness_counts_answers_and_its_skewness_is_scipys():
    found = np.random.default_rng(0).integers(0, 30, (100, 3))
    ours = hubness(found, 40)
    assert ours.counts.sum() == 300
    assert ours.skewness == pytest.approx(skew(ours.counts))
    assert ours.antihubs == pytest.approx((ours.counts == 0).mean())
    assert ours.counts[ours.top] == ours.counts.max()


def test_an_even_gallery_has_no_hubs():
    even = hubness(np.arange(10)[:, None], 10)
    assert (even.skewness, even.antihubs) == (0, 0)
