"""Which images a query is trained with: its positives and its hardest negatives.

The hardest negatives of all queries are found at once, as one blocked top-k of the whole descriptor cache
(:func:`crossband.retrieval.exact_search`), not query by query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError
from ..metrics.protocol import PositiveMask
from .descriptor_cache import ArrayRows
from .search import exact_search

__all__ = ["Tuples", "mine_tuples", "near_pairs"]

_BLOCK = 512


@dataclass(frozen=True)
class Tuples:
    """Training tuples.

    Attributes:
        queries: int64 ``(t,)``, rows of the queries.
        positives: int64 ``(t, P)``, rows of the gallery.
        negatives: int64 ``(t, N)``, rows of the gallery, hardest first.
    """

    queries: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def near_pairs(mask: PositiveMask, rows: np.ndarray, itself: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find all (query, gallery) pairs that are near, in order, without each query's own image.

    Args:
        mask: what is near.
        rows: int64 ``(t,)``, the queries looked at.
        itself: int64 ``(t,)``, the gallery row that is the query's own image, or -1.

    Returns:
        positions in ``rows`` and gallery rows, int64 each.
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(rows), _BLOCK):
        part = PositiveMask(mask.queries[rows[start : start + _BLOCK]], mask.gallery, mask.meters)
        near = part.block(0, len(part.queries))
        own = itself[start : start + _BLOCK]
        known = np.flatnonzero(own >= 0)
        near[known, own[known]] = False
        i, j = np.nonzero(near)
        found.append((i + start, j))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([i for i, _ in found]), np.concatenate([j for _, j in found])


def mine_tuples(
    queries: np.ndarray,
    gallery: np.ndarray,
    rows: np.ndarray,
    positive: PositiveMask,
    not_negative: PositiveMask,
    itself: np.ndarray,
    n_positives: int = 1,
    n_negatives: int = 5,
) -> Tuples:
    """Mine the nearest positives and the nearest negatives of some queries, by descriptor.

    Args:
        queries: descriptors of the queries in ``rows``, float32 ``(t, d)``.
        gallery: the cache, float32 ``(m, d)``.
        rows: int64 ``(t,)``, which query each row of ``queries`` is in the masks.
        positive: what may be a positive.
        not_negative: what may not be a negative; at least all positives.
        itself: int64 ``(t,)``, the gallery row that is the query's own image, or -1.
        n_positives: positives per tuple; the nearest is repeated where there are fewer.
        n_negatives: negatives per tuple.

    Returns:
        the tuples of those queries that have a positive and enough negatives, in their order.

    Raises:
        CrossbandError: none has.

    Example:
        >>> spots = np.array([[0.0], [1.0], [50.0], [51.0]])
        >>> near, far = PositiveMask(spots, spots, 5.0), PositiveMask(spots, spots, 25.0)
        >>> vectors = np.array([[0.0], [0.1], [0.3], [0.9]], np.float32)
        >>> found = mine_tuples(vectors[:1], vectors, np.array([0]), near, far, np.array([0]), n_negatives=1)
        >>> found.positives.tolist(), found.negatives.tolist()
        ([[1]], [[2]])
    """
    i, j = near_pairs(positive, rows, itself)
    distance = _pair_distances(queries, gallery, i, j)
    order = np.lexsort((j, distance, i))
    positives = _first_of_each(i[order], j[order], len(rows), n_positives)
    blocked = [np.zeros(0, np.int64), np.zeros(0, np.int64)]
    blocked[0], blocked[1] = near_pairs(not_negative, rows, np.full(len(rows), -1))
    counts = np.bincount(blocked[0], minlength=len(rows))
    wide = min(len(gallery), n_negatives + int(counts.max(initial=0)))
    _, found = exact_search(ArrayRows(queries), ArrayRows(gallery), wide)
    forbidden = np.isin(
        np.arange(len(rows))[:, None] * len(gallery) + found, blocked[0] * len(gallery) + blocked[1]
    )
    allowed = np.argsort(forbidden, axis=1, kind="stable")[:, :n_negatives]
    negatives = np.take_along_axis(found, allowed, 1)
    enough = (~forbidden).sum(1) >= n_negatives
    good = np.flatnonzero(enough & (positives[:, 0] >= 0))
    if not len(good):
        raise CrossbandError(
            "no query has a positive and enough negatives; adjust sampling.positive and sampling.negative"
        )
    return Tuples(rows[good], positives[good], negatives[good])


def _first_of_each(groups: np.ndarray, values: np.ndarray, n: int, width: int) -> np.ndarray:
    """The first ``width`` values of each group, int64 ``(n, width)``; the first is repeated where there are
    fewer, and -1 stands where there is none. Groups come sorted."""
    starts = np.searchsorted(groups, np.arange(n))
    counts = np.bincount(groups, minlength=n)
    steps = np.arange(width)[None]
    index = starts[:, None] + np.where(steps < counts[:, None], steps, 0)
    if not len(values):
        return np.full((n, width), -1)
    return np.where(counts[:, None] > 0, values[np.minimum(index, len(values) - 1)], -1)


def _pair_distances(queries: np.ndarray, gallery: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    distances = np.empty(len(i))
    for start in range(0, len(i), 8192):
        part = slice(start, start + 8192)
        difference = queries[i[part]] - gallery[j[part]]
        distances[part] = np.einsum("nd,nd->n", difference, difference)
    return distances
