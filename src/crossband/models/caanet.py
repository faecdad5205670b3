"""CAANet: pixels attend to what each class looks like in their part of the image and in all of it.

Liu, Liu, Jiang and Wang, "Partial Class Activation Attention for Semantic Segmentation", CVPR 2022, with the
layers of the authors' code: a dilated ResNet-101 with a deep stem of 32, 32 and 64 channels and one attention
module on a grid of 4x4 cells.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import GridMeans, conv_unit, resized
from ._deep_stem import DeepStemResNet, build_deep_stem
from ._segmentation import band_channels, register_segmenter

__all__ = ["CAANet"]


class CAANet(nn.Module):
    """Label map of one stream of images.

    Args:
        encoder: a dilated ResNet.
        classes: how many.
        grid: cells a side.
        auxiliary: whether the third stage and the cells' classes are supervised while training.
    """

    def __init__(self, encoder: DeepStemResNet, classes: int, grid: int = 4, auxiliary: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        width, narrow = encoder.channels[3], encoder.channels[3] // 4
        self.before = conv_unit(width, narrow)
        self.attention = _PartAttention(narrow, classes, grid)
        self.after = conv_unit(narrow, narrow)
        self.head = nn.Sequential(
            conv_unit(width + narrow, narrow), nn.Dropout2d(0.1), nn.Conv2d(narrow, classes, 1)
        )
        middle = encoder.channels[2]
        self.auxiliary = (
            nn.Sequential(conv_unit(middle, middle // 4), nn.Conv2d(middle // 4, classes, 1))
            if auxiliary
            else None
        )
        self.heads: Mapping[str, Head] = (
            {"stage3": Head("classes", 0.4), "cells": Head("cells")} if auxiliary else {}
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        return self._logits(self.encoder(images)[3], images)[0]

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, those of ``stage3``, and the classes' of the ``cells`` ``(B, classes, g, g)``."""
        maps = self.encoder(images)
        logits, cells = self._logits(maps[3], images)
        if self.auxiliary is None:
            return logits, {}
        stage3 = resized(self.auxiliary(maps[2]), images.shape[-2:], align_corners=True)
        return logits, {"stage3": stage3, "cells": cells}

    def _logits(self, deep: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        attended, cells = self.attention(self.before(deep))
        logits = self.head(torch.cat([deep, self.after(attended)], 1))
        return resized(logits, images.shape[-2:], align_corners=True), cells


class _PartAttention(nn.Module):
    """Attention of a cell's pixels to the cell's classes, with values of the whole image's classes.

    A map whose sides are no multiples of the grid is resized up to the next ones, and back.
    """

    def __init__(self, channels: int, classes: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        cells, half = grid * grid, channels // 2
        self.activation = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(channels, classes, 1))
        self.pool = GridMeans(grid)
        self.across_cells = nn.Conv2d(cells, cells, 1, bias=False)
        self.across_channels = nn.Linear(channels, channels, bias=False)
        self.to_whole = nn.Conv2d(cells, 1, 1)
        self.query, self.key, self.value = (nn.Linear(channels, half) for _ in range(3))
        self.out = conv_unit(half, channels, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A map ``(B, C, H, W)`` to one of that shape, and the logits of the classes of the cells."""
        height, width = int(x.shape[-2]), int(x.shape[-1])
        whole = resized(x, (height + -height % self.grid, width + -width % self.grid), align_corners=True)
        activation = self.activation(whole)
        cells = self.pool(activation)
        pixels = self._cut(whole)
        classes = (self._cut(activation).softmax(2).transpose(2, 3) @ pixels) * cells.sigmoid().flatten(
            2
        ).transpose(1, 2)[..., None]
        local = self.across_channels((self.across_cells(classes) + classes).relu())
        shared = self.to_whole(local).relu()
        weights = (self.query(pixels) @ self.key(local).transpose(2, 3)).softmax(-1)
        found = self._joined(weights @ self.value(shared), whole.shape[-2:])
        return x + resized(self.out(found), (height, width), align_corners=True), cells

    def _cut(self, maps: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` to the pixels of each cell, ``(B, cells, pixels, C)``."""
        g, (channels, height, width) = self.grid, map(int, maps.shape[1:])
        parts = maps.reshape(-1, channels, g, height // g, g, width // g)
        return parts.permute(0, 2, 4, 3, 5, 1).reshape(-1, g * g, height * width // (g * g), channels)

    def _joined(self, pixels: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """The inverse of :meth:`_cut`."""
        g, height, width, channels = self.grid, int(size[0]), int(size[1]), int(pixels.shape[-1])
        parts = pixels.reshape(-1, g, g, height // g, width // g, channels)
        return parts.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, height, width)


def _register(depth: int, params: int) -> None:
    @register_segmenter(f"caanet{depth}", params=params, source="Liu et al., CAANet, CVPR 2022")
    def build(
        classes: int,
        bands: tuple[Band, ...],
        pretrained: bool = False,
        *,
        grid: int = 4,
        auxiliary: bool = False,
    ) -> tuple[nn.Module, str]:
        encoder, digest = build_deep_stem(depth, 32, sum(band_channels(bands)), pretrained, dilated=True)
        return CAANet(encoder, classes, grid, auxiliary), digest


for _depth, _params in ((18, 12_723_555), (101, 66_913_443)):
    _register(_depth, _params)
