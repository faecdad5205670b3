"""FuseSeg: two DenseNets, added up on the way down and joined again on the way up.

Sun, Zuo, Yun, Wang and Liu, "FuseSeg: Semantic Segmentation of Urban Scenes Based on RGB and Thermal Data
Fusion", T-ASE 2021: after each of six levels the thermal map is added to the RGB map (first fusion); on the way
up each sum is concatenated with the decoder's map of its size (second fusion) and passes two 3x3 convolutions.

The authors' code was not to be had. The levels follow the paper's text; the decoder's inner width (twice a
level's) and the 3x3 kernel of its first upsampling are fitted to the 141.52 million parameters that it prints,
which this network has. Its 192.97 G by thop are 0.2 % below the printed 193.40.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.densenet import _Transition

from ..bands import Band
from ..nn.layers import conv_unit, resized
from ._segmentation import create_two_bodies, register_segmenter, streams

__all__ = ["FuseSeg"]


class FuseSeg(nn.Module):
    """Label map of two streams of images.

    Args:
        first, second: two DenseNets of the same kind.
        split: the channels of the input that each stream reads.
        classes: how many.
    """

    def __init__(self, first: nn.Module, second: nn.Module, split: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.split = list(split)
        self.first, widths = _levels(first)
        self.second, _ = _levels(second)
        kept = widths[:-1]  # the last level is only grown
        pairs = list(itertools.pairwise(reversed(widths)))
        self.grow = nn.ModuleList(
            _Grow(deep, own, 3 if number == 0 else 2) for number, (deep, own) in enumerate(pairs)
        )
        self.extract = nn.ModuleList(
            nn.Sequential(conv_unit(2 * c, 2 * c, bias=True), conv_unit(2 * c, c, bias=True))
            for c in reversed(kept)
        )
        self.out = nn.ConvTranspose2d(widths[0], classes, 2, stride=2)

    @property
    def encoder(self) -> nn.ModuleList:
        """Both DenseNets, which learn at a rate of their own."""
        return nn.ModuleList((self.first, self.second))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``, 64 pixels a side at least."""
        one, two = images.split(self.split, 1)
        sums = []
        for first, second in zip(self.first, self.second, strict=True):
            two = second(two)
            one = first(one) + two
            sums.append(one)
        x = sums[-1]
        for grow, extract, own in zip(self.grow, self.extract, reversed(sums[:-1]), strict=True):
            x = extract(torch.cat([grow(x, own.shape[-2:]), own], 1))
        return self.out(x)[..., : images.shape[-2], : images.shape[-1]]


class _Doubling(nn.ConvTranspose2d):
    """A transposed 3x3 convolution of stride 2 to twice the size, or to one more where the size asks for it."""

    def forward(self, input: torch.Tensor, size: torch.Size) -> torch.Tensor:  # type: ignore[override]
        """``(B, C, h, w)`` to ``(B, C, 2 h or 2 h + 1, 2 w or 2 w + 1)``."""
        even = tuple(int(wide <= 2 * narrow) for wide, narrow in zip(size, input.shape[-2:], strict=True))
        return F.conv_transpose2d(input, self.weight, self.bias, 2, even, even)


class _Grow(nn.Module):
    """Twice the size and the channels of the level above, then exactly its size."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        kind = _Doubling if kernel == 3 else nn.ConvTranspose2d
        self.kernel = kernel
        self.up = kind(channels_in, channels_out, kernel, 2)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: torch.Tensor, size: torch.Size) -> torch.Tensor:
        grown = self.up(x, size) if self.kernel == 3 else self.up(x)
        return resized(self.norm(grown).relu(), size)


def _levels(body: nn.Module) -> tuple[nn.ModuleList, list[int]]:
    """A DenseNet in the six pieces after which the streams are added, and their channels; the last one is a
    transition that ImageNet's network does not have."""
    f = dict(dict(body.named_children())["features"].named_children())
    widths = [getattr(f[name], "num_features", 0) for name in ("norm0", "norm5")]
    stem, deep = int(widths[0]), int(widths[1])
    last = _Transition(deep, deep // 2)
    pieces = nn.ModuleList(
        (
            nn.Sequential(f["conv0"], f["norm0"], f["relu0"]),
            f["pool0"],
            nn.Sequential(f["denseblock1"], f["transition1"]),
            nn.Sequential(f["denseblock2"], f["transition2"]),
            nn.Sequential(f["denseblock3"], f["transition3"]),
            nn.Sequential(f["denseblock4"], last),
        )
    )
    convolutions = [f[f"transition{n}"].get_submodule("conv") for n in (1, 2, 3)]
    transitions = [conv.out_channels for conv in convolutions if isinstance(conv, nn.Conv2d)]
    return pieces, [stem, stem, *transitions, deep // 2]


def build_fuseseg(
    name: str, classes: int, bands: tuple[Band, ...], pretrained: bool = False
) -> tuple[nn.Module, str]:
    """Build FuseSeg of two DenseNets."""
    split = streams(bands, "fuseseg")
    first, second, digest = create_two_bodies(name, split, pretrained)
    return FuseSeg(first, second, split, classes), digest


def _register(name: str, encoder: str, params: int) -> None:
    @register_segmenter(name, params=params, source="Sun et al., FuseSeg, T-ASE 2021")
    def build(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
        return build_fuseseg(encoder, classes, bands, pretrained)


_register("fuseseg", "densenet161", 141_521_097)
_register("fuseseg121", "densenet121", 37_050_249)
