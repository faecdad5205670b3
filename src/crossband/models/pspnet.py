"""PSPNet: a dilated ResNet, and a head that sees its map together with its means over four grids.

Zhao, Shi, Qi, Wang and Jia, "Pyramid Scene Parsing Network", CVPR 2017, as the first author released it: a deep
stem of 64, 64 and 128 channels, stages 3 and 4 dilated 2 and 4, grids of 1, 2, 3 and 6, all resizing with
corners aligned. It has the 65.70 million parameters that model zoos give for it (68.07 with its auxiliary
head).
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

__all__ = ["PSPNet"]

_GRIDS = (1, 2, 3, 6)


class PSPNet(nn.Module):
    """Label map of one stream of images.

    Args:
        encoder: a dilated ResNet.
        classes: how many.
        auxiliary: whether the third stage has a head of its own while training.
    """

    def __init__(self, encoder: DeepStemResNet, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        width, narrow = encoder.channels[3], encoder.channels[3] // 4
        self.levels = nn.ModuleList(
            nn.Sequential(GridMeans(grid), conv_unit(width, narrow, 1)) for grid in _GRIDS
        )
        self.head = nn.Sequential(
            conv_unit(2 * width, narrow), nn.Dropout2d(0.1), nn.Conv2d(narrow, classes, 1)
        )
        middle = encoder.channels[2]
        self.auxiliary = (
            nn.Sequential(conv_unit(middle, middle // 4), nn.Dropout2d(0.1), nn.Conv2d(middle // 4, classes, 1))
            if auxiliary
            else None
        )
        self.heads: Mapping[str, Head] = {"stage3": Head("classes", 0.4)} if auxiliary else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``; B at least 2 while training."""
        return self._logits(self.encoder(images)[3], images)

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and those of ``stage3``."""
        maps = self.encoder(images)
        further: Heads = {}
        if self.auxiliary is not None:
            further["stage3"] = resized(self.auxiliary(maps[2]), images.shape[-2:], align_corners=True)
        return self._logits(maps[3], images), further

    def _logits(self, deep: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        size = deep.shape[-2:]
        levels = [resized(level(deep), size, align_corners=True) for level in self.levels]
        return resized(self.head(torch.cat([deep, *levels], 1)), images.shape[-2:], align_corners=True)


def _register(depth: int, params: int) -> None:
    @register_segmenter(f"pspnet{depth}", params=params, source="Zhao et al., PSPNet, CVPR 2017")
    def build(
        classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, auxiliary: bool = False
    ) -> tuple[nn.Module, str]:
        encoder, digest = build_deep_stem(depth, 64, sum(band_channels(bands)), pretrained, dilated=True)
        return PSPNet(encoder, classes, auxiliary), digest


for _depth, _params in ((18, 12_769_801), (50, 46_710_793), (101, 65_702_921)):
    _register(_depth, _params)
