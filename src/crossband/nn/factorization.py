"""Maps rebuilt from a few bases: a nonnegative matrix factorization as a layer, and the head around it.

Geng et al., "Is Attention Better Than Matrix Decomposition?", ICLR 2021 (the "hamburger"), in the light form of
Guo et al., "SegNeXt", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .layers import conv_unit, resized

__all__ = ["Factorization", "LightHam"]


class Factorization(nn.Module):
    """Rebuild maps from ``rank`` bases, found anew for every image by multiplicative updates.

    Training starts from other random bases each time, as the authors do; otherwise the same bases are the start
    of every image, so that an image gets the same answer twice (the authors draw them there as well).

    Args:
        channels: of the maps.
        rank: how many bases.
        steps: updates while training, and otherwise; one more of the coefficients alone follows.

    Example:
        >>> Factorization(8, 4)(torch.rand(2, 8, 5, 6)).shape
        torch.Size([2, 8, 5, 6])
    """

    start: torch.Tensor

    def __init__(self, channels: int, rank: int = 64, steps: tuple[int, int] = (6, 7)) -> None:
        super().__init__()
        self.steps = steps
        drawn = torch.rand(channels, rank, generator=torch.Generator().manual_seed(0), device="cpu")
        self.register_buffer("start", F.normalize(drawn, dim=0), persistent=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)``, nothing below zero, to the same shape."""
        values = maps.flatten(2)
        bases = self.start.to(maps).expand(len(maps), -1, -1)
        if self.training:
            bases = F.normalize(torch.rand_like(bases), dim=1)
        shares = (values.transpose(1, 2) @ bases).softmax(-1)
        for _ in range(self.steps[0] if self.training else self.steps[1]):
            shares = _updated(shares, values.transpose(1, 2), bases)
            bases = _updated(bases, values, shares)
        shares = _updated(shares, values.transpose(1, 2), bases)
        return (bases @ shares.transpose(1, 2)).unflatten(2, maps.shape[-2:])


def _updated(factor: torch.Tensor, values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Lee and Seung's update of one factor of ``values``, ``factor @ other.mT``."""
    return factor * (values @ other) / (factor @ (other.transpose(1, 2) @ other) + 1e-6)


class LightHam(nn.Module):
    """Logits of several levels' maps: joined at the first one's size, rebuilt from few bases, classified.

    Args:
        channels: of each level.
        width: of the head.
        classes: how many.
        inner: channels in which the maps are rebuilt.

    Example:
        >>> head = LightHam((4, 6), 8, 3, inner=8).eval()
        >>> head([torch.rand(2, 4, 5, 7), torch.rand(2, 6, 3, 4)]).shape
        torch.Size([2, 3, 5, 7])
    """

    def __init__(self, channels: Sequence[int], width: int, classes: int, inner: int = 512) -> None:
        super().__init__()
        self.squeeze = conv_unit(sum(channels), inner, 1)
        self.bread_in = nn.Conv2d(inner, inner, 1)
        self.factorize = Factorization(inner)
        self.bread_out = conv_unit(inner, inner, 1, relu=False)
        self.align = conv_unit(inner, width, 1)
        self.drop, self.logits = nn.Dropout2d(0.1), nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map levels ``(B, C, H, W)``, largest first, to ``(B, classes, H, W)`` of the first."""
        size = levels[0].shape[-2:]
        maps = self.squeeze(torch.cat([resized(level, size) for level in levels], 1))
        rebuilt = self.factorize(self.bread_in(maps).relu())
        return self.logits(self.drop(self.align((maps + self.bread_out(rebuilt)).relu())))
