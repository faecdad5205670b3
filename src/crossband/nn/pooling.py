"""From a feature map to a vector: named poolings, over the whole map, a grid, or overlapping windows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import CrossbandError

__all__ = ["POOLINGS", "Pooling", "channel_normalize", "gem"]

POOLINGS = ("normflat", "flat", "avg", "gem", "max")


def channel_normalize(maps: torch.Tensor, eps: float = 1e-12) -> torch.Tensor:
    """Scale the channels at each position of ``(B, C, H, W)`` to unit length; zero vectors stay zero."""
    return F.normalize(maps, dim=1, eps=eps)


def gem(maps: torch.Tensor, size: tuple[int, int] = (1, 1), p: float = 3.0, eps: float = 1e-6) -> torch.Tensor:
    """Pool by the generalized mean ``(mean x^p)^(1/p)`` over the cells of a grid.

    ``(B, C, H, W) -> (B, C, *size)``.

    Radenovic, Tolias and Chum, TPAMI 2019, equation (3). Negative values count as ``eps``.
    """
    return F.adaptive_avg_pool2d(maps.clamp(min=eps).pow(p), size).pow(1 / p)


@dataclass(frozen=True)
class Pooling:
    """A named pooling of feature maps ``(B, C, H, W)`` to vectors ``(B, D)``, float32.

    =============  ============================================================================
    ``normflat``   normalize over the channels at each position, then flatten: equation (1) of
                   Pendota and Channappayya; D = C H W
    ``flat``       flatten; D = C H W
    ``avg``        mean over the map; D = C
    ``avg6``       mean over each cell of a 6x6 grid; D = 36 C
    ``avg5s3``     mean over 5x5 windows every 3 positions, which overlap and so forgive
                   misalignment; D = C ceil(H/3) ceil(W/3)
    ``gem``        generalized mean with p = 3; ``gem6`` likewise over a grid
    ``max``        maximum; ``max6`` likewise over a grid
    =============  ============================================================================

    Example:
        >>> pooling = Pooling.parse("avg5s3")
        >>> pooling(torch.zeros(2, 112, 20, 20)).shape
        torch.Size([2, 5488])
    """

    mode: str
    grid: int = 1
    stride: int = 0

    @classmethod
    def parse(cls, text: str) -> Pooling:
        """Read a pooling's name.

        Raises:
            CrossbandError: no such pooling.
        """
        match = re.fullmatch(r"(normflat|flat|avg|gem|max)(?:([1-9]\d?)(?:s([1-9]))?)?", text)
        if not match or (match[1].endswith("flat") and match[2]) or (match[3] and match[1] != "avg"):
            raise CrossbandError(
                f"unknown pooling {text!r}; there are {', '.join(POOLINGS)}, with a grid as in avg6, "
                "or windows and stride as in avg5s3"
            )
        return cls(match[1], int(match[2] or 1), int(match[3] or 0))

    def __str__(self) -> str:
        if self.stride:
            return f"{self.mode}{self.grid}s{self.stride}"
        return self.mode if self.grid == 1 else f"{self.mode}{self.grid}"

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)`` to ``(B, D)``."""
        return self._pooled(maps.float()).flatten(1)

    def _pooled(self, maps: torch.Tensor) -> torch.Tensor:
        cells = (self.grid, self.grid)
        if self.mode == "normflat":
            return channel_normalize(maps)
        if self.mode == "flat":
            return maps
        if self.mode == "gem":
            return gem(maps, cells)
        if self.mode == "max":
            return F.adaptive_max_pool2d(maps, cells)
        if self.stride:
            return F.avg_pool2d(maps, self.grid, self.stride, self.grid // 2, count_include_pad=False)
        return F.adaptive_avg_pool2d(maps, cells)
