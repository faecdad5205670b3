"""Losses of the further outputs that segmentation networks have while they train.

Each takes an output and the labels ``(B, H, W)``, where 255 does not count, and gives a scalar. Outputs of
another size than the labels are resized to it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from ..registry import Registry

__all__ = ["HEAD_LOSSES", "borders", "cell_targets"]

_IGNORE = 255
# of background and foreground, and of inside and border, as EGFNet (Zhou et al., AAAI 2022) weighs them on
# MFNet
_FOREGROUND_WEIGHTS = (1.5121, 10.2388)
_BORDER_WEIGHTS = (1.4459, 23.7228)


def borders(labels: torch.Tensor, ignore: int = _IGNORE) -> torch.Tensor:
    """Mark where two classes meet: 1 beside another class, 0 within one, ``ignore`` beside unknown pixels.

    Args:
        labels: ``(B, H, W)``, integers.
        ignore: the label of pixels that do not count.

    Returns:
        int64 ``(B, H, W)``.

    Example:
        >>> borders(torch.tensor([[[0, 0, 0, 1, 1]]])).tolist()
        [[[0, 0, 1, 1, 0]]]
    """
    found = labels[:, None].float()
    highest = F.max_pool2d(found, 3, 1, 1)
    edge = (highest != -F.max_pool2d(-found, 3, 1, 1)).long()
    return torch.where(highest == ignore, ignore, edge)[:, 0]


def cell_targets(
    labels: torch.Tensor, classes: int, cells: tuple[int, int], least: float = 0.01
) -> torch.Tensor:
    """Tell which classes each cell of a grid shows: 1 or 0.

    NaN where one covers some of the cell but too little.

    Liu et al., "Partial Class Activation Attention for Semantic Segmentation", CVPR 2022.

    Args:
        labels: ``(B, H, W)``; what is no class counts as none.
        classes: how many.
        cells: rows and columns of the grid.
        least: the share of a cell's pixels that a class must cover to be 1.

    Returns:
        float32 ``(B, classes, rows, columns)``.

    Example:
        >>> cell_targets(torch.tensor([[[0, 0, 1, 1]]]), 2, (1, 2)).tolist()
        [[[[1.0, 0.0]], [[0.0, 1.0]]]]
    """
    shown = torch.stack([(labels == number).float() for number in range(classes)], 1)
    share = F.adaptive_avg_pool2d(shown, cells)
    unsure = torch.full_like(share, float("nan"))
    return torch.where(share > least, 1.0, torch.where(share > 0, unsure, torch.zeros_like(share)))


def _two_classes(output: torch.Tensor, wanted: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    if not bool((wanted != _IGNORE).any()):
        return output.sum() * 0
    return F.cross_entropy(_sized(output, wanted), wanted, output.new_tensor(weights), ignore_index=_IGNORE)


def _one_logit(output: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    known = wanted != _IGNORE
    return _mean(F.binary_cross_entropy_with_logits(*_known(output, wanted, known), reduction="sum"), known)


def _focal(output: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    known = wanted != _IGNORE
    return _mean(sigmoid_focal_loss(*_known(output, wanted, known), 0.25, 2.0, "sum"), known)


def _cells(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    wanted = cell_targets(labels, output.shape[1], (output.shape[2], output.shape[3]))
    known = wanted.isfinite()
    return _mean(sigmoid_focal_loss(output[known], wanted[known], -1, 2.0, "sum"), known)


def _foreground(labels: torch.Tensor) -> torch.Tensor:
    return torch.where(labels == _IGNORE, _IGNORE, (labels != 0).long())


def _sized(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if output.shape[-2:] == labels.shape[-2:]:
        return output
    return F.interpolate(output, labels.shape[-2:], mode="bilinear", align_corners=False)


def _known(
    output: torch.Tensor, wanted: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    return _sized(output, wanted)[:, 0][known].float(), wanted[known].float()


def _mean(total: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return total / known.sum().clamp(min=1)


HeadLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
HEAD_LOSSES: Registry[HeadLoss] = Registry("loss of an auxiliary head")
"""By what an output is compared with, of outputs ``(B, C, h, w)``: ``foreground`` (labeled or not) and
``border`` of two classes or, as ``..._logit``, of one logit; ``border_focal`` by the focal loss (gamma 2, alpha
0.25) of DFN; ``cells`` the classes of the cells of a grid, by the focal loss of CAANet. Two more are known to
:class:`~crossband.losses.segmentation.SegmentationLoss`: ``classes`` and ``confidence``."""
HEAD_LOSSES.add(
    "foreground", lambda output, labels: _two_classes(output, _foreground(labels), _FOREGROUND_WEIGHTS)
)
HEAD_LOSSES.add("border", lambda output, labels: _two_classes(output, borders(labels), _BORDER_WEIGHTS))
HEAD_LOSSES.add("foreground_logit", lambda output, labels: _one_logit(output, _foreground(labels)))
HEAD_LOSSES.add("border_logit", lambda output, labels: _one_logit(output, borders(labels)))
HEAD_LOSSES.add("border_focal", lambda output, labels: _focal(output, borders(labels)))
HEAD_LOSSES.add("cells", _cells)
