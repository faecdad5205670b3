"""Descriptors that do not tell their band: a classifier of bands behind reversed gradients.

Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015; used on descriptors of
satellite and thermal images by Xiao et al. (IROS 2023).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["BandAdversary", "reverse_gradient"]


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return -gradient


def reverse_gradient(values: torch.Tensor) -> torch.Tensor:
    """Return the values as they are, whose gradient is turned round on its way back.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> reverse_gradient(x).sum().backward()
        >>> x.grad.tolist()
        [-1.0, -1.0]
    """
    return _Reversed.apply(values)


class BandAdversary(nn.Module):
    """A classifier of the band of descriptors, whose loss teaches it and unteaches the network.

    Args:
        dim: of the descriptors.
        bands: how many there are.
        hidden: units between.

    Example:
        >>> adversary = BandAdversary(8, 2)
        >>> adversary(torch.randn(4, 8), torch.tensor([0, 0, 1, 1])).shape
        torch.Size([])
    """

    def __init__(self, dim: int, bands: int, hidden: int = 100) -> None:
        super().__init__()
        self.classify = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, bands))

    def forward(self, vectors: torch.Tensor, bands: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of descriptors ``(n, dim)`` and their bands, int64 ``(n,)``."""
        return F.cross_entropy(self.classify(reverse_gradient(vectors.float())), bands)
