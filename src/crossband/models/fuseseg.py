"""FuseSeg: two DenseNets, added up on the way down and joined again on the way up.

Sun, Zuo, Yun, Wang and Liu, "FuseSeg: Semantic Segmentation of Urban Scenes Based on RGB and Thermal Data
Fusion", T-ASE 2021: the thermal maps are added to the RGB maps after the first block and after each dense block
(first stage of fusion), the sums are concatenated with the decoder's maps of the same size (second stage), of
which each level has two 3 x 3 convolutions and a transposed one that doubles the size. The text gives no
channels of the decoder; here each level has half of the one below, which makes 120.91 million parameters where
the paper's table III has 141.52.
"""

from __future__ import annotations

import torch
from torch import nn

from ..bands import Band
from ..nn.reparam import conv_batchnorm
from ..nn.stages import widen_input
from ._registry import create_encoder
from ._segmentation import register_segmenter, streams

__all__ = ["FuseSeg"]


class FuseSeg(nn.Module):
    """Label map of two streams of images.

    Args:
        first, second: the convolutional parts of two DenseNets of the same kind.
        split: the channels of the input that each stream reads.
        classes: how many.
    """

    def __init__(self, first: nn.Module, second: nn.Module, split: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.split = list(split)
        self.first, widths = _levels(first)
        self.second, _ = _levels(second)
        channels = widths[-1]
        self.up, self.extract = nn.ModuleList(), nn.ModuleList()
        for skip in reversed(widths[:-1]):
            half = channels // 2
            up = nn.Sequential(
                nn.ConvTranspose2d(channels, half, 2, stride=2, bias=False), nn.BatchNorm2d(half)
            )
            self.up.append(nn.Sequential(*up, nn.ReLU()))
            self.extract.append(
                nn.Sequential(
                    *conv_batchnorm(half + skip, half, 3, padding=1),
                    nn.ReLU(),
                    *conv_batchnorm(half, half, 3, padding=1),
                    nn.ReLU(),
                )
            )
            channels = half
        self.out = nn.ConvTranspose2d(channels, classes, 2, stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``, H and W multiples of 32."""
        one, two = images.split(self.split, 1)
        sums = []
        for first, second in zip(self.first, self.second, strict=True):
            two = second(two)
            one = first(one) + two
            sums.append(one)
        x = sums[-1]
        for up, extract, skip in zip(self.up, self.extract, reversed(sums[:-1]), strict=True):
            x = extract(torch.cat([up(x), skip], 1))
        return self.out(x)


def _levels(body: nn.Module) -> tuple[nn.ModuleList, list[int]]:
    """A DenseNet in the pieces after which the streams are added, at strides 2 to 32, and their channels."""
    f = dict(dict(body.named_children())["features"].named_children())
    pieces = nn.ModuleList(
        (
            nn.Sequential(f["conv0"], f["norm0"], f["relu0"]),
            nn.Sequential(f["pool0"], f["denseblock1"]),
            nn.Sequential(f["transition1"], f["denseblock2"]),
            nn.Sequential(f["transition2"], f["denseblock3"]),
            nn.Sequential(f["transition3"], f["denseblock4"], f["norm5"]),
        )
    )
    norms = [dict(f[name].named_children())["norm"] for name in ("transition1", "transition2", "transition3")]
    widths = [n.num_features for n in (f["norm0"], *norms, f["norm5"]) if isinstance(n, nn.BatchNorm2d)]
    return pieces, widths


def build_fuseseg(
    name: str, classes: int, bands: tuple[Band, ...], pretrained: bool = False
) -> tuple[nn.Module, str]:
    """Build FuseSeg of two DenseNets."""
    split = streams(bands, "fuseseg")
    first, second = (create_encoder(name, pretrained=pretrained) for _ in range(2))
    digest = first.digest
    for encoder, channels in zip((first, second), split, strict=True):
        widen_input(encoder.body, channels)
    network = FuseSeg(first.body, second.body, split, classes)
    return network.requires_grad_(True), digest


def _register(name: str, encoder: str, params: int) -> None:
    @register_segmenter(name, params=params, source="Sun et al., FuseSeg, T-ASE 2021")
    def build(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
        return build_fuseseg(encoder, classes, bands, pretrained)


_register("fuseseg", "densenet161", 120_912_573)
_register("fuseseg121", "densenet121", 29_191_689)
