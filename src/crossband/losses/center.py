"""The loss of :mod:`crossband.models.center_detector`: focal for heat maps, generalized IoU for boxes.

Zhou et al., "Objects as Points", 2019, equation (1), for the heat maps; Liu et al., "Training-Time-Friendly
Network for Real-Time Object Detection", AAAI 2020, section 3, for their Gaussians, which follow both sides of a
box, and for boxes that are learned at all cells near an object's center, not at one.
"""

from __future__ import annotations

import torch
import torchvision

from ..models.center_detector import STRIDE, CenterDetector

__all__ = ["center_loss", "covered_cells", "draw_centers"]

_NEAR = 0.3  # of a Gaussian: cells above it answer for the box
_BOXES = 3.0  # weight of the boxes' loss


def draw_centers(targets: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Draw a Gaussian around each object's center, 1 at its cell, float32 ``(n, *shape)``.

    Args:
        targets: ``(n, 6)``: image, class, left, top, right, bottom in pixels.
        shape: (rows, columns) of cells.

    Example:
        >>> draw_centers(torch.tensor([[0, 0, 4.0, 0.0, 8.0, 4.0]]), (2, 3))[0].round(decimals=2)
        tensor([[0., 1., 0.],
                [0., 0., 0.]])
    """
    parts = []
    for axis, cells in ((1, shape[0]), (0, shape[1])):
        low, high = targets[:, 2 + axis], targets[:, 4 + axis]
        center = ((low + high) / (2 * STRIDE)).floor().clamp(0, cells - 1)
        deviation = 0.09 * (high - low) / STRIDE + 1 / 6
        off = torch.arange(cells, device=targets.device)[None] - center[:, None]
        parts.append(torch.exp(-(off**2) / (2 * deviation[:, None] ** 2)))
    return parts[0][:, :, None] * parts[1][:, None, :]


def center_loss(
    network: CenterDetector,
    outputs: tuple[torch.Tensor, torch.Tensor],
    targets: torch.Tensor,
    crowds: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the focal loss for each object, and three times the boxes' loss, a scalar.

    Args:
        network: whose outputs these are.
        outputs: of its forward pass.
        targets: ``(n, 6)``: image, class, left, top, right, bottom in pixels.
        crowds: likewise, where nothing of a class is wrong.
    """
    heat, sides = outputs
    images, classes, *shape = heat.shape
    drawn = draw_centers(targets, (shape[0], shape[1]))
    image, kind = targets[:, 0].long(), targets[:, 1].long()
    wanted = _highest(drawn, image * classes + kind, images * classes).view_as(heat)
    chance, miss = torch.nn.functional.logsigmoid(heat), torch.nn.functional.logsigmoid(-heat)
    probability = heat.sigmoid()
    peak = wanted >= 1
    empty = (1 - wanted) ** 4 * probability**2 * miss
    if crowds is not None and len(crowds):
        group = crowds[:, 0].long() * classes + crowds[:, 1].long()
        covered = covered_cells(crowds[:, 2:6], group, images * classes, (shape[0], shape[1]), STRIDE)
        empty = empty * (1 - covered.view_as(heat))
    focal = torch.where(peak, (1 - probability) ** 2 * chance, empty)
    total = -focal.sum() / max(len(targets), 1)
    if not len(targets):
        return total + sides.sum() * 0
    nearest = _highest(drawn, image * classes + kind, images * classes)[image * classes + kind]
    which, row, column = torch.nonzero((drawn > _NEAR) & (drawn >= nearest), as_tuple=True)
    guess = network.boxes(sides)[image[which], kind[which], :, row, column]
    off = torchvision.ops.generalized_box_iou_loss(guess, targets[which, 2:6])
    weight = drawn[which, row, column]
    return total + _BOXES * (off * weight).sum() / weight.sum()


def covered_cells(
    boxes: torch.Tensor, group: torch.Tensor, groups: int, shape: tuple[int, int], stride: int
) -> torch.Tensor:
    """Return 1 in the cells that a box of each group touches, else 0, ``(groups, *shape)``.

    Args:
        boxes: ``(n, 4)``: left, top, right, bottom in pixels.
        group: int64 ``(n,)``.
        groups: how many there are.
        shape: (rows, columns) of cells.
        stride: pixels of a cell.

    Example:
        >>> covered_cells(torch.tensor([[3.0, 0, 9, 4]]), torch.tensor([0]), 1, (2, 4), 4)[0]
        tensor([[1., 1., 1., 0.],
                [0., 0., 0., 0.]])
    """
    spans = []
    for axis, cells in ((1, shape[0]), (0, shape[1])):
        low, high = boxes[:, axis, None] / stride, boxes[:, 2 + axis, None] / stride
        cell = torch.arange(cells, device=boxes.device)[None]
        spans.append((cell + 1 > low) & (cell < high))
    touched = (spans[0][:, :, None] & spans[1][:, None, :]).to(boxes.dtype)
    return _highest(touched, group, groups)


def _highest(maps: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest value at each cell of the maps of each group, ``(groups, h, w)``; 0 where there is none."""
    index = group[:, None, None].expand_as(maps)
    return maps.new_zeros(groups, *maps.shape[1:]).scatter_reduce(0, index, maps, "amax")
