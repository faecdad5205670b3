"""Small layers that many segmentation networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["GridMeans", "Resize", "conv_unit", "grid_means", "resized", "skip_at_random"]


def conv_unit(
    channels_in: int,
    channels_out: int,
    kernel: int | tuple[int, int] = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    relu: bool = True,
) -> nn.Sequential:
    """Make a convolution with "same" padding, its BatchNorm and a ReLU.

    Args:
        channels_in: of the input.
        channels_out: of the output.
        kernel: its side or (height, width), odd.
        stride: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
        bias: whether the convolution has one, which the BatchNorm makes superfluous; some releases do.
        relu: whether a ReLU ends it.

    Example:
        >>> conv_unit(3, 8, 5, stride=2)(torch.zeros(2, 3, 9, 12)).shape
        torch.Size([2, 8, 5, 6])
    """
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
    convolution = nn.Conv2d(channels_in, channels_out, sides, stride, padding, dilation, groups, bias)
    parts: list[nn.Module] = [convolution, nn.BatchNorm2d(channels_out)]
    return nn.Sequential(*parts, nn.ReLU()) if relu else nn.Sequential(*parts)


def resized(
    maps: torch.Tensor, size: tuple[int, int] | torch.Size, align_corners: bool = False, mode: str = "bilinear"
) -> torch.Tensor:
    """Resize maps ``(B, C, h, w)`` to ``(height, width)``; maps of that size stay as they are.

    Args:
        maps: what is resized.
        size: (height, width).
        align_corners: whether the corner pixels' centers stay in the corners, of ``bilinear``.
        mode: ``bilinear`` or ``nearest``.

    Example:
        >>> resized(torch.zeros(1, 2, 3, 4), (6, 9)).shape
        torch.Size([1, 2, 6, 9])
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if mode == "nearest":
        return F.interpolate(maps, tuple(size), mode="nearest")
    return F.interpolate(maps, tuple(size), mode=mode, align_corners=align_corners)


def grid_means(maps: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Average maps ``(B, C, H, W)`` over the cells of a grid: ``(B, C, rows, columns)``.

    What ``adaptive_avg_pool2d`` gives, as two products with fixed matrices, which ONNX has for any size.

    Example:
        >>> maps = torch.rand(1, 2, 7, 9)
        >>> bool(torch.allclose(grid_means(maps, 3, 4), F.adaptive_avg_pool2d(maps, (3, 4)), atol=1e-6))
        True
    """
    height, width = (int(side) for side in maps.shape[-2:])
    if (rows, columns) == (1, 1):
        return maps.mean((2, 3), keepdim=True)
    return _cells(height, rows, maps) @ maps @ _cells(width, columns, maps).T


def skip_at_random(branch: torch.Tensor, share: float) -> torch.Tensor:
    """Set a residual branch to zero for a share of the images, and make up for it in the others.

    Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.

    Args:
        branch: ``(B, ...)``, before it is added.
        share: of the images; 0 returns the branch itself, as when nothing is trained.

    Example:
        >>> sorted(set(skip_at_random(torch.ones(100, 2), 0.5).flatten().tolist()))
        [0.0, 2.0]
    """
    if share == 0:
        return branch
    kept = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) >= share
    return branch * kept.to(branch.dtype) / (1 - share)


class Resize(nn.Upsample):
    """:func:`resized`, bilinear, as a module, for networks whose release has one: thop counts modules.

    Args:
        align_corners: whether the corner pixels' centers stay in the corners.
    """

    def __init__(self, align_corners: bool = False) -> None:
        super().__init__(mode="bilinear", align_corners=align_corners)

    def forward(self, input: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:  # type: ignore[override]
        """Map ``(B, C, h, w)`` to ``(B, C, *size)``."""
        return resized(input, size, bool(self.align_corners))


class GridMeans(nn.AdaptiveAvgPool2d):
    """:func:`grid_means` as a module, which counts as the adaptive pooling that it is.

    Args:
        output_size: rows and columns of the grid, or both.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, rows, columns)``."""
        size = self.output_size
        rows, columns = (size, size) if isinstance(size, int) else (size[0], size[1])  # type: ignore[index]
        return grid_means(input, rows or int(input.shape[-2]), columns or int(input.shape[-1]))


def _cells(side: int, parts: int, like: torch.Tensor) -> torch.Tensor:
    """The matrix ``(parts, side)`` that averages over parts which overlap where they do not divide the side."""
    starts = [part * side // parts for part in range(parts)]
    ends = [-(-(part + 1) * side // parts) for part in range(parts)]
    share = [[(a <= i < b) / (b - a) for i in range(side)] for a, b in zip(starts, ends, strict=True)]
    return torch.tensor(share, dtype=like.dtype, device=like.device)
