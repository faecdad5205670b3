"""The centroid condition against a plain loop over places."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.metrics import centroid_condition


def _reference_score(queries, query_places, gallery, gallery_places) -> int:
    """Places whose own gallery centroid is strictly nearest to their query centroid."""
    places = sorted(set(query_places) & set(gallery_places))
    score = 0
    for place in places:
        mine = np.mean([v for v, p in zip(queries, query_places, strict=True) if p == place], axis=0)
        distances = {}
        for other in places:
            theirs = np.mean([v for v, p in zip(gallery, gallery_places, strict=True) if p == other], axis=0)
            distances[other] = np.sqrt(((mine - theirs) ** 2).sum())
        score += all(distances[place] < distances[other] for other in places if other != place)
    return score


@pytest.mark.parametrize("noise", [0.1, 2.0, 6.0])
def test_it_is_the_plain_loop(noise):
    rng = np.random.default_rng(0)
    names = [f"p{i}" for i in range(12)]
    centers = dict(zip(names, rng.normal(size=(12, 5)), strict=True))
    query_places, gallery_places = rng.choice(names, 80).tolist(), rng.choice(names[:10], 70).tolist()
    queries = np.array([centers[p] + noise * rng.normal(size=5) for p in query_places])
    gallery = np.array([centers[p] + noise * rng.normal(size=5) for p in gallery_places])
    found = centroid_condition(queries, query_places, gallery, gallery_places)
    assert found.score == _reference_score(queries, query_places, gallery, gallery_places)
    assert found.places == tuple(sorted(names[:10]))
    assert found.distances.shape == (10, 10)


def test_a_tie_is_no_point():
    x = np.array([[0.0], [0.0], [9.0]])
    assert centroid_condition(x, ["a", "b", "c"], x, ["a", "b", "c"]).score == 1
