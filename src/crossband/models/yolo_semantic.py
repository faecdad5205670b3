"""YOLO-Semantic: objects in a thermal image, with the map's labeling beside it.

"Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks" (ISPRS Archives
XLIV-2/W1-2021), section 3.3 and table 1: YOLOv3 whose input is the thermal image and K semantic channels. With
``semantics=0`` it is the same network without them.

The paper's output is ``(5 + K) x U x V``: a box of four numbers, its objectness, and a score a class, once for
each cell. So it is here at each of three scales, with one prior box per cell, or several as in YOLOv3. The
center of a box may leave its cell by half of it (YOLOv4's remedy for centers on a border); width and height
are multiples of the prior by ``exp``, as in YOLOv3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from ..nn.darknet import REPEATS, Darknet, convolution
from ._detection import BoxDetector, Candidates

__all__ = ["STRIDES", "YoloSemantic"]

STRIDES = (8, 16, 32)
"""Pixels of a cell at each scale."""

_LONGEST = 4.0  # of exp: 55 times the prior


class YoloSemantic(BoxDetector):
    """The detector.

    Args:
        classes: of objects.
        semantics: semantic channels beside the thermal image; 0 for none.
        priors: boxes of each scale, ``(3, A, 2)`` widths and heights in pixels, the finest scale first.
        width: channels of Darknet's first convolution; 32 in the paper.
        repeats: residual blocks of Darknet's scales.

    Raises:
        CrossbandError: priors that are not three lists of equal length.

    Example:
        >>> network = YoloSemantic(4, 5, priors=[[[10, 20]], [[30, 30]], [[60, 60]]], width=4, repeats=(1,) * 5)
        >>> outputs = network(torch.zeros(1, 6, 64, 96))
        >>> [tuple(x.shape) for x in outputs]  # 5 + 4 values per cell
        [(1, 1, 9, 8, 12), (1, 1, 9, 4, 6), (1, 1, 9, 2, 3)]
    """

    priors: torch.Tensor

    def __init__(
        self,
        classes: int,
        semantics: int,
        priors: Sequence[Sequence[Sequence[float]]],
        width: int = 32,
        repeats: Sequence[int] = REPEATS,
    ) -> None:
        super().__init__()
        if len(priors) != 3 or len({len(scale) for scale in priors}) != 1 or not priors[0]:
            raise CrossbandError("priors must be boxes of three scales, equally many each")
        self.classes, self.semantics = classes, semantics
        self.register_buffer("priors", torch.tensor(priors, dtype=torch.float32))
        self.encoder = Darknet(1 + semantics, width, repeats)
        fine, middle, coarse = self.encoder.channels
        each = self.priors.shape[1] * (5 + classes)
        self.necks = nn.ModuleList(
            [_neck(fine + middle // 2, fine), _neck(middle + coarse // 2, middle), _neck(coarse, coarse)]
        )
        self.narrow = nn.ModuleList([convolution(middle, middle // 2, 1), convolution(coarse, coarse // 2, 1)])
        self.heads = nn.ModuleList(nn.Conv2d(channels, each, 1) for channels in (fine, middle, coarse))
        for head in self.heads:  # at first hardly anything is an object
            bias = head.bias.detach().view(-1, 5 + classes)  # type: ignore[operator]
            bias[:, 4] = -4.6

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return raw outputs of the three scales, ``(N, A, 5 + classes, V, U)``.

        The values are x, y, width, height, objectness and the classes.

        Args:
            images: ``(N, 1 + semantics, H, W)``; sides that are no multiple of 32 are filled with zeros at the
                right and below.
        """
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % 32, 0, -height % 32))
        fine, middle, coarse = self.encoder(images)
        coarse = self.necks[2](coarse)
        middle = self.necks[1](torch.cat([middle, _doubled(self.narrow[1](coarse))], 1))
        fine = self.necks[0](torch.cat([fine, _doubled(self.narrow[0](middle))], 1))
        raw = [head(x).float() for head, x in zip(self.heads, (fine, middle, coarse), strict=True)]
        return [x.unflatten(1, (self.priors.shape[1], 5 + self.classes)) for x in raw]

    def boxes(self, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return boxes of the three scales, ``(N, A, V, U, 4)``: left, top, right, bottom in pixels."""
        found = []
        for output, stride, priors in zip(outputs, STRIDES, self.priors, strict=True):
            rows = torch.arange(output.shape[-2], device=output.device)[:, None]
            columns = torch.arange(output.shape[-1], device=output.device)[None]
            x = (2 * output[:, :, 0].sigmoid() - 0.5 + columns) * stride
            y = (2 * output[:, :, 1].sigmoid() - 0.5 + rows) * stride
            sides = output[:, :, 2:4].clamp(max=_LONGEST).exp() * priors[:, :, None, None]
            width, height = sides.unbind(2)
            found.append(torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1))
        return found

    def candidates(self, outputs: list[torch.Tensor], least: float) -> Iterator[Candidates]:
        """Give each image's boxes of the three scales and their classes; see :class:`.BoxDetector`."""
        flat_boxes = torch.cat([boxes.flatten(1, 3) for boxes in self.boxes(outputs)], 1)
        flat = torch.cat([output.movedim(2, -1).flatten(1, 3) for output in outputs], 1)
        scores = flat[..., 4:5].sigmoid() * flat[..., 5:].sigmoid()
        for boxes, each in zip(flat_boxes, scores, strict=True):
            box, kind = torch.nonzero(each > least, as_tuple=True)
            yield boxes[box], each[box, kind], kind


def _neck(before: int, after: int) -> nn.Module:
    return nn.Sequential(convolution(before, after // 2, 1), convolution(after // 2, after, 3))


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
