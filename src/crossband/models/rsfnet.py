"""RSFNet: two encoders of different size, fused position by position at every stage.

Li, Chen, Lin and Xu, "Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", 2023. The
authors' code appeared after the paper; this network is written from a description of its layers in words and
figures, and has the counts of tables VI to XII: 16 of 18 parameter counts to the last printed digit, two by
0.01 million.

Where the code says what the paper does not, it is followed: no ReLU between the stem's norm and its pooling; a
recalibration with a residual and without BatchNorm; gates that add up to one; a fusion in which both streams
pass the K x K convolution; a head on the sum of both decoders. The head's inner width is 64, which all counts
of the paper ask for but that of GMA; the code has 128.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import conv_unit, resized
from ..nn.spatial_fusion import Confidence, Recalibration, create_fusion, normalized_gates
from ..nn.stages import StageEncoder, Stages
from ._segmentation import band_channels, create_stages, register_segmenter

__all__ = ["RSFNet"]

_SOURCE = "Li et al., Residual Spatial Fusion Network, 2023"
_WIDTHS = (64, 128, 256, 256)
_AUXILIARY_WIDTH = 128


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
        confident: whether each stream learns how far it is to be trusted (section III-C); without, gates are 1.
        multi_branch: whether the fusion's convolution has further branches while training.
        skip: of ``rsf``: ``after`` the gate, as in the paper, or ``before``, as the authors train it.
        head: inner channels of the head.
        auxiliary: whether strides 8 and 16 have heads of their own while training, as in the authors' code.
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
        skip: str = "after",
        head: int = 64,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.split = list(split)
        self.streams = nn.ModuleList(_Stream(encoder, widths, confident) for encoder in encoders)
        self.fusions = (
            nn.ModuleList(
                create_fusion(fusion, width, reduced, kernel_size, multi_branch, skip) for width in widths
            )
            if len(self.streams) == 2
            else None
        )
        self.decoders = nn.ModuleList(_Decoder(widths) for _ in encoders)
        self.head = _head(widths[0], head, classes)
        self.heads: Mapping[str, Head] = {"confidence": Head("confidence")} if confident else {}
        self.auxiliary = None
        if auxiliary:
            self.auxiliary = nn.ModuleDict(
                {
                    name: _head(width, _AUXILIARY_WIDTH, classes)
                    for name, width in (("stride16", widths[2]), ("stride8", widths[1]))
                }
            )
            self.heads = {**self.heads, **dict.fromkeys(self.auxiliary, Head("classes"))}

    @property
    def encoder(self) -> nn.ModuleList:
        """The streams' encoders, which learn at a rate of their own."""
        return nn.ModuleList(stream.encoder for stream in self.streams if isinstance(stream, _Stream))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        maps, _ = self._decoded(images)
        return resized(self.head(maps[-1]), images.shape[-2:], align_corners=True)

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return the logits, and what else is trained, by name.

        ``confidence`` ``(B, streams)``, which of two streams adds up to one, and logits ``stride16`` and
        ``stride8``.
        """
        maps, gates = self._decoded(images)
        further: Heads = {"confidence": gates} if "confidence" in self.heads else {}
        for (name, part), found in zip((self.auxiliary or {}).items(), maps[:2], strict=False):
            further[name] = resized(part(found), images.shape[-2:], align_corners=True)
        return resized(self.head(maps[-1]), images.shape[-2:], align_corners=True), further

    def _decoded(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The decoders' maps at strides 16, 8 and 4, summed over streams, and the gates ``(B, streams)``."""
        parts = images.split(self.split, 1)
        features, trusts = zip(
            *(stream(part) for stream, part in zip(self.streams, parts, strict=True)), strict=True
        )
        gates = torch.stack(trusts, 1)
        if self.fusions is not None:
            gates = normalized_gates(gates) if "confidence" in self.heads else gates
            fused = [fuse(a, b, gates) for fuse, a, b in zip(self.fusions, *features, strict=True)]
            features = ([first for first, _ in fused], [second for _, second in fused])
        decoded = [decode(stream) for decode, stream in zip(self.decoders, features, strict=True)]
        return [
            torch.stack(maps).sum(0) if len(maps) > 1 else maps[0] for maps in zip(*decoded, strict=True)
        ], gates


def _head(channels: int, inner: int, classes: int) -> nn.Sequential:
    return nn.Sequential(conv_unit(channels, inner), nn.Dropout2d(0.1), nn.Conv2d(inner, classes, 1))


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
        below = [widths[-1], *reversed(widths[1:-1])]
        self.blocks = nn.ModuleList(map(_DecoderBlock, below, reversed(widths[:-1])))

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The maps of four stages to three, of the sizes and channels of the third, second and first."""
        found, coarse = [], maps[-1]
        for block, fine in zip(self.blocks, reversed(maps[:-1]), strict=True):
            coarse = block(coarse, fine)
            found.append(coarse)
        return found


class _DecoderBlock(nn.Module):
    """A coarse and a fine map, each multiplied by what the other becomes, as in DPANet's multi-scale fusion."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.lift = nn.Conv2d(fine, coarse, 3, padding=1)
        self.lower = nn.Conv2d(coarse, fine, 3, padding=1)
        self.mix = conv_unit(coarse + fine, fine, bias=True)

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        """``(B, coarse, h, w)`` and ``(B, fine, H, W)`` to ``(B, fine, H, W)``."""
        size = fine.shape[-2:]
        context = (self.lift(fine) * resized(coarse, size, align_corners=True)).relu()
        detail = (resized(self.lower(coarse), size, align_corners=True) * fine).relu()
        return self.mix(torch.cat([context, detail], 1))


def _as_theirs(encoder: StageEncoder) -> StageEncoder:
    """A ResNet whose stem goes from its norm straight to its pooling, as in the authors' code; a VGG whose
    pooling rounds up, as table XII's FLOPs of 720x1280 images ask for; others as they are."""
    if not isinstance(encoder, Stages):
        return encoder
    stem = encoder.stages[0]
    if hasattr(stem, "bn1") and hasattr(stem, "relu"):  # EfficientNet-Lite's norm has its activation inside
        del stem.relu
    for module in encoder.modules():
        if isinstance(module, nn.MaxPool2d) and module.padding == 0:  # one that pads rounds up already
            module.ceil_mode = True
    return encoder


@register_segmenter("rsfnet", params=44_961_139, source=_SOURCE)
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
    skip: str = "after",
    head: int = 64,
    auxiliary: bool = False,
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
        [_as_theirs(encoder) for encoder, _ in made],
        split,
        classes,
        widths,
        fusion,
        reduced,
        kernel_size,
        confident,
        multi_branch,
        skip,
        head,
        auxiliary,
    )
    return network, " ".join(digest for _, digest in made).strip()


def _register(name: str, first: str, second: str, params: int) -> None:
    def build(
        classes: int, bands: tuple[Band, ...], pretrained: bool = False, **options: Any
    ) -> tuple[nn.Module, str]:
        return build_rsfnet(classes, bands, pretrained, first=first, second=second, **options)

    own = inspect.signature(build_rsfnet)
    open_ = [p for p in own.parameters.values() if p.name not in ("first", "second", "widths")]
    build.__signature__ = own.replace(parameters=open_)  # type: ignore[attr-defined]
    register_segmenter(name, params=params, source=_SOURCE)(build)


for _name, _first, _second, _params in (
    ("rsfnet50_18", "resnet50", "resnet18", 44_961_139),
    ("rsfnet161_121", "densenet161", "densenet121", 44_531_575),
    ("rsfnet101_34", "resnet101", "resnet34", 74_061_427),
):
    _register(_name, _first, _second, _params)
