"""Mutual nearest neighbors of the local features of one image and of several others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

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


def mutual_matches(query: torch.Tensor, candidate: torch.Tensor) -> Matches:
    """Match two sets of unit vectors; the larger set may be matched by fewer vectors of the other.

    No second search is needed: a partner is mutual where the similarity is the largest of its column.

    Args:
        query: ``(p, dim)``.
        candidate: ``(n, dim)``.

    Example:
        >>> found = mutual_matches(torch.eye(3)[:2], torch.eye(3)[[1, 0, 0]])
        >>> found.partner.tolist(), found.mutual.tolist()
        ([1, 0], [True, True])
    """
    product = torch.mm(query, candidate.T).cpu()
    columns = product.amax(0).numpy()
    similar = product.numpy()
    partner = similar.argmax(1)  # several times faster than torch's, which keeps no vector lanes busy
    best = similar[np.arange(len(partner)), partner]
    return Matches(partner, best, best >= columns[partner])
