"""RSFNet: two encoders of different size, fused position by position at every stage.

Li, Chen, Lin and Xu, "Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", 2023. There is no
public code. What the text leaves open follows from the counts of its tables VI to XII, which this network has
to 0.01 million parameters: the recalibration ends in a 1 x 1 convolution with BatchNorm and without ReLU; the
third convolution of a fusion has no BatchNorm; each stream has a decoder of its own even where both carry the
same features; without pseudo-labels there is no confidence and the gate is 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..nn.reparam import conv_batchnorm
from ..nn.spatial_fusion import Confidence, Recalibration, create_fusion
from ..nn.stages import StageEncoder
from ._segmentation import band_channels, create_stages, register_segmenter

__all__ = ["RSFNet"]

_SOURCE = "Li et al., Residual Spatial Fusion Network, 2023"
_WIDTHS = (64, 128, 256, 256)


class RSFNet(nn.Module):
    """Label map of one or two streams of images.

    Args:
        encoders: one per stream, each giving four maps, with their ``channels``.
        split: the channels of the input that each stream reads; a stream of one channel sees it three times.
        classes: how many.
        widths: channels of the four stages after recalibration.
        fusion: ``rsf``, ``sum``, ``concat`` or ``gma``; of two streams only.
        reduced: channels of the features that are fused.
        kernel_size: K of the fusion's weights.
        confident: whether each stream learns how far it is to be trusted (section III-C).
        multi_branch: whether the fusion's convolution has further branches while training.
    """

    def __init__(
        self,
        encoders: Sequence[StageEncoder],
        split: Sequence[int],
        classes: int,
        widths: Sequence[int] = _WIDTHS,
        fusion: str = "rsf",
        reduced: int = 64,
        kernel_size: int = 5,
        confident: bool = True,
        multi_branch: bool = False,
    ) -> None:
        super().__init__()
        self.split = list(split)
        self.streams = nn.ModuleList(_Stream(encoder, widths, confident) for encoder in encoders)
        self.fusions = (
            nn.ModuleList(create_fusion(fusion, width, reduced, kernel_size, multi_branch) for width in widths)
            if len(self.streams) == 2
            else None
        )
        self.decoders = nn.ModuleList(_Decoder(widths) for _ in encoders)
        middle = max(widths[0] // 2, 8)
        self.head = nn.Sequential(
            *conv_batchnorm(widths[0] * len(self.streams), middle, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(middle, classes, 1),
        )
        self.learns_confidence = confident

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        return self.with_confidence(images)[0]

    def with_confidence(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits, and the confidence of each stream ``(B, streams)`` in [0, 1], one if not learned."""
        parts = images.split(self.split, 1)
        features, trusts = zip(
            *(stream(part) for stream, part in zip(self.streams, parts, strict=True)), strict=True
        )
        trust = torch.stack(trusts, 1)
        if self.fusions is not None:
            fused = [fuse(a, b, trust) for fuse, a, b in zip(self.fusions, *features, strict=True)]
            features = ([first for first, _ in fused], [second for _, second in fused])
        decoded = [decode(stream) for decode, stream in zip(self.decoders, features, strict=True)]
        logits = self.head(torch.cat(decoded, 1))
        return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False), trust


class _Stream(nn.Module):
    """One encoder, its maps brought to the common widths, and how far it is to be trusted."""

    def __init__(self, encoder: StageEncoder, widths: Sequence[int], confident: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.recalibrations = nn.ModuleList(map(Recalibration, encoder.channels, widths))
        self.confidence = Confidence(encoder.channels[-1]) if confident else None

    def forward(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Images ``(B, C, H, W)``, one channel seen three times, to four maps and a confidence ``(B,)``."""
        maps = self.encoder(images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images)
        trust = images.new_ones(len(images)) if self.confidence is None else self.confidence(maps[-1])
        return [recalibrate(m) for recalibrate, m in zip(self.recalibrations, maps, strict=True)], trust


class _Decoder(nn.Module):
    """One stream from stage 4 to stage 1, section III-E."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        highs = [widths[-1], *reversed(widths[1:-1])]
        self.blocks = nn.ModuleList(map(_DecoderBlock, highs, reversed(widths[:-1])))

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """The maps of four stages to one of the size and channels of the first."""
        high = maps[-1]
        for block, low in zip(self.blocks, reversed(maps[:-1]), strict=True):
            high = block(high, low)
        return high


class _DecoderBlock(nn.Module):
    """A coarse and a fine map, each multiplied by what the other becomes, as in DPANet's multi-scale fusion."""

    def __init__(self, high: int, low: int) -> None:
        super().__init__()
        self.lift = nn.Conv2d(low, high, 3, padding=1)
        self.lower = nn.Conv2d(high, low, 3, padding=1)
        self.mix = nn.Sequential(*conv_batchnorm(high + low, low, 3, padding=1), nn.ReLU())

    def forward(self, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """``(B, high, h, w)`` and ``(B, low, H, W)`` to ``(B, low, H, W)``."""
        size = low.shape[-2:]
        context = (self.lift(low) * _resized(high, size)).relu()
        detail = (_resized(self.lower(high), size) * low).relu()
        return self.mix(torch.cat([context, detail], 1))


def _resized(maps: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


@register_segmenter("rsfnet", params=44_965_395, source=_SOURCE)
def build_rsfnet(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool = False,
    *,
    first: str = "resnet50",
    second: str = "resnet18",
    fusion: str = "rsf",
    reduced: int = 64,
    kernel_size: int = 5,
    confident: bool = True,
    multi_branch: bool = True,
    widths: Sequence[int] = _WIDTHS,
) -> tuple[nn.Module, str]:
    """Build RSFNet of any two encoders; with one band it has one encoder and no fusion (table XIII)."""
    channels = band_channels(bands)
    if len(bands) > 1:
        names, split = [first, second], [sum(channels[:-1]), channels[-1]]
    else:
        names, split = [second if bands == (Band.TIR,) else first], channels
    made = [create_stages(name, c, pretrained) for name, c in zip(names, split, strict=True)]
    network = RSFNet(
        [encoder for encoder, _ in made],
        split,
        classes,
        widths,
        fusion,
        reduced,
        kernel_size,
        confident,
        multi_branch,
    )
    return network, " ".join(digest for _, digest in made).strip()


def _register(name: str, first: str, second: str, params: int) -> None:
    @register_segmenter(name, params=params, source=_SOURCE)
    def build(
        classes: int,
        bands: tuple[Band, ...],
        pretrained: bool = False,
        *,
        fusion: str = "rsf",
        reduced: int = 64,
        kernel_size: int = 5,
        confident: bool = True,
        multi_branch: bool = True,
    ) -> tuple[nn.Module, str]:
        return build_rsfnet(
            classes,
            bands,
            pretrained,
            first=first,
            second=second,
            fusion=fusion,
            reduced=reduced,
            kernel_size=kernel_size,
            confident=confident,
            multi_branch=multi_branch,
        )


for _name, _first, _second, _params in (
    ("rsfnet50_18", "resnet50", "resnet18", 44_965_395),
    ("rsfnet161_121", "densenet161", "densenet121", 44_535_831),
    ("rsfnet101_34", "resnet101", "resnet34", 74_065_683),
):
    _register(_name, _first, _second, _params)
