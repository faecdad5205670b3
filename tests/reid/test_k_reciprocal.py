"""Re-ranking against the paper's steps on whole matrices."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.metrics.reid import ReidLabels, score_reid
from crossband.reid.k_reciprocal import rerank_blocks
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.search import distance_blocks


def _reference(queries: np.ndarray, gallery: np.ndarray, k1: int, k2: int, share: float) -> np.ndarray:
    items = np.concatenate([queries, gallery]).astype(np.float64)
    n = len(items)
    distance = ((items[:, None] - items[None]) ** 2).sum(-1)
    distance /= distance.max(1, keepdims=True)
    order = np.argsort(distance, axis=1)

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    weights = np.zeros((n, n))
    for i in range(n):
        own = reciprocal(i, k1)
        grown = set(own)
        for j in own:
            other = reciprocal(j, round(k1 / 2))
            if len(other & own) > 2 / 3 * len(other):
                grown |= other
        for j in grown:
            weights[i, j] = np.exp(-distance[i, j])
    weights /= weights.sum(1, keepdims=True)
    weights = np.stack([weights[order[i, :k2]].mean(0) for i in range(n)])
    q = len(queries)
    least = np.minimum(weights[:q, None], weights[None, q:]).sum(-1)
    return (1 - share) * (1 - least / (2 - least)) + share * distance[:q, q:]


def crowd(rng: np.random.Generator, n: int, identities: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, identities, n)
    centers = np.random.default_rng(99).standard_normal((identities, 16))
    return (centers[labels] + spread * rng.standard_normal((n, 16))).astype(np.float32), labels


@pytest.mark.parametrize(("k1", "k2", "share"), [(20, 6, 0.3), (7, 1, 0.0), (5, 3, 0.9), (4, 2, 0.3)])
def test_the_sparse_way_gives_the_papers_distances(k1, k2, share):
    rng = np.random.default_rng(k1)
    (queries, _), (gallery, _) = crowd(rng, 25, 8, 0.7), crowd(rng, 90, 8, 0.7)
    blocks = list(rerank_blocks(queries, gallery, k1, k2, share, max_memory=1 << 13))
    found = np.concatenate([block for _, block in blocks])
    assert len(blocks) > 1
    assert np.abs(found - _reference(queries, gallery, k1, k2, share)).max() < 1e-5


def test_it_finds_more_where_identities_form_groups():
    rng = np.random.default_rng(3)
    (queries, q), (gallery, g) = crowd(rng, 60, 12, 1.1), crowd(rng, 300, 12, 1.1)
    nothing = [np.full(len(x), -1) for x in (q, g)]
    labels = ReidLabels(q, *(nothing[0],) * 3), ReidLabels(g, *(nothing[1],) * 3)
    plain = score_reid(distance_blocks(ArrayRows(queries), ArrayRows(gallery)), *labels, "all")
    again = score_reid(rerank_blocks(queries, gallery), *labels, "all")
    assert again.mean_ap > plain.mean_ap + 3


def test_fewer_items_than_neighbors_asked_for_are_enough():
    rng = np.random.default_rng(0)
    (queries, _), (gallery, _) = crowd(rng, 2, 2, 0.5), crowd(rng, 4, 2, 0.5)
    ((_, block),) = rerank_blocks(queries, gallery, k1=20, k2=6)
    assert block.shape == (2, 4)
    assert np.isfinite(block).all()


def test_equal_items_are_no_fault():
    ((_, block),) = rerank_blocks(np.zeros((3, 4), np.float32), np.zeros((5, 4), np.float32), k1=3)
    assert np.isfinite(block).all()


@pytest.mark.parametrize("options", [{"k1": 0}, {"k2": 0}, {"original": 1.5}])
def test_wrong_settings_are_refused(options):
    with pytest.raises(CrossbandError):
        next(rerank_blocks(np.zeros((1, 2)), np.zeros((2, 2)), **options))
