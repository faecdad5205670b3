"""Intervals cover what they promise, and the paired test is McNemar's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from crossband.metrics import bootstrap_interval, paired_test


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(p):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.random(100) < p, resamples=300)
        covered += low <= 100 * p <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_interval_is_about_as_wide_as_the_normal_one():
    low, high = bootstrap_interval(np.arange(400) % 4 > 0)
    assert high - low == pytest.approx(100 * 2 * 1.96 * np.sqrt(0.75 * 0.25 / 400), rel=0.1)
    assert low < 75 < high


def test_the_same_hits_give_the_same_interval():
    hits = np.random.default_rng(3).random(50) < 0.7
    assert bootstrap_interval(hits) == bootstrap_interval(hits.copy())
    assert bootstrap_interval(hits, seed=1) != bootstrap_interval(hits, seed=2)


def test_a_wider_level_gives_a_wider_interval():
    hits = np.random.default_rng(3).random(200) < 0.7
    (low, high), (lower, higher) = bootstrap_interval(hits, 0.8), bootstrap_interval(hits, 0.99)
    assert lower < low < high < higher


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (5, 5), (3, 11), (20, 4), (0, 9)])
def test_the_paired_test_is_the_binomial_one_on_the_queries_that_differ(only_first, only_second):
    first = np.array([1] * only_first + [0] * only_second + [1, 1, 0, 0], bool)
    second = np.array([0] * only_first + [1] * only_second + [1, 1, 0, 0], bool)
    found = paired_test(first, second)
    n = only_first + only_second
    expected = scipy.stats.binomtest(only_first, n, 0.5).pvalue if n else 1.0
    assert found.p_value == pytest.approx(expected)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.difference == pytest.approx(100 * (only_first - only_second) / len(first))
    assert found.ci95[0] <= found.difference <= found.ci95[1]


def test_exchanging_the_models_changes_the_sign_only():
    rng = np.random.default_rng(0)
    first, second = rng.random(100) < 0.9, rng.random(100) < 0.6
    forth, back = paired_test(first, second), paired_test(second, first)
    assert forth.p_value == back.p_value
    assert forth.difference == -back.difference
