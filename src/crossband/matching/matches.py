"""Mutual nearest neighbors of the local features of one image and of several others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Matches", "mutual_matches"]


@dataclass(frozen=True)
class Matches:
    """The best partner of each position of one image in another.

    Attributes:
        partner: int64 ``(p,)``: the position in the other image.
        similarity: float32 ``(p,)``: cosine.
        mutual: bool ``(p,)``: whether no other position is nearer to that partner.
    """

    partner: np.ndarray
    similarity: np.ndarray
    mutual: np.ndarray


def mutual_matches(similar: np.ndarray, best: np.ndarray | None = None) -> Matches:
    """Match two sets of vectors by their cosines; the larger may be matched by fewer of the other.

    No second search is needed: a partner is mutual where the similarity is the largest of its column.

    Args:
        similar: float32 ``(p, n)``.
        best: ``(n,)``: the largest of each column, where it is known.

    Example:
        >>> found = mutual_matches(np.eye(3)[:2] @ np.eye(3)[[1, 0, 0]].T)
        >>> found.partner.tolist(), found.mutual.tolist()
        ([1, 0], [True, True])
    """
    partner = similar.argmax(1)
    best = similar.max(0) if best is None else best
    found = similar[np.arange(len(partner)), partner]
    return Matches(partner, found, found >= best[partner])
