"""ERFNet: factorized residual blocks, small enough for a camera.

Romera, Alvarez, Bergasa and Arroyo, "ERFNet: Efficient Residual Factorized ConvNet for Real-time Semantic
Segmentation", T-ITS 2017, of 2.06 million parameters; and the variant of 2.92 million in PST900's repository,
with which the figures of that dataset's own table were made: a third round of dilated blocks, and 4x4 kernels
on the way up.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import resized
from ._segmentation import band_channels, register_segmenter

__all__ = ["ERFNet", "Factorized", "Shrink", "erfnet_encoder"]

_EPS = 1e-3  # of every BatchNorm
_ROUND = (2, 4, 8, 16)


class Shrink(nn.Module):
    """A strided convolution beside a pooling; odd sides are rounded up.

    Args:
        channels_in: of the input.
        channels_out: of both together.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out - channels_in, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels_out, eps=_EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels_in, H, W)`` to half of that size."""
        return self.norm(torch.cat([self.convolution(x), F.max_pool2d(x, 2, ceil_mode=True)], 1)).relu()


class Factorized(nn.Module):
    """3x1 and 1x3, twice, the second pair dilated, and a shortcut.

    Args:
        channels: in and out.
        dilation: of the second pair.
        dropout: the share of channels that are dropped.
    """

    def __init__(self, channels: int, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        c, d = channels, dilation
        self.body = nn.Sequential(
            nn.Conv2d(c, c, (3, 1), padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(c, c, (1, 3), padding=(0, 1)),
            nn.BatchNorm2d(c, eps=_EPS),
            nn.ReLU(),
            nn.Conv2d(c, c, (3, 1), padding=(d, 0), dilation=(d, 1)),
            nn.ReLU(),
            nn.Conv2d(c, c, (1, 3), padding=(0, d), dilation=(1, d)),
            nn.BatchNorm2d(c, eps=_EPS),
            nn.Dropout2d(dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        return (x + self.body(x)).relu()


def erfnet_encoder(channels: int, first: int = 16, rounds: int = 2) -> nn.Sequential:
    """Build the way down: images ``(B, channels, H, W)`` to ``(B, 128, H / 8, W / 8)``.

    Args:
        channels: of the images.
        first: channels of the first step.
        rounds: of the blocks dilated 2, 4, 8 and 16.
    """
    return nn.Sequential(
        Shrink(channels, first),
        Shrink(first, 64),
        *(Factorized(64, dropout=0.03) for _ in range(5)),
        Shrink(64, 128),
        *(Factorized(128, dilation, 0.3) for dilation in _ROUND * rounds),
    )


class ERFNet(nn.Module):
    """Label map of one stream of images.

    Args:
        channels: of the images.
        classes: how many.
        rounds: of the dilated blocks.
        kernel: of the transposed convolutions on the way up, 3 or 4.
        auxiliary: whether the encoder has a classifier of its own while training.
    """

    def __init__(
        self, channels: int, classes: int, rounds: int = 2, kernel: int = 3, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self.down = erfnet_encoder(channels, rounds=rounds)
        self.up = nn.Sequential(
            _grow(128, 64, kernel),
            Factorized(64),
            Factorized(64),
            _grow(64, 16, kernel),
            Factorized(16),
            Factorized(16),
            nn.ConvTranspose2d(16, classes, 2, stride=2),
        )
        self.auxiliary = nn.Conv2d(128, classes, 1) if auxiliary else None
        self.heads: Mapping[str, Head] = {"stride8": Head("classes")} if auxiliary else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``; an odd side's rest is cut off."""
        return self._cut(self.up(self.down(images)), images)

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and the encoder's own, ``stride8``."""
        deep = self.down(images)
        logits = self._cut(self.up(deep), images)
        if self.auxiliary is None:
            return logits, {}
        return logits, {"stride8": resized(self.auxiliary(deep), images.shape[-2:])}

    def _cut(self, logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return logits[..., : images.shape[-2], : images.shape[-1]]


def _grow(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    grown = nn.ConvTranspose2d(channels_in, channels_out, kernel, 2, padding=1, output_padding=kernel % 2)
    return nn.Sequential(grown, nn.BatchNorm2d(channels_out, eps=_EPS), nn.ReLU())


def _register(name: str, params: int, rounds: int, kernel: int, source: str) -> None:
    @register_segmenter(name, params=params, source=source)
    def build(
        classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, auxiliary: bool = False
    ) -> tuple[nn.Module, str]:
        return ERFNet(sum(band_channels(bands)), classes, rounds, kernel, auxiliary), ""


_register("erfnet", 2_063_621, 2, 3, "Romera et al., ERFNet, T-ITS 2017")
_register("erfnet_pst900", 2_918_661, 3, 4, "Romera et al., ERFNet, as varied for PST900, ICRA 2020")
