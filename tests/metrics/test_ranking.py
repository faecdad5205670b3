"""Ranks, recall and CMC against a plain loop over queries."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics import Protocol, Ranks, cmc, rank_positives, recall_at
from crossband.metrics.protocol import PositiveMask
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.search import distance_blocks


def _reference_ranks(distances: np.ndarray, right: np.ndarray, itself: np.ndarray | None) -> list[int]:
    """Sort each query's gallery, wrong items first among equals; the place of the first right one."""
    ranks = []
    for query, row in enumerate(distances):
        items = [
            (distance, bool(right[query, item]), item)
            for item, distance in enumerate(row)
            if itself is None or item != itself[query]
        ]
        order = [is_right for _, is_right, _ in sorted(items)]
        ranks.append(order.index(True) + 1 if True in order else 0)
    return ranks


def blocks(distances: np.ndarray, height: int):
    for start in range(0, len(distances), height):
        yield start, distances[start : start + height]


@pytest.mark.parametrize("height", [1, 7, 100])
@pytest.mark.parametrize("protocol", ["exact", "place", "within:25"])
@pytest.mark.parametrize("same", [False, True], ids=["two bands", "one band"])
def test_counting_equals_sorting_each_query(protocol, same, height):
    rng = np.random.default_rng(1)
    n = 60
    frames = Frames.make([{"frame": f"f{i}", "rgb": "a.png"} for i in range(n)], ".")
    places = rng.choice(["a", "b", "c", "d", None], n)  # some queries have nothing right to find
    places[0] = "alone"
    frames = frames.assign(place=places, x=rng.uniform(0, 200, n), y=rng.uniform(0, 40, n))
    distances = rng.integers(0, 12, (n, n)).astype(np.float32)  # ties everywhere
    itself = np.where(rng.random(n) < 0.9, np.arange(n), -1) if same else None
    mask = Protocol.parse(protocol).positives(frames, frames)
    found = rank_positives(blocks(distances, height), mask, itself)
    expected = _reference_ranks(distances, mask.block(0, n), itself)
    assert found.ranks.tolist() == expected
    assert found.n_dropped == expected.count(0)
    assert found.n_queries == n - expected.count(0)


def test_an_infinite_distance_is_never_closer():
    distances = np.array([[np.inf, 1.0, np.inf]], np.float32)
    assert rank_positives([(0, distances)], PositiveMask(np.array([1]), np.arange(3), None)).ranks.tolist() == [
        1
    ]


def test_the_query_s_own_image_counts_neither_as_right_nor_as_wrong():
    distances = np.array([[0.0, 2.0, 1.0]], np.float32)
    mask = PositiveMask(np.array([7]), np.array([7, 7, 8]), None)
    assert rank_positives([(0, distances)], mask, np.array([0])).ranks.tolist() == [2]
    assert distances[0, 0] == 0  # the caller's distances are left alone


@pytest.mark.parametrize("max_memory", [1 << 30, 20_000, 6_000])
def test_a_model_that_maps_every_image_to_one_point_scores_zero(max_memory):
    point = np.random.default_rng(0).normal(size=77) * 10
    rows = ArrayRows(np.tile(point, (100, 1)))
    mask = PositiveMask(np.arange(100), np.arange(100), None)
    ranks = rank_positives(distance_blocks(rows, rows, max_memory), mask)
    assert ranks.ranks.tolist() == [100] * 100
    assert recall_at(ranks, 1) == recall_at(ranks, 10) == 0


def test_recall_is_the_share_of_counted_queries_whose_right_item_ranks_high_enough():
    ranks = Ranks(np.array([1, 5, 6, 0, 2]))
    assert [recall_at(ranks, n) for n in (1, 2, 5, 6)] == [25, 50, 75, 100]


def test_cmc_is_recall_at_every_rank():
    ranks = Ranks(np.random.default_rng(0).integers(0, 30, 200))
    np.testing.assert_allclose(cmc(ranks, 20), [recall_at(ranks, n) for n in range(1, 21)])


def test_without_a_query_that_counts_there_is_no_figure():
    for measure in (recall_at, cmc):
        with pytest.raises(CrossbandError):
            measure(Ranks(np.zeros(3, int)), 5)
    assert rank_positives([], PositiveMask(np.zeros(0), np.zeros(0), None)).n_queries == 0


def test_what_is_not_a_number_counts_against_the_model():
    nothing = np.full((2, 4), np.nan, np.float32)
    exact = PositiveMask(np.arange(2), np.arange(4), None)
    assert rank_positives([(0, nothing)], exact).ranks.tolist() == [4, 4]
    partly = np.array([[0.1, np.nan, 0.5]], np.float32)
    assert rank_positives([(0, partly)], PositiveMask(np.array([0]), np.arange(3), None)).ranks.tolist() == [2]
