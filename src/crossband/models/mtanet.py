"""MTANet, as a reconstruction: no layer of it is known to be the authors'.

Zhou, Dong, Lei and Yu, "MTANet: Multitask-Aware Network with Hierarchical Multimodal Fusion for RGB-T Urban
Scene Understanding", TIV 2022. No code was published. Known are two ResNet-152, a hierarchical multimodal
fusion, a high-level semantic module, fusion at three levels, and supervision by borders, foreground and classes
(the abstract), besides 121.58 million parameters and 264.96 G by thop (Li et al., table III). This design has
all of these parts and 121.56 million and 264.21 G; how the parts look inside is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..bands import Band
from ..nn.heads import Head, Heads
from ..nn.layers import conv_unit, resized
from ._segmentation import create_pieces, register_segmenter, streams, three_channels

__all__ = ["MTANet"]

_WIDTH = 64
_DILATIONS = (1, 2, 3, 4)


class MTANet(nn.Module):
    """Label map of two streams of images.

    Args:
        first, second: ResNets in five pieces.
        widths: channels of the pieces' maps.
        split: the channels of the input that each stream reads; a single one is seen three times.
        classes: how many.
        auxiliary: whether borders and foreground have heads while training.
    """

    def __init__(
        self,
        first: nn.ModuleList,
        second: nn.ModuleList,
        widths: tuple[int, ...],
        split: tuple[int, int],
        classes: int,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        w = _WIDTH
        self.split = list(split)
        self.encoder = nn.ModuleDict({"first": first, "second": second})
        self.narrow = nn.ModuleList(nn.ModuleList(conv_unit(c, w, 1) for c in widths) for _ in range(2))
        self.fusions = nn.ModuleList(_Fusion() for _ in widths[:4])
        self.deep = _HighLevel()
        self.steps = nn.ModuleList(
            nn.Sequential(conv_unit(3 * w, w), conv_unit(w, w), conv_unit(w, w)) for _ in widths[:4]
        )
        self.low = nn.Sequential(conv_unit(2 * w, w), conv_unit(w, w))
        self.middle, self.last = (nn.Sequential(conv_unit(3 * w, w), conv_unit(w, w)) for _ in range(2))
        self.head = nn.Conv2d(w, classes, 1)
        names = {"border": Head("border"), "foreground": Head("foreground")} if auxiliary else {}
        self.auxiliary = nn.ModuleDict({name: nn.Conv2d(w, 2, 1) for name in names})
        self.heads: Mapping[str, Head] = names

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        return self._outputs(images)[0]

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits, and two classes each of ``border`` and ``foreground``."""
        logits, low, middle = self._outputs(images)
        further = {}
        for (name, part), found in zip(self.auxiliary.items(), (low, middle), strict=False):
            further[name] = resized(part(found), images.shape[-2:])
        return logits, further

    def _outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits, and the maps of low and of middle level."""
        *fused, deep = self._fused(images)
        x = deep
        for step, own in zip(self.steps, reversed(fused), strict=True):
            size = own.shape[-2:]
            x = step(torch.cat([resized(x, size), own, resized(deep, size)], 1))
        fine, next_size = fused[0].shape[-2:], fused[1].shape[-2:]
        low = self.low(torch.cat([fused[0], resized(fused[1], fine)], 1))
        middle = self.middle(torch.cat([fused[1], *(resized(f, next_size) for f in fused[2:4])], 1))
        logits = self.head(self.last(torch.cat([x, low, resized(middle, fine)], 1)))
        return resized(logits, images.shape[-2:]), low, middle

    def _fused(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Both streams together at strides 2 to 16, and the deepest map."""
        one, two = (three_channels(part) for part in images.split(self.split, 1))
        found = []
        together = [*self.fusions, self.deep]
        pairs = zip(self.encoder["first"], self.encoder["second"], *self.narrow, together, strict=True)  # type: ignore[call-overload]
        for first, second, narrow_first, narrow_second, fuse in pairs:
            one, two = first(one), second(two)
            found.append(fuse(narrow_first(one), narrow_second(two)))
        return found


class _Fusion(nn.Module):
    """Both maps at four dilations, then with their sum and their product."""

    def __init__(self) -> None:
        super().__init__()
        w = _WIDTH
        self.first, self.second = (
            nn.ModuleList(conv_unit(w, w, dilation=d) for d in _DILATIONS) for _ in range(2)
        )
        self.scales, self.mix = conv_unit(8 * w, w), conv_unit(3 * w, w)
        self.body = nn.Sequential(conv_unit(w, w), conv_unit(w, w, relu=False))

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        seen = [*(part(one) for part in self.first), *(part(two) for part in self.second)]
        b = self.mix(torch.cat([one + two, one * two, self.scales(torch.cat(seen, 1))], 1))
        return (b + self.body(b)).relu()


class _HighLevel(nn.Module):
    """The deepest maps together, at six receptive fields."""

    def __init__(self) -> None:
        super().__init__()
        w = _WIDTH
        self.join = conv_unit(3 * w, w)
        self.branches = nn.ModuleList([conv_unit(w, w, 1), *(conv_unit(w, w, dilation=d) for d in _DILATIONS)])
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_unit(w, w, 1))
        self.mix = nn.Sequential(conv_unit(6 * w, w), conv_unit(w, w, relu=False))

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        z = self.join(torch.cat([one, two, one * two], 1))
        whole = self.whole(z).expand_as(z)
        return (z + self.mix(torch.cat([*(branch(z) for branch in self.branches), whole], 1))).relu()


@register_segmenter("mtanet", params=121_562_441, source="Zhou et al., MTANet, TIV 2022 (a reconstruction)")
def build_mtanet(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool = False,
    *,
    encoder: str = "resnet152",
    auxiliary: bool = False,
) -> tuple[nn.Module, str]:
    """MTANet on two ResNets of a kind; a reconstruction."""
    split = streams(bands, "mtanet")
    (first, widths, digest), (second, _, _) = (
        create_pieces(encoder, channels, pretrained) for channels in split
    )
    return MTANet(first, second, widths, split, classes, auxiliary), digest
