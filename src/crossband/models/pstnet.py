"""PSTNet: an RGB network, whose scores are then corrected with the thermal image.

Shivakumar et al., "PST900: RGB-Thermal Calibration, Dataset and Segmentation Network", ICRA 2020: a U-Net on
ResNet-18 segments the RGB image; its scores, the thermal and the RGB image together go through a small network
of ERFNet's blocks. The layers are those of the authors' code, told in words.

It has 19.87 million parameters and 130 G by thop. The 31.04 million and 163.64 G of Li et al.'s table III are
thop 0.0.31's, which counts the parameters of the ResNet twice and its operations four times because the release
registers it whole and in pieces, on a network whose RGB part has 5 classes whatever the dataset.

The authors train the RGB network first and freeze it. Here ``auxiliary=True`` trains both at once to the same
end: the RGB network by its own scores alone, the fusion on scores through which no gradient passes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import Resize
from ..nn.resnet import resnet_pieces
from ..nn.stages import widen_input
from ._registry import create_encoder
from ._segmentation import register_segmenter, streams
from .erfnet import Factorized, erfnet_encoder

__all__ = ["PSTNet"]

_EPS = 1e-3


class PSTNet(nn.Module):
    """Label map of two streams of images.

    Args:
        encoder: a ResNet-18, of the first stream.
        split: the channels of the input that each stream reads.
        classes: how many.
        auxiliary: whether the RGB network is trained by its own scores.
    """

    def __init__(
        self, encoder: nn.Module, split: tuple[int, int], classes: int, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self.split = list(split)
        self.color = _UNet(encoder, split[0], classes)
        self.fusion = _Fusion(sum(split) + classes, classes)
        self.heads: Mapping[str, Head] = {"color": Head("classes")} if auxiliary else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        return self._corrected(self.color(images[:, : self.split[0]]), images)

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and the RGB network's own, ``color``."""
        scores = self.color(images[:, : self.split[0]])
        if not self.heads:
            return self._corrected(scores, images), {}
        return self._corrected(scores.detach(), images), {"color": scores}

    def _corrected(self, scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The fusion's logits; scores are brought to 0..1 by the extremes of an image's whole map."""
        low, high = scores.amin((1, 2, 3), keepdim=True), scores.amax((1, 2, 3), keepdim=True)
        first, second = images.split(self.split, 1)
        return self.fusion(torch.cat([(scores - low) / (high - low + 1e-7), second, first], 1))


class _UNet(nn.Module):
    """A ResNet with skip connections; no convolution of its own has a norm."""

    def __init__(self, encoder: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.full = nn.Sequential(_convolution(channels, 64), _convolution(64, 64))
        self.encoder = resnet_pieces(encoder)
        self.skips = nn.ModuleList(_convolution(width, width, 1) for width in (64, 64, 128, 256, 512))
        pairs = ((512 + 256, 512), (512 + 128, 256), (256 + 64, 256), (256 + 64, 128), (128 + 64, 64))
        self.steps = nn.ModuleList(_convolution(a, b) for a, b in pairs)
        self.resize = Resize(align_corners=True)
        self.head = nn.Conv2d(64, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps, x = [self.full(images)], images
        for piece, skip in zip(self.encoder, self.skips, strict=True):
            x = piece(x)
            maps.append(skip(x))
        x = maps.pop()
        for step, finer in zip(self.steps, reversed(maps), strict=True):
            x = step(torch.cat([self.resize(x, finer.shape[-2:]), finer], 1))
        return self.head(x)


class _Fusion(nn.Module):
    """ERFNet with a wider start, and bilinear steps on the way up."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder_blocks = erfnet_encoder(channels, first=32)
        self.steps = nn.ModuleList((_grown(128, 64), _grown(64, 16)))
        self.resize = Resize(align_corners=True)
        self.head = nn.Conv2d(16, classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = (int(side) for side in x.shape[-2:])
        y = self.encoder_blocks(x)
        for step, stride in zip(self.steps, (4, 2), strict=True):
            y = step(self.resize(y, (-(-height // stride), -(-width // stride))))
        return self.head(self.resize(y, (height, width)))


def _grown(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.BatchNorm2d(channels_out, eps=_EPS),
        nn.ReLU(),
        Factorized(channels_out),
        Factorized(channels_out),
    )


def _convolution(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2), nn.ReLU())


@register_segmenter("pstnet", params=19_868_788, source="Shivakumar et al., PST900, ICRA 2020")
def build_pstnet(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, auxiliary: bool = False
) -> tuple[nn.Module, str]:
    """PSTNet."""
    split = streams(bands, "pstnet")
    encoder = create_encoder("resnet18", pretrained=pretrained)
    widen_input(encoder.body, split[0])
    return PSTNet(encoder.body, split, classes, auxiliary).requires_grad_(True), encoder.digest
