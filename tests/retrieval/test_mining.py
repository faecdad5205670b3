"""Mining as one top-k finds what a loop over queries finds."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.metrics.protocol import PositiveMask
from crossband.retrieval.mining import mine_tuples, near_pairs


def scene(seed: int, n: int = 60, d: int = 5):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 100, (n, 2)), rng.standard_normal((n, d)).astype(np.float32)


def _reference(spots, vectors, rows, near, far, n_negatives):
    found = []
    for row in rows:
        meters = np.linalg.norm(spots - spots[row], axis=1)
        order = np.argsort(np.linalg.norm(vectors - vectors[row], axis=1), kind="stable")
        positives = [i for i in order if meters[i] <= near and i != row]
        negatives = [i for i in order if meters[i] > far][:n_negatives]
        if positives and len(negatives) == n_negatives:
            found.append([row, positives[0], *negatives])
    return np.array(found)


@pytest.mark.parametrize("seed", range(6))
def test_one_top_k_finds_what_a_loop_over_queries_finds(seed):
    spots, vectors = scene(seed)
    rows = np.arange(0, 60, 2)
    near, far = PositiveMask(spots, spots, 12.0), PositiveMask(spots, spots, 30.0)
    found = mine_tuples(vectors[rows], vectors, rows, near, far, rows, n_negatives=4)
    table = np.concatenate([found.queries[:, None], found.positives, found.negatives], 1)
    assert table.tolist() == _reference(spots, vectors, rows, 12.0, 30.0, 4).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_no_negative_is_near_and_no_positive_is_far_or_the_query_itself(seed):
    spots, vectors = scene(seed)
    rows = np.arange(60)
    near, far = PositiveMask(spots, spots, 12.0), PositiveMask(spots, spots, 20.0)
    found = mine_tuples(vectors, vectors, rows, near, far, rows, n_positives=3, n_negatives=6)
    meters = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
    assert (meters[found.queries[:, None], found.negatives] > 20).all()
    assert (meters[found.queries[:, None], found.positives] <= 12).all()
    assert (found.positives != found.queries[:, None]).all()


def test_the_same_frame_in_another_band_is_a_positive():
    spots = np.array([[0.0], [50.0], [90.0]])
    vectors = np.eye(3, dtype=np.float32)
    found = mine_tuples(
        vectors,
        vectors,
        np.arange(3),
        PositiveMask(spots, spots, 5),
        PositiveMask(spots, spots, 5),
        np.full(3, -1),
        n_negatives=1,
    )
    assert found.positives[:, 0].tolist() == [0, 1, 2]


def test_pairs_are_all_pairs_whatever_the_block():
    spots, _ = scene(0, 1100)
    rows = np.arange(1100)
    i, j = near_pairs(PositiveMask(spots, spots, 10.0), rows, rows)
    close = np.linalg.norm(spots[:, None] - spots[None], axis=-1) <= 10
    np.fill_diagonal(close, False)
    assert (np.argwhere(close) == np.stack([i, j], 1)).all()


def test_without_any_tuple_it_says_what_to_change():
    spots, vectors = scene(0)
    far = PositiveMask(spots, spots, 1e6)
    with pytest.raises(CrossbandError, match=r"sampling\.positive"):
        mine_tuples(vectors, vectors, np.arange(60), far, far, np.arange(60))
