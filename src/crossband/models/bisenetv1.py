"""BiSeNet: a shallow path at stride 8 for detail beside a ResNet for context.

Yu, Wang, Peng, Gao, Yu and Sang, "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation",
ECCV 2018, with the layers of the first author's later release: 12.90 million parameters on ResNet-18 for RGB +
thermal. The 49.0 million of the paper's own table are reached by no public code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import conv_unit, resized
from ..nn.stages import StageEncoder
from ._segmentation import band_channels, create_stages, register_segmenter

__all__ = ["BiSeNetV1"]

_WIDTH = 128


class BiSeNetV1(nn.Module):
    """Label map of one stream of images.

    Args:
        encoder: the context path, four stages.
        channels: of the images.
        classes: how many.
        auxiliary: whether the context path has two heads of its own while training.
    """

    def __init__(self, encoder: StageEncoder, channels: int, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.detail = nn.Sequential(
            conv_unit(channels, 64, 7, stride=2),
            conv_unit(64, 64, stride=2),
            conv_unit(64, 64, stride=2),
            conv_unit(64, _WIDTH, 1),
        )
        widths = encoder.channels
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_unit(widths[3], _WIDTH, 1))
        self.refine = nn.ModuleList(_Refinement(widths[number]) for number in (3, 2))
        self.smooth = nn.ModuleList(conv_unit(_WIDTH, _WIDTH) for _ in range(2))
        self.fusion = _FeatureFusion(2 * _WIDTH)
        self.head = nn.Sequential(conv_unit(2 * _WIDTH, 64), nn.Conv2d(64, classes, 1))
        names = ("stride16", "stride8") if auxiliary else ()
        self.auxiliary = nn.ModuleDict(
            {name: nn.Sequential(conv_unit(_WIDTH, 256), nn.Conv2d(256, classes, 1)) for name in names}
        )
        self.heads: Mapping[str, Head] = dict.fromkeys(names, Head("classes"))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``; B at least 2 while training."""
        return self._logits(images, self._context(images)[1])

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and those of ``stride16`` and ``stride8``."""
        context = self._context(images)
        further = {
            name: resized(part(found), images.shape[-2:], align_corners=True)
            for (name, part), found in zip(self.auxiliary.items(), context, strict=False)
        }
        return self._logits(images, context[1]), further

    def _context(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The context path's maps at strides 16 and 8."""
        maps = self.encoder(images)
        below: torch.Tensor = self.whole(maps[3])
        found = []
        for refine, smooth, deep, finer in zip(
            self.refine, self.smooth, maps[:1:-1], maps[2:0:-1], strict=True
        ):
            below = smooth(resized(refine(deep) + below, finer.shape[-2:], align_corners=True))
            found.append(below)
        return found

    def _logits(self, images: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        detail = self.detail(images)
        fused = self.fusion(torch.cat([detail, resized(context, detail.shape[-2:], align_corners=True)], 1))
        return resized(self.head(fused), images.shape[-2:], align_corners=True)


class _Refinement(nn.Module):
    """A map, its channels weighed by their means (the paper's attention refinement)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = conv_unit(channels, _WIDTH)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv_unit(_WIDTH, _WIDTH, 1, relu=False), nn.Sigmoid()
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.reduce(maps)
        return maps * self.weigh(maps)


class _FeatureFusion(nn.Module):
    """Both paths mixed, and the mix added once more with its channels weighed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = conv_unit(channels, channels, 1)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.mix(maps)
        return maps + maps * self.weigh(maps)


@register_segmenter("bisenetv1", params=12_899_785, source="Yu et al., BiSeNet, ECCV 2018")
def build_bisenetv1(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool = False,
    *,
    encoder: str = "resnet18",
    auxiliary: bool = False,
) -> tuple[nn.Module, str]:
    """BiSeNet on an encoder of four stages."""
    channels = sum(band_channels(bands))
    stages, digest = create_stages(encoder, channels, pretrained)
    if channels == 1:
        stages = _Repeated(stages)
    return BiSeNetV1(stages, channels, classes, auxiliary), digest


class _Repeated(StageEncoder):
    """An encoder that sees one channel three times."""

    def __init__(self, encoder: StageEncoder) -> None:
        super().__init__()
        self.encoder, self.channels = encoder, encoder.channels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.encoder(images.expand(-1, 3, -1, -1))
