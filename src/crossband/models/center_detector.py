"""Objects as the peaks of a heat map per class, with the distances of their box's sides: small objects first.

Zhou et al., "Objects as Points", 2019, for the heat maps; Tian et al., "FCOS", ICCV 2019, for the distances; a
top-down path (Lin et al., "Feature Pyramid Networks", CVPR 2017) brings the deep maps to stride 4, where a
person seen from 100 m is still three cells high. The encoder is one of ImageNet, made ready by
:mod:`crossband.nn.tuning`. Each class has distances of its own: a bicycle and its rider share a center.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._detection import BoxDetector, Candidates
from ._tuned import tuned_stages

__all__ = ["STRIDE", "CenterDetector"]

STRIDE = 4
"""Pixels of a cell."""

_LONGEST = 6.0  # of exp: boxes of 3,200 pixels


class CenterDetector(BoxDetector):
    """The detector; it reads one thermal channel, as :func:`crossband.data.scenes.thermal_input` makes it.

    With ``semantics`` it reads the map's labeling too, in further channels: they join the finest maps, by
    weights that are zero at first, so that a detector without them can learn on.

    Args:
        classes: of objects.
        encoder: a registered encoder with four stages.
        width: channels of the top-down path.
        frozen: stages of the encoder, from the first, that do not learn.
        pretrained: whether the encoder starts from its ImageNet weights.
        semantics: channels of a map's labeling beside the image, 0 for none.
        mirror: whether :meth:`detect` looks at mirror images too, and takes the mean; takes twice as long.

    Example:
        >>> network = CenterDetector(4, width=8).eval()
        >>> heat, sides = network(torch.zeros(1, 1, 64, 90))
        >>> heat.shape, sides.shape
        (torch.Size([1, 4, 16, 24]), torch.Size([1, 4, 4, 16, 24]))
    """

    overlap = 0.6  # a heat map has one peak for each object, and cars that are parked side by side overlap

    def __init__(
        self,
        classes: int,
        encoder: str = "efficientnet_lite0",
        width: int = 64,
        frozen: int = 1,
        pretrained: bool = False,
        semantics: int = 0,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.classes, self.semantics, self.mirror = classes, semantics, mirror
        self.encoder, self.weights_digest = tuned_stages(encoder, pretrained, frozen)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.encoder.channels)
        self.mix = nn.ModuleList(_convolution(width) for _ in self.encoder.channels)
        if semantics:
            self.ground = _from_zero(nn.Conv2d(semantics, width, 3, padding=1))
        self.heat = nn.Sequential(_convolution(width), nn.Conv2d(width, classes, 1))
        self.sides = nn.Sequential(_convolution(width), nn.Conv2d(width, 4 * classes, 1))
        nn.init.constant_(self.heat[-1].bias, -4.6)  # type: ignore[arg-type]  # hardly anything is an object
        nn.init.constant_(self.sides[-1].bias, 0.7)  # type: ignore[arg-type]  # about 16 pixels a side
        self.register_load_state_dict_pre_hook(_one_box_for_all_classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits ``(N, classes, h, w)``, and distances ``(N, classes, 4, h, w)`` in pixels.

        Distances from a cell's center to the left, top, right and bottom of the box of each class.

        Args:
            images: ``(N, 1 + semantics, H, W)``; sides that are no multiple of 32 are filled with zeros at the
                right and below.
        """
        images, ground = _filled(images).split((1, self.semantics), 1)
        # half a unit of thermal_input is about a deviation of an ImageNet image
        seen = (images * 0.5).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        maps = self.encoder(seen)
        x = self.mix[-1](self.lateral[-1](maps[-1]))
        for k in range(len(maps) - 2, -1, -1):
            x = F.interpolate(x, size=maps[k].shape[-2:], mode="nearest")
            x = x + self.lateral[k](maps[k])
            if k == 0 and self.semantics:
                x = x + self.ground(F.avg_pool2d(ground, STRIDE))
            x = self.mix[k](x)
        sides = self.sides(x).float().clamp(max=_LONGEST).exp() * STRIDE
        return self.heat(x).float(), sides.unflatten(1, (self.classes, 4))

    def outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what ``forward`` does, or its mean with what it says of mirror images."""
        if not self.mirror:
            return self(images)
        whole = _filled(images)
        heat, sides = self(whole)
        turned, others = (one.flip(-1) for one in self(whole.flip(-1)))
        mean = (heat.sigmoid() + turned.sigmoid()) / 2
        return mean.logit(), (sides + others[:, :, [2, 1, 0, 3]]) / 2

    def boxes(self, sides: torch.Tensor) -> torch.Tensor:
        """Return left, top, right and bottom of each class and cell in pixels, ``(N, classes, 4, h, w)``."""
        rows = (torch.arange(sides.shape[-2], device=sides.device)[:, None] + 0.5) * STRIDE
        columns = (torch.arange(sides.shape[-1], device=sides.device)[None] + 0.5) * STRIDE
        left, top, right, bottom = sides.unbind(2)
        return torch.stack([columns - left, rows - top, columns + right, rows + bottom], 2)

    def candidates(self, outputs: tuple[torch.Tensor, torch.Tensor], least: float) -> Iterator[Candidates]:
        """Give the peaks of each image's heat maps; see :class:`.BoxDetector`."""
        heat, sides = outputs
        scores = heat.sigmoid()
        peaks = scores * (F.max_pool2d(scores, 3, 1, 1) == scores)
        for each, boxes in zip(peaks, self.boxes(sides), strict=True):
            kind, row, column = torch.nonzero(each > least, as_tuple=True)
            yield boxes[kind, :, row, column], each[kind, row, column], kind


def _one_box_for_all_classes(network: CenterDetector, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take weights from before each class had distances of its own: all begin with the same."""
    for name in ("weight", "bias"):
        key = f"{prefix}sides.1.{name}"
        if key in state and len(state[key]) == 4 and network.classes > 1:
            state[key] = state[key].repeat(network.classes, *[1] * (state[key].ndim - 1))


def _filled(images: torch.Tensor) -> torch.Tensor:
    """With zeros at the right and below, up to multiples of 32."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % 32, 0, -height % 32))


def _from_zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _convolution(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True))
