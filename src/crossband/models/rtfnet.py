"""RTFNet: two ResNets, added up after every stage, and a decoder of residual blocks.

Sun, Zuo and Liu, "RTFNet: RGB-Thermal Fusion Network for Semantic Segmentation of Urban Scenes", RA-L 2019. The
thermal stream is added to the RGB stream after the first convolution and after each stage; each of the
decoder's five layers has two blocks (1 x 1, 3 x 3 and a third convolution, with a shortcut), of which the
second doubles the size and, but in the last layer, halves the channels.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import nn

from ..bands import Band
from ..nn.reparam import conv_batchnorm
from ..nn.resnet import resnet_pieces
from ._segmentation import create_two_bodies, register_segmenter, streams

__all__ = ["RTFNet"]


class _Block(nn.Module):
    """A residual block; ``grow`` doubles the size of the map."""

    def __init__(self, channels_in: int, channels_out: int, grow: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_batchnorm(channels_in, channels_out, 1),
            nn.ReLU(),
            *conv_batchnorm(channels_out, channels_out, 3, padding=1),
            nn.ReLU(),
        )
        self.last = (
            _doubling(channels_out, channels_out)
            if grow
            else conv_batchnorm(channels_out, channels_out, 3, padding=1)
        )
        self.shortcut: nn.Module = _doubling(channels_in, channels_out) if grow else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.last(self.body(x)) + self.shortcut(x)).relu()


def _doubling(channels_in: int, channels_out: int) -> nn.Sequential:
    transposed = nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2, bias=False)
    return nn.Sequential(transposed, nn.BatchNorm2d(channels_out))


class RTFNet(nn.Module):
    """Label map of two streams of images.

    Args:
        first, second: the ResNets, of the same kind; the second reads one channel.
        split: the channels of the input that each stream reads.
        classes: how many.
    """

    def __init__(self, first: nn.Module, second: nn.Module, split: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.split = list(split)
        self.first, self.second = resnet_pieces(first), resnet_pieces(second)
        width = [m for m in first.modules() if isinstance(m, nn.BatchNorm2d)][-1].num_features
        widths = [width, *(width // 2**i for i in range(1, 5)), classes]
        self.decoder = nn.Sequential(
            *(
                nn.Sequential(_Block(a, a, grow=False), _Block(a, b, grow=True))
                for a, b in itertools.pairwise(widths)
            )
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``.

        Of sizes that are no multiples of 32 the decoder gives a little more, which is cut off.
        """
        one, two = images.split(self.split, 1)
        for first, second in zip(self.first, self.second, strict=True):
            two = second(two)
            one = first(one) + two
        return self.decoder(one)[..., : images.shape[-2], : images.shape[-1]]


def build_rtfnet(
    depth: int, classes: int, bands: tuple[Band, ...], pretrained: bool = False
) -> tuple[nn.Module, str]:
    """Build RTFNet of two ResNets of a depth.

    The thermal one's first convolution starts from the mean over colors.
    """
    split = streams(bands, f"rtfnet{depth}")
    first, second, digest = create_two_bodies(f"resnet{depth}", split, pretrained)
    return RTFNet(first, second, split, classes), digest


def _register(depth: int, params: int) -> None:
    @register_segmenter(f"rtfnet{depth}", params=params, source="Sun et al., RTFNet, RA-L 2019")
    @functools.wraps(build_rtfnet)
    def build(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
        return build_rtfnet(depth, classes, bands, pretrained)


for _depth, _params in (
    (18, 30_995_525),
    (34, 51_211_845),
    (50, 185_238_501),
    (101, 223_222_757),
    (152, 254_510_053),
):
    _register(_depth, _params)
