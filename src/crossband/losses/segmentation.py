"""Losses of RGB-thermal segmentation: equations (6) to (9) of Li et al., RSFNet, 2023."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import unknown_name
from ..nn.heads import Head
from ..registry import Registry
from .heads import HEAD_LOSSES

__all__ = [
    "CONFIDENCE_LOSSES",
    "MEANS",
    "SegmentationLoss",
    "class_weights",
    "confidence_loss",
    "weighted_cross_entropy",
]

CONFIDENCE_LOSSES: Registry[Callable[..., torch.Tensor]] = Registry("loss of the confidence")
"""The regressions of table X by name; smooth L1 turns from square to straight at 1, as equations (8) and
(9)."""
CONFIDENCE_LOSSES.add("smooth_l1", F.smooth_l1_loss)
CONFIDENCE_LOSSES.add("l1", F.l1_loss)
CONFIDENCE_LOSSES.add("l2", F.mse_loss)


MEANS = ("pixels", "weights")
"""What the sum over pixels is divided by: their count, as equation (7), or the sum of their weights, as torch's
own mean and the authors' code."""


def class_weights(counts: torch.Tensor, offset: float = 1.05) -> torch.Tensor:
    """Compute the weight of each class, ``1 / ln(offset + p)`` with p its share of all labeled pixels.

    Paszke et al., "ENet", 2016, where the offset is 1.02; 1.05 in RSFNet.

    Args:
        counts: pixels of each class in the training data, ``(C,)``; a class that never occurs gets the largest
            weight there is.
        offset: above 1.

    Returns:
        float32 ``(C,)``, from ``1 / ln(offset + 1)`` to ``1 / ln(offset)``.

    Example:
        >>> [round(weight, 2) for weight in class_weights(torch.tensor([3, 1])).tolist()]
        [1.7, 3.81]
    """
    share = counts.double() / counts.sum().clamp(min=1)
    return (1 / (offset + share).log()).float()


def weighted_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None = None,
    ignore: int = 255,
    mean: str = "pixels",
) -> torch.Tensor:
    """Compute the weighted cross-entropy of a label map, equation (7).

    The paper speaks of a sigmoid before the loss; classes exclude each other, so the logarithm here is of a
    softmax.

    Args:
        logits: ``(B, C, H, W)``.
        labels: ``(B, H, W)``, integers from 0 to C - 1, or ``ignore``.
        weights: ``(C,)``, or ``None`` for ones.
        ignore: the label of pixels that do not count; without any other the loss is 0.
        mean: one of :data:`MEANS`.

    Returns:
        a scalar.

    Raises:
        CrossbandError: nobody knows the mean.

    Example:
        >>> logits = torch.tensor([0.0, 0.0]).reshape(1, 2, 1, 1)
        >>> round(weighted_cross_entropy(logits, torch.ones(1, 1, 1), torch.tensor([1.0, 3.0])).item() / 3, 4)
        0.6931
    """
    if mean not in MEANS:
        raise unknown_name("mean of the cross-entropy", mean, MEANS)
    total = F.cross_entropy(logits, labels.long(), weights, reduction="sum", ignore_index=ignore)
    known = labels != ignore
    if mean == "pixels" or weights is None:
        return total / known.sum().clamp(min=1)
    return total / weights[labels[known].long()].sum().clamp(min=float(weights.min()))


def confidence_loss(confidence: torch.Tensor, wanted: torch.Tensor, name: str = "smooth_l1") -> torch.Tensor:
    """Compute equations (8) and (9): the regression of confidences to pseudo-labels, summed over streams.

    Args:
        confidence: ``(B, streams)`` in 0 to 1.
        wanted: the same shape; NaN where there is none, which does not count.
        name: of :data:`CONFIDENCE_LOSSES`.

    Returns:
        a scalar: the mean over the batch.

    Raises:
        CrossbandError: nobody knows the name.

    Example:
        >>> confidence_loss(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 0.0]])).item()
        0.125
    """
    regression = CONFIDENCE_LOSSES.get(name)
    known = torch.isfinite(wanted)
    each = regression(confidence, torch.where(known, wanted, confidence.detach()), reduction="none")
    return each.sum(1).mean()


class SegmentationLoss(nn.Module):
    """Equation (6): the segmentation loss, the confidences' regression, and the further heads' losses.

    Args:
        weights: of the classes, or ``None``.
        balance: lambda; 0 leaves the confidences unsupervised.
        regression: a name of :data:`CONFIDENCE_LOSSES`.
        mean: one of :data:`MEANS`.
        heads: what a network's further outputs learn, by their names.

    Raises:
        CrossbandError: an unknown regression, mean or target of a head.
    """

    weights: torch.Tensor | None

    def __init__(
        self,
        weights: torch.Tensor | None = None,
        balance: float = 0.3,
        regression: str = "smooth_l1",
        mean: str = "pixels",
        heads: Mapping[str, Head] | None = None,
    ) -> None:
        super().__init__()
        CONFIDENCE_LOSSES.get(regression)
        if mean not in MEANS:
            raise unknown_name("mean of the cross-entropy", mean, MEANS)
        for head in (heads or {}).values():
            if head.target not in (known := [*HEAD_LOSSES, "classes", "confidence"]):
                raise unknown_name("target of a head", head.target, known)
        self.balance, self.regression, self.mean, self.heads = balance, regression, mean, dict(heads or {})
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        further: Mapping[str, torch.Tensor] | None = None,
        wanted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Sum all losses of a batch to a scalar.

        Args:
            logits: ``(B, C, H, W)``.
            labels: ``(B, H, W)``.
            further: a network's further outputs, by their names; those that are no head do not count.
            wanted: pseudo-labels ``(B, streams)``, or ``None``.
        """
        loss = weighted_cross_entropy(logits, labels, self.weights, mean=self.mean)
        for name, output in (further or {}).items():
            head = self.heads.get(name)
            if head is None:
                continue
            if head.target == "confidence":
                if self.balance and wanted is not None:
                    loss = loss + self.balance * confidence_loss(output, wanted, self.regression)
            elif head.target == "classes":
                part = weighted_cross_entropy(output, labels, self.weights, mean=self.mean)
                loss = loss + head.weight * part
            else:
                loss = loss + head.weight * HEAD_LOSSES.get(head.target)(output, labels)
        return loss
