"""Histograms of unsigned gradient orientations: the baseline that needs no weights.

Dalal and Triggs, CVPR 2005, reduced to what is the same in every band: the orientation of an edge without
its sign, because a warm object may be dark in the visible. Each cell of 16x16 pixels holds a histogram
of 8 orientations, weighted by gradient magnitude, with linear votes into the two nearest bins.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..data.preprocess import Statistics
from ..nn.encoder import Encoder
from ._registry import register_model

__all__ = ["HOG", "build_hog"]


class HOG(nn.Module):
    """Orientation histograms ``(B, bins, H / cell, W / cell)`` of images ``(B, 3, H, W)`` in [0, 1].

    The image is the mean of its channels, with values in [0, 1]; gradients are central differences.

    Example:
        >>> ramp = torch.arange(32.0).expand(1, 3, 32, 32)  # brighter to the right
        >>> HOG()(ramp)[0, :, 0, 0].argmax().item()  # the gradient points along x: orientation 0
        0
    """

    def __init__(self, bins: int = 8, cell: int = 16) -> None:
        super().__init__()
        self.bins, self.cell = bins, cell
        self.cells = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return histograms of each cell."""
        gray = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")[:, 0]
        dx = gray[:, 1:-1, 2:] - gray[:, 1:-1, :-2]
        dy = gray[:, 2:, 1:-1] - gray[:, :-2, 1:-1]
        magnitude = torch.hypot(dx, dy) / (2 * self.cell**2)
        position = torch.atan2(dy, dx).remainder(math.pi) * (self.bins / math.pi)
        return self.cells(
            torch.stack([self._histograms(*one) for one in zip(position, magnitude, strict=True)])
        )

    def _histograms(self, position: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """Those of one image ``(H, W)``, whose pixels vote for the bins below and above their position."""
        rows, columns = (side // self.cell for side in position.shape)
        whole = slice(rows * self.cell), slice(columns * self.cell)
        position, magnitude = position[whole], magnitude[whole]
        lower = position.floor()
        upper_votes = (position - lower) * magnitude
        # rounding takes an angle just below pi to the end, so each histogram has one bin more
        row, column = (torch.arange(n, device=position.device) // self.cell for n in position.shape)
        first = (row[:, None] * columns + column) * (self.bins + 1)
        places = (lower.nan_to_num() + first).long().flatten()
        zeros = position.new_zeros(rows * columns * (self.bins + 1))
        below, above = (
            zeros.scatter_add(0, places, votes.flatten()).reshape(rows, columns, self.bins + 1)
            for votes in (magnitude - upper_votes, upper_votes)
        )
        votes = below + above.roll(1, dims=-1)
        ring = torch.cat([votes[..., :1] + votes[..., -1:], votes[..., 1:-1]], dim=-1)  # pi is 0 again
        return ring.permute(2, 0, 1)


@register_model(
    "hog",
    params=0,
    dim=8,
    task="none (hand-crafted)",
    license="Apache-2.0",
    source="Dalal and Triggs, CVPR 2005",
    weights=None,
    default_steps="normflat+center",
)
def build_hog() -> Encoder:
    """Build the baseline as an encoder; it has no weights."""
    return Encoder(HOG(), "cells", statistics=Statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
