"""Hubness: gallery items that are near to everything, and items that are near to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError

__all__ = ["Hubness", "hubness"]


@dataclass(frozen=True)
class Hubness:
    """How evenly a gallery answers.

    Attributes:
        counts: int64 ``(m,)``: in how many queries' first ``k`` each gallery item stands.
        k: how many are looked at.
        skewness: of the counts; 0 where all items answer alike, large where a few hubs answer everything.
        antihubs: share of the items that no query finds, from 0 to 1.
    """

    counts: np.ndarray
    k: int
    skewness: float
    antihubs: float

    @property
    def top(self) -> int:
        """The row of the item that answers most often."""
        return int(self.counts.argmax())


def hubness(found: np.ndarray, m: int) -> Hubness:
    """Measure the hubness of a gallery from its items' k-occurrences.

    Radovanovic, Nanopoulos and Ivanovic, "Hubs in Space", JMLR 2010, section 2.

    Args:
        found: int ``(n, k)``: the rows found for each query.
        m: items in the gallery.

    Raises:
        CrossbandError: no query.

    Example:
        >>> hubness(np.array([[0], [0], [0], [1]]), 4).counts.tolist()
        [3, 1, 0, 0]
    """
    if not found.size:
        raise CrossbandError("hubness needs at least one query with neighbors")
    counts = np.bincount(found.ravel(), minlength=m)
    spread = counts.std()
    skewness = float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
    return Hubness(counts, found.shape[1], skewness, float((counts == 0).mean()))
