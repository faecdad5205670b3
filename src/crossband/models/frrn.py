"""FRRN: a stream of residuals at full size beside one that is pooled and enlarged again.

Pohlen, Hermans, Mathias and Leibe, "Full-Resolution Residual Networks for Semantic Segmentation in Street
Scenes", CVPR 2017, with the layers of the authors' code: models A and B, base width 48, residual stream 32.
Both streams run at full size, so it is the slowest of tables II to V; there are no ImageNet weights to start
from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..nn.layers import conv_unit, resized
from ._segmentation import band_channels, register_segmenter

__all__ = ["FRRN"]

_BASE, _RESIDUAL = 48, 32
Streams = tuple[torch.Tensor, torch.Tensor]
Scale = tuple[int, int, int]  # the stride, its units, their channels
_ENCODERS: dict[str, tuple[Scale, ...]] = {
    "a": ((2, 3, 96), (4, 4, 192), (8, 2, 384), (16, 2, 384)),
    "b": ((2, 3, 96), (4, 4, 192), (8, 2, 384), (16, 2, 384), (32, 2, 384)),
}
_DECODERS: dict[str, tuple[Scale, ...]] = {
    "a": ((8, 2, 192), (4, 2, 192), (2, 2, 96)),
    "b": ((16, 2, 192), (8, 2, 192), (4, 2, 192), (2, 2, 96)),
}


class FRRN(nn.Module):
    """Label map of one stream of images.

    Args:
        kind: ``a`` or ``b``.
        channels: of the images.
        classes: how many.
    """

    def __init__(self, kind: str, channels: int, classes: int) -> None:
        super().__init__()
        self.start = nn.Sequential(conv_unit(channels, _BASE, 5), *(_Residual(_BASE, _BASE) for _ in range(3)))
        self.split = nn.Conv2d(_BASE, _RESIDUAL, 1, bias=False)
        self.encoder_scales, width = _scales(_ENCODERS[kind], _BASE)
        self.decoder_scales, width = _scales(_DECODERS[kind], width)
        self.end = nn.Sequential(
            _Residual(width + _RESIDUAL, _BASE),
            _Residual(_BASE, _BASE),
            _Residual(_BASE, _BASE),
            nn.Conv2d(_BASE, classes, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        y = self.start(images)
        z = self.split(y)
        for units in _lists(self.encoder_scales):
            y = F.max_pool2d(y, 2)
            for unit in units:
                y, z = unit(y, z)
        for units in _lists(self.decoder_scales):
            stride = next(unit.stride for unit in units if isinstance(unit, _Unit))
            y = resized(y, (z.shape[-2] // stride, z.shape[-1] // stride))
            for unit in units:
                y, z = unit(y, z)
        return self.end(torch.cat([resized(y, z.shape[-2:]), z], 1))


def _lists(scales: nn.ModuleList) -> list[nn.ModuleList]:
    return [units for units in scales if isinstance(units, nn.ModuleList)]


class _Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the width changes."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_unit(channels_in, channels_out), conv_unit(channels_out, channels_out, relu=False)
        )
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


class _Unit(nn.Module):
    """A full-resolution residual unit: it reads both streams and writes to both."""

    def __init__(self, stride: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.stride = stride
        self.body = nn.Sequential(
            conv_unit(channels_in + _RESIDUAL, channels_out), conv_unit(channels_out, channels_out)
        )
        self.back = nn.Conv2d(channels_out, _RESIDUAL, 1)

    def forward(self, y: torch.Tensor, z: torch.Tensor) -> Streams:
        y = self.body(torch.cat([y, F.max_pool2d(z, self.stride)], 1))
        return y, z + resized(self.back(y), z.shape[-2:], mode="nearest")


def _scales(scales: tuple[Scale, ...], width: int) -> tuple[nn.ModuleList, int]:
    found = nn.ModuleList()
    for stride, units, channels in scales:
        widths = [width, *[channels] * units]
        found.append(nn.ModuleList(_Unit(stride, a, channels) for a in widths[:-1]))
        width = channels
    return found, width


def _register(kind: str, params: int) -> None:
    @register_segmenter(f"frrn_{kind}", params=params, source="Pohlen et al., FRRN, CVPR 2017")
    def build(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
        return FRRN(kind, sum(band_channels(bands)), classes), ""


for _kind, _params in (("a", 17_747_449), ("b", 24_756_345)):
    _register(_kind, _params)
