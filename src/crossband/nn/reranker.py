"""What re-ranks: local features of each image, and a score of two images by theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

__all__ = ["Reranker", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What a re-ranker says of the candidates of one query.

    Attributes:
        scores: float64 ``(k,)``: what they are ordered by; more is better.
        inliers: int64 ``(k,)``: matches that one geometric model explains, or ``None`` where none is fitted.
        same_place: float64 ``(k,)``: the probability that both images show the same place, or ``None``.
    """

    scores: np.ndarray
    inliers: np.ndarray | None = None
    same_place: np.ndarray | None = None


class Reranker(nn.Module, ABC):
    """Compares the first items of a list once more.

    Attributes:
        channels: dims of one local feature.
        scale: what makes int8 of a number of a local feature, so that they are kept in a quarter of the space;
            0 keeps float16.
    """

    channels: int
    scale: float = 0.0

    @abstractmethod
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return local features ``(B, n, channels)`` of images ``(B, 3, h, w)``."""

    @abstractmethod
    def scores(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> np.ndarray:
        """Score each candidate against a query, float64 ``(k,)``; more is better.

        Args:
            query: its local features, ``(n, channels)``.
            candidates: theirs, each ``(m, channels)``, looked at once and in order.
        """

    def judge(self, query: torch.Tensor, candidates: Iterable[torch.Tensor], distances: np.ndarray) -> Verdict:
        """Return what the order of the candidates is made from.

        Args:
            query: its local features, ``(n, channels)``.
            candidates: theirs, each ``(m, channels)``, looked at once and in order.
            distances: ``(k,)``, between the descriptors; a re-ranker may weigh them.
        """
        return Verdict(self.scores(query, candidates))

    def judge_within(
        self, query: torch.Tensor, candidates: Iterable[torch.Tensor], distances: np.ndarray
    ) -> Verdict:
        """Return the same for candidates of the query's own band; by default as :meth:`judge` does."""
        return self.judge(query, candidates, distances)
