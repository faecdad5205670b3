"""ABMDRNet: two encoders, and a third that fuses them channel by channel and looks for context.

Zhang, Zhao, Luo, Zhang, Huang and Han, "ABMDRNet: Adaptive-weighted Bi-directional Modality Difference
Reduction Network for RGB-T Semantic Segmentation", CVPR 2021. Its own code was never published; the layers are
those of the segmentation path of its authors' follow-up (MDRNet+, TNNLS 2023), which has the 64.60 million
parameters that later papers print for ABMDRNet. The translation of one band into the other, by which the paper
trains the encoders to lose their differences, is no part of that path and is not here.
"""

from __future__ import annotations

import torch
from torch import nn

from ..bands import Band
from ..nn.layers import conv_unit
from ._segmentation import create_pieces, register_segmenter, streams, three_channels

__all__ = ["ABMDRNet"]

_EPS = 1e-5
_DILATIONS = (1, 6, 12, 18)


class ABMDRNet(nn.Module):
    """Label map of two streams of images.

    Args:
        first, second, third: ResNets in five pieces, of which the first four are used, and of the third not the
            stem.
        widths: channels of the pieces' maps.
        split: the channels of the input that each stream reads; a single one is seen three times.
        classes: how many.
    """

    def __init__(
        self,
        first: nn.ModuleList,
        second: nn.ModuleList,
        third: nn.ModuleList,
        widths: tuple[int, ...],
        split: tuple[int, int],
        classes: int,
    ) -> None:
        super().__init__()
        self.split = list(split)
        self.encoder = nn.ModuleDict({"first": first[:4], "second": second[:4], "third": third[1:4]})
        a, b, c, d = widths[:4]
        self.fusions = nn.ModuleList(_ChannelFusion(width) for width in (a, b, c, d))
        self.spatial, self.channel = _SpatialContext(c), _ChannelContext(d)
        self.up = nn.ModuleList(_doubling(*pair) for pair in ((d, c), (c, b), (b, a), (a, a)))
        self.mix = nn.ModuleList(conv_unit(width, width) for width in (c, b, a))
        self.head = nn.Conv2d(a, classes, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        maps = self._fused(images)
        x = maps[3]
        for up, mix, own in zip(self.up, self.mix, maps[2::-1], strict=False):
            x = mix(up(x)[..., : own.shape[-2], : own.shape[-1]] + own)
        return self.head(self.up[3](x))[..., : images.shape[-2], : images.shape[-1]]

    def _fused(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The fusion encoder's four maps, strides 2 to 16."""
        one, two = (three_channels(part) for part in images.split(self.split, 1))
        joined = []
        pairs = zip(self.encoder["first"], self.encoder["second"], self.fusions, strict=True)  # type: ignore[call-overload]
        for first, second, fuse in pairs:
            one, two = first(one), second(two)
            joined.append(fuse(one, two))
        layers = list(self.encoder["third"])  # type: ignore[call-overload]
        second_map = layers[0](joined[0]) + joined[1]
        third_map = self.spatial(layers[1](second_map) + joined[2])
        return [joined[0], second_map, third_map, self.channel(layers[2](third_map) + joined[3])]


class _ChannelFusion(nn.Module):
    """Two maps, weighed against each other by one number a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.Sigmoid(),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        weights = self.weigh(torch.cat([one, two], 1))
        return weights * one + (1 - weights) * two


class _Branches(nn.Module):
    """A map at four dilations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.each = nn.ModuleList(
            nn.Sequential(conv_unit(channels, half, 1), conv_unit(half, half, dilation=d)) for d in _DILATIONS
        )
        self.mix = conv_unit(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(torch.cat([branch(x) for branch in self.each], 1))


class _SpatialContext(nn.Module):
    """Each position sees the positions that are like it, by the map itself and by its branches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = _Branches(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.branches(x)
        own, seen = x.flatten(2), f.flatten(2)
        found = seen @ (_affinity(seen, over_channels=False) + _affinity(own, over_channels=False))
        return x + found.unflatten(2, x.shape[-2:])


class _ChannelContext(nn.Module):
    """Each channel sees the channels that are like it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = _Branches(channels)
        self.out = conv_unit(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.branches(x)
        own, seen = x.flatten(2), f.flatten(2)
        found = (_affinity(seen, over_channels=True) + _affinity(own, over_channels=True)) @ seen
        return self.out(x + found.unflatten(2, x.shape[-2:]))


def _affinity(z: torch.Tensor, over_channels: bool) -> torch.Tensor:
    """How alike the positions, or channels, of ``(B, C, N)`` are; each column adds up to one."""
    z = z / (z.norm(dim=1, keepdim=True) + _EPS)
    alike = (z @ z.transpose(1, 2) if over_channels else z.transpose(1, 2) @ z).relu()
    return alike / (alike.sum(1, keepdim=True) + _EPS)


def _doubling(channels_in: int, channels_out: int) -> nn.Sequential:
    grown = nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2, bias=False)
    return nn.Sequential(grown, nn.BatchNorm2d(channels_out), nn.ReLU())


@register_segmenter("abmdrnet", params=64_602_944, source="Zhang et al., ABMDRNet, CVPR 2021")
def build_abmdrnet(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, encoder: str = "resnet50"
) -> tuple[nn.Module, str]:
    """ABMDRNet on three ResNets of a kind."""
    split = streams(bands, "abmdrnet")
    made = [create_pieces(encoder, channels, pretrained) for channels in (*split, 3)]
    (first, widths, digest), (second, _, _), (third, _, _) = made
    third[1] = nn.Sequential(*third[1].children())
    return ABMDRNet(first, second, third, widths, split, classes), digest
