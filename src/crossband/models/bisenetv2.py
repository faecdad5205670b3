"""BiSeNet V2: a wide, shallow branch for detail and a narrow, deep one for meaning, each guiding the other.

Yu, Gao, Wang, Yu, Shen and Sang, "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic
Segmentation", IJCV 2021, with the layers that two public implementations share (CoinCheung's and
mmsegmentation's): 3.35 million parameters, trained from scratch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import conv_unit, resized
from ._segmentation import band_channels, register_segmenter

__all__ = ["BiSeNetV2"]

_WIDTH, _EXPANSION = 128, 6
_SEMANTIC = (16, 32, 64, 128)
_BOOSTERS = {"stride4": 4, "stride8": 8, "stride16": 16, "stride32": 32}


class BiSeNetV2(nn.Module):
    """Label map of one stream of images.

    Args:
        channels: of the images.
        classes: how many.
        auxiliary: whether the semantic branch's four maps have heads of their own while training.
    """

    def __init__(self, channels: int, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            conv_unit(channels, 64, stride=2),
            conv_unit(64, 64),
            conv_unit(64, 64, stride=2),
            conv_unit(64, 64),
            conv_unit(64, 64),
            conv_unit(64, 128, stride=2),
            conv_unit(128, 128),
            conv_unit(128, 128),
        )
        self.semantic = nn.ModuleList([_Stem(channels)])
        for (a, b), repeats in zip(itertools.pairwise(_SEMANTIC), (1, 1, 3), strict=True):
            self.semantic.append(nn.Sequential(_Shrink(a, b), *(_Expand(b) for _ in range(repeats))))
        self.context = _Context(_WIDTH)
        self.aggregation = _Aggregation(_WIDTH)
        self.head = nn.Sequential(conv_unit(_WIDTH, 1024), nn.Dropout(0.1), nn.Conv2d(1024, classes, 1))
        self.boosters = nn.ModuleDict(
            {
                name: _Booster(width, stride, classes)
                for (name, stride), width in zip(_BOOSTERS.items(), _SEMANTIC, strict=True)
            }
            if auxiliary
            else {}
        )
        self.heads: Mapping[str, Head] = dict.fromkeys(self.boosters, Head("classes"))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``; B at least 2 while training."""
        return self._logits(images, self._semantic(images)[-1])

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and those of ``stride4``, ``stride8``, ``stride16`` and ``stride32``."""
        maps = self._semantic(images)
        further = {
            name: resized(booster(found), images.shape[-2:])
            for (name, booster), found in zip(self.boosters.items(), maps, strict=False)
        }
        return self._logits(images, maps[-1]), further

    def _semantic(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps, x = [], images
        for stage in self.semantic:
            x = stage(x)
            maps.append(x)
        return maps

    def _logits(self, images: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        joined = self.aggregation(self.detail(images), self.context(deep))
        return resized(self.head(joined), images.shape[-2:])


class _Stem(nn.Module):
    """Stride 4 in two ways at once: convolutions, and a pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = _SEMANTIC[0]
        self.first = conv_unit(channels, width, stride=2)
        self.left = nn.Sequential(conv_unit(width, width // 2, 1), conv_unit(width // 2, width, stride=2))
        self.right = nn.MaxPool2d(3, 2, 1)
        self.mix = conv_unit(2 * width, width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(images)
        return self.mix(torch.cat([self.left(x), self.right(x)], 1))


class _Expand(nn.Module):
    """Gather and expand at stride 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = _EXPANSION * channels
        self.body = nn.Sequential(
            conv_unit(channels, channels),
            conv_unit(channels, wide, groups=channels),
            conv_unit(wide, channels, 1, relu=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.body(x)).relu()


class _Shrink(nn.Module):
    """Gather and expand at stride 2."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        a, wide = channels_in, _EXPANSION * channels_in
        self.body = nn.Sequential(
            conv_unit(a, a),
            conv_unit(a, wide, stride=2, groups=a, relu=False),
            conv_unit(wide, wide, groups=wide),
            conv_unit(wide, channels_out, 1, relu=False),
        )
        self.shortcut = nn.Sequential(
            conv_unit(a, a, stride=2, groups=a, relu=False), conv_unit(a, channels_out, 1, relu=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.shortcut(x) + self.body(x)).relu()


class _Context(nn.Module):
    """A map and its mean over the whole image, mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.whole = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(channels), conv_unit(channels, channels, 1)
        )
        self.mix = conv_unit(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x + self.whole(x))


class _Aggregation(nn.Module):
    """Each branch's map, weighed by what the other becomes, at both sizes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.detail_fine, self.semantic_coarse = (
            nn.Sequential(conv_unit(c, c, groups=c, relu=False), nn.Conv2d(c, c, 1, bias=False))
            for _ in range(2)
        )
        self.detail_coarse = nn.Sequential(conv_unit(c, c, stride=2, relu=False), nn.AvgPool2d(3, 2, 1))
        self.semantic_fine = conv_unit(c, c, relu=False)
        self.mix = conv_unit(c, c)

    def forward(self, detail: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        size = detail.shape[-2:]
        fine = self.detail_fine(detail) * resized(self.semantic_fine(semantic), size).sigmoid()
        coarse = self.detail_coarse(detail) * self.semantic_coarse(semantic).sigmoid()
        return self.mix(fine + resized(coarse, size))


class _Booster(nn.Module):
    """A head of the semantic branch, for training alone."""

    def __init__(self, channels: int, stride: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(conv_unit(channels, _WIDTH), nn.Dropout(0.1), nn.Upsample(scale_factor=2.0))
        self.second = nn.Sequential(conv_unit(_WIDTH, stride**2), nn.Conv2d(stride**2, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@register_segmenter("bisenetv2", params=3_349_097, source="Yu et al., BiSeNet V2, IJCV 2021")
def build_bisenetv2(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, auxiliary: bool = False
) -> tuple[nn.Module, str]:
    """BiSeNet V2; it has no encoder of ImageNet to start from."""
    return BiSeNetV2(sum(band_channels(bands)), classes, auxiliary), ""
