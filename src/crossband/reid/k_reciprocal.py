"""k-reciprocal re-ranking on lists of nearest neighbors: no matrix of all items against all is ever there.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, equations (1) to
(12). Two items that have each other among their k nearest are more likely of one identity than two that are
merely near; items are then compared by how much their sets of such neighbors overlap. The sets are rows of
sparse matrices with a few dozen entries; distances are computed a block of rows at a time and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..errors import CrossbandError
from ..progress import Progress
from ..retrieval.descriptor_cache import ArrayRows
from ..retrieval.search import distance_blocks

__all__ = ["rerank_blocks"]

_MEMORY = 256 << 20
_PAIRS = 1 << 14  # distances of single pairs computed at once


def rerank_blocks(
    queries: np.ndarray,
    gallery: np.ndarray,
    k1: int = 20,
    k2: int = 6,
    original: float = 0.3,
    max_memory: int = _MEMORY,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the re-ranked distances of queries to the gallery, some rows at a time.

    As the paper and the public code have it, all items, queries too, are each other's neighbors; squared
    distances are divided by each item's largest.

    Args:
        queries: float32 ``(n, d)``.
        gallery: float32 ``(m, d)``.
        k1: nearest neighbors looked at (the paper's k).
        k2: neighbors whose sets are averaged.
        original: lambda of (12), the share of the original distance.
        max_memory: for one block of distances, bytes.

    Yields:
        the first query's row and a float32 block ``(queries in it, m)``, each number in [0, 1] up to rounding.

    Raises:
        CrossbandError: k1 or k2 below 1, or a share outside [0, 1].

    Example:
        >>> points = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]], np.float32)
        >>> (_, block), = rerank_blocks(points[:1], points[1:], k1=2, k2=1)
        >>> block.shape, bool(block[0, :2].max() < block[0, 2:].min())
        ((1, 5), True)
    """
    if k1 < 1 or k2 < 1 or not 0 <= original <= 1:
        raise CrossbandError(
            f"re-ranking needs k1 and k2 of 1 or more and a weight in [0, 1], not {k1}, {k2}, {original}"
        )
    items = np.concatenate([queries, gallery]).astype(np.float32, copy=False)
    near = _neighbors(items, min(k1, len(items) - 1), max_memory)
    sets = _encode(items, near, k1)
    if k2 > 1:
        sets = _averaged(sets, near.rows[:, : min(k2, near.rows.shape[1])])
    n = len(queries)
    columns = sets[n:].tocsc()
    for start, block in distance_blocks(ArrayRows(items[:n]), ArrayRows(items[n:]), max_memory):
        block *= original / near.largest[start : start + len(block), None]
        for row in range(len(block)):
            block[row] += (1 - original) * _jaccard(sets, start + row, columns)
        yield start, block


@dataclass(frozen=True)
class _Neighbors:
    """The nearest items of each, itself first: ``rows`` ``(N, k + 1)``; and each item's largest squared
    distance, ``(N,)``."""

    rows: np.ndarray
    largest: np.ndarray


def _neighbors(items: np.ndarray, k: int, max_memory: int) -> _Neighbors:
    rows = np.empty((len(items), k + 1), np.int32)
    largest = np.empty(len(items), np.float32)
    stored = ArrayRows(items)
    with Progress(len(items), "neighbors", "items") as progress:
        for start, block in distance_blocks(stored, stored, max_memory):
            stop = start + len(block)
            largest[start:stop] = np.maximum(block.max(1), np.finfo(np.float32).tiny)
            block[np.arange(len(block)), np.arange(start, stop)] = -1  # itself, whatever is as near
            nearest = np.argpartition(block, k, axis=1)[:, : k + 1]
            order = np.argsort(np.take_along_axis(block, nearest, 1), axis=1, kind="stable")
            rows[start:stop] = np.take_along_axis(nearest, order, 1)
            progress.advance(len(block))
    return _Neighbors(rows, largest)


def _encode(items: np.ndarray, near: _Neighbors, k1: int) -> sp.csr_matrix:
    """Equations (3) and (6): each item's expanded set of reciprocal neighbors, weighted by distance and of
    sum 1, sparse ``(N, N)``."""
    whole, half = _reciprocal(near.rows, k1), _reciprocal(near.rows, round(k1 / 2))
    shared = (whole @ half.T).multiply(whole).tocsr()  # how much of a neighbor's own set lies in the item's
    sizes = np.asarray(half.sum(1)).ravel()
    shared.data = (shared.data > 2 / 3 * sizes[shared.indices]).astype(np.float32)
    shared.eliminate_zeros()
    sets = (whole + shared @ half).tocsr()
    sets.sort_indices()
    owners = np.repeat(np.arange(len(items)), np.diff(sets.indptr))
    weights = np.exp(-_pair_distances(items, owners, sets.indices) / near.largest[owners])
    weights /= np.bincount(owners, weights, len(items))[owners]
    return sp.csr_matrix((weights.astype(np.float32), sets.indices, sets.indptr), sets.shape)


def _reciprocal(rows: np.ndarray, k: int) -> sp.csr_matrix:
    """Equation (2): who has whom, and the other way round, among the k nearest; ones, sparse ``(N, N)``."""
    n, lists = len(rows), rows[:, : k + 1]
    forward = sp.csr_matrix(
        (np.ones(lists.size, np.float32), lists.ravel(), np.arange(n + 1) * lists.shape[1]), (n, n)
    )
    return forward.multiply(forward.T).tocsr()


def _averaged(sets: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
    """Equation (11): the mean of the sets of an item's nearest neighbors, itself among them."""
    n, k = rows.shape
    mean = sp.csr_matrix(
        (np.full(rows.size, 1 / k, np.float32), rows.ravel(), np.arange(n + 1) * k), sets.shape
    )
    return (mean @ sets).tocsr()


def _jaccard(sets: sp.csr_matrix, query: int, columns: sp.csc_matrix) -> np.ndarray:
    """Equation (10): 1 less what the sets of a query and of each gallery item share, over what they have
    together."""
    span = slice(sets.indptr[query], sets.indptr[query + 1])
    mine, weights = sets.indices[span], sets.data[span]
    starts, stops = columns.indptr[mine], columns.indptr[mine + 1]
    counts = stops - starts
    flat = np.repeat(stops - counts.cumsum(), counts) + np.arange(counts.sum())
    least = np.minimum(columns.data[flat], np.repeat(weights, counts))
    shared = np.bincount(columns.indices[flat], least, columns.shape[0])
    return 1 - shared / (2 - shared)


def _pair_distances(items: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Squared distances of single pairs, float64."""
    found = np.empty(len(i))
    for start in range(0, len(i), _PAIRS):
        part = slice(start, start + _PAIRS)
        difference = items[i[part]] - items[j[part]]
        found[part] = np.einsum("nd,nd->n", difference, difference)
    return found
