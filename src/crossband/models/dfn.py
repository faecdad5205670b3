"""DFN: a network that makes each class smooth inside, beside one that learns where classes border.

Yu, Wang, Peng, Gao, Yu and Sang, "Learning a Discriminative Feature Network for Semantic Segmentation", CVPR
2018, with the layers of the first author's later release: a deep-stem ResNet-101 that is not dilated. The
border net and three of the four smooth heads are for training alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import conv_unit, resized
from ._deep_stem import DeepStemResNet, build_deep_stem
from ._segmentation import band_channels, register_segmenter

__all__ = ["DFN"]

_SMOOTH, _BORDER, _BORDER_HEAD = 512, 21, 9


class DFN(nn.Module):
    """Label map of one stream of images.

    Args:
        encoder: a ResNet of four stages.
        classes: how many.
        auxiliary: whether every step of the smooth net has a head, and the border net is there, while training.
    """

    def __init__(self, encoder: DeepStemResNet, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        widths = encoder.channels
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_unit(widths[3], _SMOOTH, 1))
        self.steps = nn.ModuleList(_Step(width) for width in reversed(widths))
        self.head = _smooth_head(classes)
        self.smooth_heads = nn.ModuleDict(
            {f"stride{stride}": _smooth_head(classes) for stride in (32, 16, 8)} if auxiliary else {}
        )
        self.border = _BorderNet(widths) if auxiliary else None
        self.heads: Mapping[str, Head] = {
            **dict.fromkeys(self.smooth_heads, Head("classes")),
            **({f"border{number}": Head("border_focal", 0.1) for number in range(1, 5)} if auxiliary else {}),
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``; B at least 2 while training."""
        smooth = self._smooth(self.encoder(images))
        return resized(self.head(smooth[-1]), images.shape[-2:], align_corners=True)

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return the logits and those of ``stride32``, ``stride16``, ``stride8`` and the four borders.

        ``border1`` to ``border4`` have one logit each.
        """
        size = images.shape[-2:]
        maps = self.encoder(images)
        smooth = self._smooth(maps)
        further: Heads = {
            name: resized(head(found), size, align_corners=True)
            for (name, head), found in zip(self.smooth_heads.items(), smooth, strict=False)
        }
        if self.border is not None:
            found = self.border(maps)
            further |= {f"border{i}": resized(one, size, align_corners=True) for i, one in enumerate(found, 1)}
        return resized(self.head(smooth[-1]), size, align_corners=True), further

    def _smooth(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """The smooth net's maps at strides 32, 16, 8 and 4."""
        below, found = self.whole(maps[-1]), []
        for step, own in zip(self.steps, reversed(maps), strict=True):
            below = step(own, resized(below, own.shape[-2:], align_corners=True))
            found.append(below)
        return found


class _Refinement(nn.Module):
    """A 1x1 convolution and a residual of two 3x3 ones (the paper's RRB)."""

    def __init__(self, channels_in: int, channels_out: int, relu: bool = True) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.body = nn.Sequential(
            conv_unit(channels_out, channels_out),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        )
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.reduce(x)
        x = x + self.body(x)
        return x.relu() if self.relu else x


class _Step(nn.Module):
    """One stage of the smooth net: refine, weigh the own channels by both maps (CAB), add, refine."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.after = _Refinement(channels, _SMOOTH), _Refinement(_SMOOTH, _SMOOTH)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * _SMOOTH, _SMOOTH),
            nn.ReLU(),
            nn.Linear(_SMOOTH, _SMOOTH),
            nn.Sigmoid(),
        )

    def forward(self, own: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        own = self.before(own)
        weights = self.weigh(torch.cat([own, below], 1))[..., None, None]
        return self.after(own * weights + below)


class _BorderNet(nn.Module):
    """From the first stage to the last, one logit of a border at each."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.before = nn.ModuleList(_Refinement(width, _BORDER) for width in widths)
        self.after = nn.ModuleList(_Refinement(_BORDER, _BORDER) for _ in widths)
        self.logits = nn.ModuleList(
            nn.Sequential(_Refinement(_BORDER, _BORDER_HEAD, relu=False), nn.Conv2d(_BORDER_HEAD, 1, 1))
            for _ in widths
        )

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Four logit maps of the first stage's size."""
        size = maps[0].shape[-2:]
        x, found = maps[0].new_zeros(()), []
        for before, after, logit, own in zip(self.before, self.after, self.logits, maps, strict=True):
            x = after(x + resized(before(own), size, align_corners=True))
            found.append(logit(x))
        return found


def _smooth_head(classes: int) -> nn.Sequential:
    inner = _BORDER_HEAD * classes
    return nn.Sequential(_Refinement(_SMOOTH, inner, relu=False), nn.Conv2d(inner, classes, 1))


def _register(depth: int, params: int) -> None:
    @register_segmenter(f"dfn{depth}", params=params, source="Yu et al., DFN, CVPR 2018")
    def build(
        classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, auxiliary: bool = False
    ) -> tuple[nn.Module, str]:
        encoder, digest = build_deep_stem(depth, 64, sum(band_channels(bands)), pretrained)
        return DFN(encoder, classes, auxiliary), digest


for _depth, _params in ((18, 54_196_054), (101, 87_755_990)):
    _register(_depth, _params)
