"""Hubs: items that are near to everything are found too often; CSLS pushes them away.

Conneau, Lample, Ranzato, Denoyer and Jégou, "Word Translation Without Parallel Data", ICLR 2018, equation 3:
cross-domain similarity local scaling takes off each similarity how similar both sides are to their own nearest
neighbors. What is taken off the query's side orders nothing. What is taken off an item becomes one more
coordinate of its vector, so that whatever searches Euclidean distances finds by CSLS.
"""

from __future__ import annotations

import numpy as np

from .descriptor_cache import Rows
from .search import DEFAULT_MEMORY, exact_search

__all__ = ["Lifted", "hubness", "own_hubness", "without_hubs"]

NEIGHBORS = 10


def hubness(gallery: Rows, others: Rows, k: int = NEIGHBORS, max_memory: int = DEFAULT_MEMORY) -> np.ndarray:
    """Compute how similar each item is to its ``k`` nearest of some others, float64 ``(m,)``.

    The similarity is minus half the squared distance, which orders unit vectors as the cosine does.

    Args:
        gallery: ``(m, d)``.
        others: ``(n, d)``: queries, or another sample of what queries look like.
        k: neighbors.
        max_memory: bytes for distances.
    """
    distances, _ = exact_search(gallery, others, k, max_memory)
    return -0.5 * np.square(distances.astype(np.float64)).mean(1)


def own_hubness(rows: Rows, k: int = NEIGHBORS, max_memory: int = DEFAULT_MEMORY) -> np.ndarray:
    """Compute the further coordinate of each item, float64 ``(m,)``, from its neighbors among the items.

    That is what is left where queries come one by one.
    """
    distances, _ = exact_search(rows, rows, k + 1, max_memory)
    r = -0.5 * np.square(distances[:, 1:].astype(np.float64)).mean(1) if distances.shape[1] > 1 else np.zeros(1)
    return np.sqrt(r - r.min()) if len(r) == rows.shape[0] else np.zeros(rows.shape[0])


class Lifted:
    """Rows with one more coordinate each."""

    def __init__(self, rows: Rows, last: np.ndarray) -> None:
        self._rows, self._last = rows, last.astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d + 1)."""
        return self._rows.shape[0], self._rows.shape[1] + 1

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return some rows, float32."""
        return np.concatenate([self._rows.rows(start, stop), self._last[start:stop, None]], 1)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return rows by number, float32."""
        return np.concatenate([self._rows.take(index), self._last[index][:, None]], 1)

    def subset(self, index: np.ndarray) -> Lifted:
        """Return some of the rows, still to be read."""
        return Lifted(self._rows.subset(index), self._last[index])  # type: ignore[attr-defined]


def without_hubs(
    queries: Rows, gallery: Rows, k: int = NEIGHBORS, max_memory: int = DEFAULT_MEMORY
) -> tuple[Lifted, Lifted]:
    """Return queries and gallery among which Euclidean distances order as CSLS does.

    With ``s = -d² / 2``, CSLS is ``2 s(q, g) - r(q) - r(g)``; so items are ordered by ``d² + r(g)``, and what
    is added is the square of the further coordinate. The queries stand for what queries look like.

    Example:
        >>> from crossband.retrieval.descriptor_cache import ArrayRows
        >>> queries = ArrayRows(np.eye(4)[:3])
        >>> gallery = ArrayRows(np.stack([np.eye(4)[0] * 0.4 + 0.3, np.full(4, 0.5)]))
        >>> lifted = without_hubs(queries, gallery, k=3)
        >>> lifted[0].shape, lifted[1].shape
        ((3, 5), (2, 5))
    """
    r = hubness(gallery, queries, k, max_memory)
    return Lifted(queries, np.zeros(queries.shape[0])), Lifted(gallery, np.sqrt(r - r.min()) if len(r) else r)
