"""Ranks of the right items, and what is computed from them: Recall@N, CMC.

The rank of a query is one plus the number of wrong gallery items that are **not farther** than its nearest
right one: ties are ranked pessimistically, so that one which maps every image to the same point scores zero
instead of luck.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError
from .protocol import PositiveMask

__all__ = ["Ranks", "cmc", "rank_positives", "recall_at"]

_PART = 1 << 18  # distances looked at together: few enough to stay in the cache


@dataclass(frozen=True)
class Ranks:
    """The rank of each query's nearest right item.

    Attributes:
        ranks: int64 ``(n,)``, 1 is best; 0 for a query that was dropped because nothing is right.
    """

    ranks: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """The ranks of the queries that count, int64."""
        return self.ranks[self.ranks > 0]

    @property
    def n_queries(self) -> int:
        """How many queries count."""
        return len(self.kept)

    @property
    def n_dropped(self) -> int:
        """How many queries had nothing right to find."""
        return len(self.ranks) - self.n_queries


def rank_positives(
    blocks: Iterable[tuple[int, np.ndarray]], positives: PositiveMask, itself: np.ndarray | None = None
) -> Ranks:
    """Rank each query's nearest positive by counting, without sorting, one block at a time.

    Args:
        blocks: first query row and distances ``(queries in it, m)``, in any monotone measure.
        positives: which gallery items are right.
        itself: int ``(n,)``: the gallery row that is the query's own image and must not count, or -1.

    Returns:
        the rank of each query's nearest right item.

    Example:
        >>> distances = np.array([[0.1, 0.2, 0.3], [0.2, 0.2, 0.9]])
        >>> rank_positives([(0, distances)], PositiveMask(np.array([0, 1]), np.arange(3), None)).ranks
        array([1, 2])
    """
    ranks: list[np.ndarray] = []
    for start, block in blocks:
        height = max(1, _PART // max(block.shape[1], 1))
        for top in range(0, len(block), height):
            part = block[top : top + height]
            own = None if itself is None else itself[start + top : start + top + len(part)]
            ranks.append(_count(part, positives.block(start + top, start + top + len(part)), own))
    return Ranks(np.concatenate(ranks) if ranks else np.zeros(0, np.int64))


def _count(block: np.ndarray, right: np.ndarray, itself: np.ndarray | None) -> np.ndarray:
    """The ranks of a few queries: distances and what is right, both ``(n, m)``."""
    if itself is not None:
        rows = np.flatnonzero(itself >= 0)
        right[rows, itself[rows]] = False
        block = block.copy()
        block[rows, itself[rows]] = -np.inf  # counted below, and taken away again
    rows, columns = np.divmod(np.flatnonzero(right), block.shape[1])
    distances = block[rows, columns]
    nearest = np.full(len(block), np.inf, block.dtype)
    np.fmin.at(nearest, rows, distances)
    # what is not a number tells nothing, so it counts against the model like a tie
    farther = block > nearest[:, None]
    # a row at a time: counting a contiguous row is many times faster than summing along an axis
    not_farther = block.shape[1] - np.array([np.count_nonzero(row) for row in farther])
    right_ones = np.bincount(rows[~(distances > nearest[rows])], minlength=len(block))
    if itself is not None:
        not_farther -= itself >= 0
    answered = np.bincount(rows, minlength=len(block)) > 0
    return np.where(answered, not_farther - right_ones + 1, 0)


def recall_at(ranks: Ranks, n: int) -> float:
    """Compute Recall@N in percent: the share of queries whose nearest positive ranks ``n`` or better.

    Raises:
        CrossbandError: no query counts.

    Example:
        >>> recall_at(Ranks(np.array([1, 2, 0, 7, 9])), 5)
        50.0
    """
    if not ranks.n_queries:
        raise CrossbandError("no query has a positive in the gallery, so recall is undefined")
    return 100 * float(np.mean(ranks.kept <= n))


def cmc(ranks: Ranks, length: int) -> np.ndarray:
    """Compute the cumulative matching characteristic.

    Recall@1 to Recall@``length``, percent, float64 ``(length,)``.

    Example:
        >>> cmc(Ranks(np.array([1, 3])), 3)
        array([ 50.,  50., 100.])
    """
    if not ranks.n_queries:
        raise CrossbandError("no query has a positive in the gallery, so there is no curve to draw")
    counts = np.bincount(np.minimum(ranks.kept, length + 1), minlength=length + 2)
    return 100 * np.cumsum(counts)[1 : length + 1] / ranks.n_queries
