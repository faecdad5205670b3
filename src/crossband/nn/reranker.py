"""What a model that looks twice does: local features of each image, and a score of two images by theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

__all__ = ["Reranker"]


class Reranker(nn.Module, ABC):
    """The re-ranking of the first items of a list, by local features.

    Attributes:
        channels: dims of one local feature.
    """

    channels: int

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
