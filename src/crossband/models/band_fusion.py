"""Segmentation by one ImageNet encoder whose first stage sees each band by itself; bands may be missing.

The bands share the encoder. Each goes through its first stage alone; what they saw is mixed there, at stride 4,
by a convolution that starts as their mean, and goes on through the other stages as one. A top-down path (Lin et
al., "Feature Pyramid Networks", CVPR 2017) leads back to stride 4, where each band's own details come in again.
A band that is black is no band: it counts neither in the mean nor in the details. The encoder is made ready by
:mod:`crossband.nn.tuning`, so a step costs little more than of one band alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..nn.stages import Stages
from ._segmentation import band_channels, register_segmenter
from ._tuned import tuned_stages

__all__ = ["BandFusion", "build_band_fusion"]


class BandFusion(nn.Module):
    """The network.

    Args:
        classes: how many it tells apart.
        channels: of each band, 3 or 1.
        stages: the encoder, cut into four.
        width: channels of the top-down path.

    Example:
        >>> network, _ = build_band_fusion(9, (Band.RGB, Band.TIR), False, width=8)
        >>> network.eval()(torch.rand(1, 4, 64, 96)).shape
        torch.Size([1, 9, 64, 96])
    """

    def __init__(self, classes: int, channels: list[int], stages: Stages, width: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = stages
        first, *deeper = stages.channels
        self.mixed = nn.ModuleList(nn.Conv2d(first, first, 1) for _ in channels)
        for mixer in self.mixed:  # the mean of the bands, to begin with
            nn.init.dirac_(mixer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(mixer.bias)  # type: ignore[arg-type]
        self.details = nn.ModuleList(nn.Conv2d(first, width, 1) for _ in channels)
        self.lateral = nn.ModuleList(nn.Conv2d(one, width, 1) for one in deeper)
        self.mix = nn.ModuleList(_convolution(width) for _ in stages.channels)
        self.score = nn.Sequential(_convolution(width), nn.Conv2d(width, classes, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of standardized bands one after another, ``(B, C, H, W)``."""
        height, width = images.shape[-2:]
        there = torch.stack([_varies(part) for part in images.split(self.channels, 1)], 1)
        images = F.pad(images, (0, -width % 32, 0, -height % 32))
        mean, detail = self._first(images, there.to(images.dtype))
        maps = [mean]
        for stage in self.encoder.stages[1:]:
            maps.append(stage(maps[-1]))
        x = self.mix[-1](self.lateral[-1](maps[-1]))
        for k in range(len(maps) - 2, 0, -1):
            x = F.interpolate(x, size=maps[k].shape[-2:], mode="bilinear", align_corners=False)
            x = self.mix[k](x + self.lateral[k - 1](maps[k]))
        x = F.interpolate(x, size=detail.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.score(self.mix[0](x + detail))
        logits = F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return logits[..., :height, :width]

    def _first(self, images: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The bands' mean after the first stage, and their details; of those that are ``there``, ``(B, m)``."""
        parts = images.split(self.channels, 1)
        share = there / there.sum(1, keepdim=True).clamp(min=1)
        seen = [part.expand(-1, 3, -1, -1) if part.shape[1] == 1 else part for part in parts]
        together = torch.cat(seen).contiguous(memory_format=torch.channels_last)
        each = self.encoder.stages[0](together).chunk(len(parts))
        weights = share[:, :, None, None, None].unbind(1)
        mean = sum(w * mixer(x) for w, mixer, x in zip(weights, self.mixed, each, strict=True))
        detail = sum(w * layer(x) for w, layer, x in zip(weights, self.details, each, strict=True))
        return mean, detail


def _varies(part: torch.Tensor) -> torch.Tensor:
    """Which images of a band ``(B, c, H, W)`` show anything, boolean ``(B,)``."""
    flat = part.flatten(2)
    return (flat.amax(2) - flat.amin(2) > 1e-4).any(1)


def _convolution(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True))


@register_segmenter("band_fusion", params=3_159_145, source="this package")
def build_band_fusion(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool,
    *,
    encoder: str = "efficientnet_lite0",
    width: int = 64,
    frozen: int = 0,
) -> tuple[nn.Module, str]:
    """One encoder for all bands.

    Args:
        classes: how many it tells apart.
        bands: any, each alone too.
        pretrained: whether the encoder starts from its ImageNet weights.
        encoder: a registered one with four stages.
        width: channels of the top-down path.
        frozen: stages of the encoder, from the first, that do not learn.
    """
    stages, digest = tuned_stages(encoder, pretrained, frozen)
    return BandFusion(classes, band_channels(bands), stages, width), digest
