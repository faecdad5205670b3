"""Matches and the similarity that explains them, against what was planted and against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossband.matching import consensus, mutual_matches


@pytest.mark.parametrize("seed", range(5))
def test_a_similarity_is_found_among_as_many_wrong_matches(seed):
    rng = np.random.default_rng(seed)
    here = rng.uniform(0, 40, 80) + 1j * rng.uniform(0, 40, 80)
    factor = rng.uniform(0.8, 1.2) * np.exp(1j * rng.uniform(-0.4, 0.4))
    there = factor * here + (3 - 2j) + 0.2 * (rng.normal(size=80) + 1j * rng.normal(size=80))
    wrong = np.arange(80) % 2 == 0
    there[wrong] = rng.uniform(0, 40, 40) + 1j * rng.uniform(0, 40, 40)
    found = consensus(here, there, 1.5)
    assert found.inliers[~wrong].mean() > 0.95
    assert abs(found.factor - factor) < 0.05
    assert np.abs(found.factor * here + found.offset - (factor * here + 3 - 2j)).max() < 1.5


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_matches_explain_nothing(n):
    assert not consensus(np.arange(n) + 0j, np.arange(n) + 0j, 1.0).inliers.any()


def test_a_scale_beyond_the_bounds_is_no_hypothesis():
    here = np.arange(40) + 1j * (np.arange(40) % 7)
    assert consensus(here, 3 * here, 1.0).inliers.sum() < 20


def test_mutual_matches_are_those_of_a_search_both_ways():
    generator = torch.Generator().manual_seed(0)
    query, other = (F.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (30, 50))
    found = mutual_matches((query @ other.T).numpy())
    distance = torch.cdist(query.double(), other.double())
    assert np.array_equal(found.partner, distance.argmin(1).numpy())
    back = distance.argmin(0).numpy()
    assert np.array_equal(found.mutual, back[found.partner] == np.arange(30))
