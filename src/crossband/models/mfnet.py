"""MFNet: two small encoders whose maps are joined on the way up.

Ha, Watanabe, Karasawa, Ushiku and Harada, "MFNet: Towards Real-Time Semantic Segmentation for Autonomous
Vehicles with Multi-Spectral Scenes", IROS 2017: five stages a band, the last two of them mini-inceptions (a
plain and a dilated convolution side by side, three times), and a decoder that adds the joined maps of both
encoders.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..nn.layers import resized
from ._segmentation import register_segmenter, streams

__all__ = ["MFNet"]

_FIRST, _SECOND = (16, 48, 48, 96, 96), (16, 16, 16, 36, 36)


def _unit(channels_in: int, channels_out: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.2),
    )


class _MiniInception(nn.Module):
    """Three times a plain and a dilated convolution side by side."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        widths, half = (channels_in, channels_out, channels_out), channels_out // 2
        self.plain = nn.ModuleList(_unit(width, half) for width in widths)
        self.dilated = nn.ModuleList(_unit(width, half, dilation=2) for width in widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for plain, dilated in zip(self.plain, self.dilated, strict=True):
            x = torch.cat([plain(x), dilated(x)], 1)
        return x


class _Encoder(nn.Module):
    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.stages = nn.ModuleList(
            (
                _unit(channels, a),
                nn.Sequential(_unit(a, b), _unit(b, b)),
                nn.Sequential(_unit(b, c), _unit(c, c)),
                _MiniInception(c, d),
                _MiniInception(d, e),
            )
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The maps of all stages at strides 1, 2, 4, 8 and 16."""
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if number else x)
            maps.append(x)
        return maps


class MFNet(nn.Module):
    """Label map of two streams of images.

    Args:
        split: the channels of the input that each stream reads.
        classes: how many.
    """

    def __init__(self, split: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.split = list(split)
        self.first, self.second = _Encoder(split[0], _FIRST), _Encoder(split[1], _SECOND)
        widths = [a + b for a, b in zip(_FIRST, _SECOND, strict=True)]
        self.decoder = nn.ModuleList(
            _unit(widths[i], widths[i - 1] if i else classes) for i in reversed(range(4))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        one, two = images.split(self.split, 1)
        maps = [torch.cat(pair, 1) for pair in zip(self.first(one), self.second(two), strict=True)]
        x = maps[4]
        for step, low in zip(self.decoder, (maps[3], maps[2], maps[1], None), strict=True):
            x = resized(x, (images if low is None else low).shape[-2:], mode="nearest")
            x = step(x if low is None else x + low)
        return x


@register_segmenter("mfnet", params=736_275, source="Ha et al., MFNet, IROS 2017")
def build_mfnet(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
    """Build MFNet; it has no encoder of ImageNet to start from."""
    return MFNet(streams(bands, "mfnet"), classes), ""
