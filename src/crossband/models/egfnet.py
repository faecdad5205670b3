"""EGFNet: both bands through one encoder, and edges as prior knowledge.

Zhou, Dong, Xu and Qian, "Edge-aware Guidance Fusion Network for RGB-Thermal Scene Parsing", AAAI 2022, with the
layers of the authors' code: one ResNet-152 for both bands, five fusions of 64 channels, an edge map of Sobel
filters that weighs what is said. It has the 62.78 million parameters that Li et al. print, its side outputs
included; a convolution that the release declares and never runs is left out.

While training it gives five maps: two of classes and three of two classes. The released loss takes three, so
which of the sides are borders and which foreground is inferred: the finest two learn borders, the third the
foreground.

It multiplies maps that no BatchNorm holds, so plain SGD at the rates of other networks (0.05) diverges in three
steps; its recipes take AdamW, as its authors take Ranger, and SGD learns with ``optimizer.clip: 1``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..errors import CrossbandError
from ..nn.heads import Head, Heads
from ..nn.layers import conv_unit, resized
from ._segmentation import create_pieces, register_segmenter, streams, three_channels

__all__ = ["EGFNet", "edge_map"]

_WIDTH = 64
_DILATIONS = (1, 2, 3, 4)


class EGFNet(nn.Module):
    """Label map of two streams of images.

    Args:
        pieces: a ResNet in five, which both streams share.
        widths: channels of the pieces' maps.
        split: the channels of the input that each stream reads; a single one is seen three times.
        classes: how many.
        auxiliary: whether the side outputs are there, which are for training alone.
    """

    def __init__(
        self,
        pieces: nn.ModuleList,
        widths: tuple[int, ...],
        split: tuple[int, int],
        classes: int,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.split = list(split)
        self.encoder = pieces
        self.narrow = nn.ModuleList(_convolution(width, _WIDTH) for width in widths)
        self.fusions = nn.ModuleList(_Fusion() for _ in widths)
        self.deep = _Pyramid()
        self.level4 = _Level4()
        self.logits, self.by_edge = nn.Conv2d(_WIDTH, classes, 1), nn.Conv2d(1, classes, 1)
        self.sides = _Sides(classes) if auxiliary else None
        self.heads: Mapping[str, Head] = (
            {
                "semantic": Head("classes"),
                "border1": Head("border"),
                "border2": Head("border"),
                "foreground": Head("foreground"),
            }
            if auxiliary
            else {}
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        return self._logits(self._fused(images), images, edge_map(*images.split(self.split, 1)))

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return the logits and those of ``semantic``, the borders and the foreground.

        ``border1``, ``border2`` and ``foreground`` have two classes each.
        """
        fused = self._fused(images)
        edges = edge_map(*images.split(self.split, 1))
        logits = self._logits(fused, images, edges)
        return logits, {} if self.sides is None else self.sides(fused, edges)

    def _fused(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The five fused maps, strides 2 to 32."""
        one, two = (three_channels(part) for part in images.split(self.split, 1))
        found = []
        for piece, narrow, fuse in zip(self.encoder, self.narrow, self.fusions, strict=True):
            one, two = piece(one), piece(two)
            found.append(fuse(narrow(one), narrow(two)))
        return found

    def _logits(self, fused: list[torch.Tensor], images: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        deep = resized(self.deep(fused[4]), fused[3].shape[-2:])
        x = self.level4(deep, fused[3])
        for own in fused[2::-1]:
            size = own.shape[-2:]
            x = resized(x, size) + own + resized(deep, size)
        logits = self.logits(resized(x, images.shape[-2:]))
        return logits * self.by_edge(edges) + logits


class _Fusion(nn.Module):
    """Two maps of one level, each times their sum, then seen at four dilations."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = _convolution(2 * _WIDTH, _WIDTH, 1)
        self.body = nn.Sequential(
            conv_unit(_WIDTH, _WIDTH, bias=True), conv_unit(_WIDTH, _WIDTH, bias=True, relu=False)
        )
        self.dilated = nn.ModuleList(_convolution(_WIDTH, _WIDTH, 3, d) for d in _DILATIONS)
        self.out = _convolution(5 * _WIDTH, _WIDTH)

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        both = one + two
        z = self.mix(torch.cat([one * both, two * both], 1))
        z = (z + self.body(z)).relu()
        return self.out(torch.cat([z, *(part(z) for part in self.dilated)], 1))


class _Pyramid(nn.Module):
    """The deepest map at five receptive fields."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_convolution(_WIDTH, _WIDTH, 1), *(_convolution(_WIDTH, _WIDTH, 3, d) for d in _DILATIONS)]
        )
        self.mix = _convolution(5 * _WIDTH, _WIDTH, 1)
        self.out = conv_unit(_WIDTH, _WIDTH, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x + self.mix(torch.cat([branch(x) for branch in self.branches], 1)))


class _Level4(nn.Module):
    """The fourth level, weighed together with the deepest map."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = _convolution(2 * _WIDTH, _WIDTH, 1)
        self.body = nn.Sequential(
            conv_unit(_WIDTH, _WIDTH, bias=True), conv_unit(_WIDTH, _WIDTH, bias=True, relu=False)
        )
        self.out = _convolution(_WIDTH, _WIDTH, 1)

    def forward(self, deep: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        weights = self.weigh(torch.cat([deep, own], 1))
        return self.out(self.body(deep * weights + own * weights) + deep)


class _Sides(nn.Module):
    """The outputs beside the levels, at the images' size."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        kinds = (2, 2, 2, classes, classes)
        self.each = nn.ModuleList(conv_unit(_WIDTH, kind, bias=True) for kind in kinds)
        self.border = nn.Conv2d(2, 2, 1)
        self.mix = nn.Conv2d(2 * classes, classes, 1)
        self.refine = conv_unit(classes, classes, bias=True)
        self.semantic, self.by_edge = nn.Conv2d(classes, classes, 1), nn.Conv2d(1, classes, 1)

    def forward(self, fused: list[torch.Tensor], edges: torch.Tensor) -> Heads:
        size = edges.shape[-2:]
        *borders, fourth, fifth = (resized(part(x), size) for part, x in zip(self.each, fused, strict=True))
        both = self.mix(torch.cat([fifth, fourth], 1)) + fourth + fifth
        semantic = self.semantic(self.refine(both) * fifth)
        names = ("border1", "border2", "foreground")
        found = {name: self.border(x) * edges for name, x in zip(names, borders, strict=True)}
        return {"semantic": semantic * self.by_edge(edges) + semantic, **found}


def edge_map(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Add up the Sobel edges of two streams' means over channels, half horizontal and half vertical.

    Args:
        first: ``(B, C, H, W)``.
        second: ``(B, D, H, W)``.

    Returns:
        ``(B, 1, H, W)``, not below 0.

    Example:
        >>> edge_map(torch.ones(1, 3, 5, 5), torch.ones(1, 1, 5, 5)).max().item()
        0.0
    """
    across = first.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]
    gray = torch.stack([first.mean(1), second.mean(1)], 1).flatten(0, 1)[:, None]
    slopes = F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), kernels).abs()
    return 0.5 * slopes.sum(1).unflatten(0, (-1, 2)).sum(1, keepdim=True)


def _convolution(channels_in: int, channels_out: int, kernel: int = 3, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=dilation * (kernel // 2), dilation=dilation)


@register_segmenter("egfnet", params=62_761_755, source="Zhou et al., EGFNet, AAAI 2022")
def build_egfnet(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool = False,
    *,
    encoder: str = "resnet152",
    auxiliary: bool = False,
) -> tuple[nn.Module, str]:
    """EGFNet on one ResNet, which reads three channels: the first stream's own, or a single one repeated."""
    split = streams(bands, "egfnet")
    if split[0] not in (1, 3):
        raise CrossbandError("egfnet reads two bands by one encoder of three channels; give rgb and tir")
    pieces, widths, digest = create_pieces(encoder, 3, pretrained)
    return EGFNet(pieces, widths, split, classes, auxiliary), digest
