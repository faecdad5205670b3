"""Darknet-53, the encoder of YOLOv3.

Redmon and Farhadi, "YOLOv3: An Incremental Improvement", arXiv:1804.02767, 2018, table 1, which is also table 1
of the ThermalReID paper (ISPRS Archives XLIV-2/W1-2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["Darknet", "convolution"]

REPEATS = (1, 2, 8, 8, 4)
"""Residual blocks of each scale in table 1."""


def convolution(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Make a convolution without bias, batch normalization and leaky ReLU (0.1)."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.1),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = convolution(channels, channels // 2, 1)
        self.wide = convolution(channels // 2, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.wide(self.narrow(x))


class Darknet(nn.Module):
    """The encoder without the classifier: maps at strides 8, 16 and 32.

    Args:
        in_channels: of the image.
        width: channels of the first convolution; 32 in table 1.
        repeats: residual blocks of each of the five scales.

    Attributes:
        channels: of the three maps.

    Example:
        >>> network = Darknet(1, width=4, repeats=(1, 1, 1, 1, 1))
        >>> [tuple(x.shape) for x in network(torch.zeros(1, 1, 64, 96))]
        [(1, 32, 8, 12), (1, 64, 4, 6), (1, 128, 2, 3)]
    """

    def __init__(self, in_channels: int = 3, width: int = 32, repeats: Sequence[int] = REPEATS) -> None:
        super().__init__()
        self.first = convolution(in_channels, width, 3)
        self.scales = nn.ModuleList(
            nn.Sequential(
                convolution(width * 2**i, width * 2 ** (i + 1), 3, 2),
                *(_Residual(width * 2 ** (i + 1)) for _ in range(count)),
            )
            for i, count in enumerate(repeats)
        )
        self.channels = (width * 8, width * 16, width * 32)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return maps at strides 8, 16 and 32."""
        x, maps = self.first(images), []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        return maps[2:]
