"""MFFENet: the RGB maps are added into the thermal encoder at every level, and all levels are joined at once.

Zhou, Lin, Lei, Yu and Hwang, "MFFENet: Multiscale Feature Fusion and Enhancement Network for RGB-Thermal Urban
Road Scene Parsing", TMM 2022. The authors published no code and no count; the layers are those of an unofficial
implementation that follows the paper's text: two DenseNet-121, compact ASPP, spatial attention, and three
outputs while training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..bands import Band
from ..errors import CrossbandError
from ..nn.heads import Head, Heads
from ..nn.layers import resized
from ..nn.stages import Stages
from ._segmentation import create_stages, register_segmenter, streams, three_channels

__all__ = ["MFFENet"]

_NARROW, _ATTENDED, _WIDTH = 128, 230, 160


class MFFENet(nn.Module):
    """Label map of two streams of images.

    Args:
        first, second: encoders of four stages.
        split: the channels of the input that each stream reads; a single one is seen three times.
        classes: how many.
        auxiliary: whether the foreground and the borders have heads while training.
    """

    def __init__(
        self, first: Stages, second: Stages, split: tuple[int, int], classes: int, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self.split = list(split)
        self.encoder = nn.ModuleDict({"first": first.stages, "second": second.stages})
        self.reduce = nn.ModuleList(_before(width, _NARROW) for width in first.channels)
        self.dilated = nn.ModuleList(_before(_NARROW, _NARROW, dilation=d) for d in (2, 4, 6))
        self.mix = _before(3 * _NARROW, _NARROW, 1)
        self.attend = _before(5 * _NARROW, _ATTENDED, 1)
        self.weigh = nn.Sequential(_before(5 * _NARROW, _WIDTH, 1), _before(_WIDTH, _ATTENDED, 1), nn.Sigmoid())
        self.enhance = nn.Sequential(_before(_ATTENDED, _WIDTH), nn.BatchNorm2d(_WIDTH), nn.Dropout2d(0.2))
        self.semantic = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False) for _ in range(2))
        self.out = nn.ConvTranspose2d(_WIDTH, classes, 2, stride=2)
        self.further = _Further() if auxiliary else None
        self.heads: Mapping[str, Head] = (
            {"foreground": Head("foreground_logit"), "border": Head("border_logit")} if auxiliary else {}
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``, 64 pixels a side at least."""
        return self._logits(self._doubled(self._joined(images)), images)

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and one logit each of ``foreground`` and ``border``."""
        joined = self._joined(images)
        doubled = self._doubled(joined)
        further: Heads = {}
        if self.further is not None:
            binary, border = self.further(joined, doubled, self.semantic[0])
            further = {"foreground": self._cut(binary, images), "border": self._cut(border, images)}
        return self._logits(doubled, images), further

    def _joined(self, images: torch.Tensor) -> torch.Tensor:
        """All levels of both streams, joined and enhanced, at stride 4."""
        one, two = (three_channels(part) for part in images.split(self.split, 1))
        levels = []
        pairs = zip(self.encoder["first"], self.encoder["second"], self.reduce, strict=True)  # type: ignore[call-overload]
        for first, second, reduce in pairs:
            one = first(one)
            two = second(two) + one
            levels.append(reduce(two))
        levels.append(self.mix(torch.cat([part(levels[3]) for part in self.dilated], 1)))
        joined = torch.cat([resized(level, levels[0].shape[-2:]) for level in levels], 1)
        return self.enhance(self.attend(joined) * self.weigh(joined))

    def _doubled(self, joined: torch.Tensor) -> torch.Tensor:
        return resized(joined, (2 * joined.shape[-2], 2 * joined.shape[-1]))

    def _logits(self, doubled: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return self._cut(self.out(self.semantic[1](self.semantic[0](doubled))), images)

    def _cut(self, maps: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return maps[..., : images.shape[-2], : images.shape[-1]]


class _Further(nn.Module):
    """The heads of foreground and borders."""

    def __init__(self) -> None:
        super().__init__()
        w = _WIDTH
        self.shared = nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.Conv2d(w, w, 3, padding=1))
        self.binary = nn.Sequential(nn.ConvTranspose2d(w, w, 2, 2), nn.ConvTranspose2d(w, 1, 2, 2))
        self.border = nn.Sequential(
            nn.Conv2d(2 * w, w, 3, padding=1), nn.Conv2d(w, w, 3, padding=1), nn.ConvTranspose2d(w, 1, 2, 2)
        )

    def forward(
        self, joined: torch.Tensor, doubled: torch.Tensor, first: nn.Module
    ) -> tuple[torch.Tensor, torch.Tensor]:
        binary = self.shared(joined)
        salient = first(resized(joined * binary.relu(), doubled.shape[-2:]))
        return self.binary(binary), self.border(torch.cat([salient, doubled], 1))


def _before(channels_in: int, channels_out: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """BatchNorm and ReLU, then a convolution with bias."""
    return nn.Sequential(
        nn.BatchNorm2d(channels_in),
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_out, kernel, padding=dilation * (kernel // 2), dilation=dilation),
    )


@register_segmenter("mffenet", params=18_735_969, source="Zhou et al., MFFENet, TMM 2022")
def build_mffenet(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool = False,
    *,
    encoder: str = "densenet121",
    auxiliary: bool = False,
) -> tuple[nn.Module, str]:
    """MFFENet on two encoders of a kind."""
    split = streams(bands, "mffenet")
    made: list[tuple[Any, str]] = [create_stages(encoder, channels, pretrained) for channels in split]
    (first, digest), (second, _) = made
    if not isinstance(first, Stages):
        raise CrossbandError(
            f"mffenet goes on inside its encoder, which {encoder} does not allow; take densenet121"
        )
    return MFFENet(first, second, split, classes, auxiliary), digest
