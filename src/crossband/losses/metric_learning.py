"""Losses that shape descriptors: contrastive, triplet and ArcFace.

Alijani and Rahtu, "Supervised Fine-tuning Evaluation for Long-term Visual Place Recognition", 2021, equations
(5) to (7). What the paper leaves open, and what is chosen here:

- **Reduction.** Equations (5) and (6) are of one pair and one tuple; a batch is their mean.
- **Distance of (5).** "The pair-wise distance": Euclidean and not squared, as the words say. (Hadsell et al.,
  2006, square it and the hinge.)
- **Positives of (6).** A query with several positives is compared with its best match, as the text under the
  equation says.
- **Margin of (6).** "In meter" in the paper, where it can only be in squared units of the descriptor.
- **Classes of (7).** The paper writes n = {0, 1}, "binary classification", which gives no descriptor to tell
  places apart by. Here a class is a place (a cell of the map), n of them, as in the ArcFace paper itself
  (Deng et al., CVPR 2019); two classes are a special case. s and m are not given: 64 and 0.5 there.

The functions agree with ``pytorch_metric_learning``'s, by test; nothing here needs that package.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError

__all__ = [
    "ArcFaceLoss",
    "ContrastiveLoss",
    "TripletLoss",
    "arcface_loss",
    "contrastive_loss",
    "pair_distance",
    "triplet_loss",
]


def pair_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Compute the Euclidean distance over the last axis, ``(..., D)`` and ``(..., D)`` to ``(...)``.

    Of equal vectors it is 0 and so is its gradient, where the formula has none.

    Example:
        >>> pair_distance(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
        tensor([5.])
    """
    return torch.linalg.vector_norm(a - b, dim=-1)


def contrastive_loss(
    a: torch.Tensor, b: torch.Tensor, matching: torch.Tensor, margin: float = 0.7
) -> torch.Tensor:
    """Compute equation (5): the distance of matching pairs, ``max(0, margin - distance)`` of the others.

    Args:
        a: descriptors ``(..., D)``, floating point.
        b: the other of each pair, broadcast against ``a``.
        matching: boolean ``(...)``.
        margin: the distance that pairs which do not match should have, above 0.

    Returns:
        the mean over the pairs, a scalar of at least 0.

    Example:
        >>> a = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
        >>> b = torch.tensor([[0.3, 0.4], [0.3, 0.4]])
        >>> round(contrastive_loss(a, b, torch.tensor([True, False]), margin=0.7).item(), 4)
        0.35
    """
    distance = pair_distance(a, b)
    return torch.where(matching, distance, (margin - distance).clamp(min=0)).mean()


def triplet_loss(
    query: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, margin: float = 0.1
) -> torch.Tensor:
    """Compute equation (6), the triplet loss.

    ``sum_j max(|q - p|^2 - |q - n_j|^2 + margin, 0)`` over all negatives of a tuple.

    Args:
        query: descriptors ``(B, D)``, floating point.
        positives: ``(B, P, D)``; the one nearest to its query counts.
        negatives: ``(B, N, D)``.
        margin: in squared units of the descriptor.

    Returns:
        the mean over the tuples, a scalar of at least 0.

    Example:
        >>> q, p, n = torch.zeros(1, 2), torch.tensor([[[1.0, 0]]]), torch.tensor([[[1.0, 0], [0, 2]]])
        >>> round(triplet_loss(q, p, n, margin=0.5).item(), 4)
        0.5
    """
    near = (query[:, None] - positives).square().sum(-1).amin(1, keepdim=True)
    far = (query[:, None] - negatives).square().sum(-1)
    return (near - far + margin).clamp(min=0).sum(1).mean()


def arcface_loss(
    features: torch.Tensor,
    weights: torch.Tensor,
    labels: torch.Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
) -> torch.Tensor:
    """Compute equation (7), ArcFace.

    Cross entropy of scaled cosines, with ``margin`` added to the angle of the true class.

    Args:
        features: ``(B, D)``, floating point; scaled to unit length here.
        weights: ``(D, n)``, a column a class; scaled likewise.
        labels: int64 ``(B,)``, each in [0, n).
        scale: s, the radius of the sphere.
        margin: m, in radians. Past the angle pi - m the equation turns down again; it is followed as written.

    Returns:
        the mean over the batch, a scalar of at least 0.

    Example:
        >>> x, w = torch.tensor([[1.0, 0.0]]), torch.eye(2)
        >>> round(arcface_loss(x, w, torch.tensor([0]), scale=1.0, margin=0.0).item(), 4)
        0.3133
    """
    cosines = F.normalize(features, dim=1) @ F.normalize(weights, dim=0)
    true = cosines.gather(1, labels[:, None])
    # cos(theta + m) without the arc cosine, whose gradient has no bound where features and weights agree
    sine = (1 - true.square()).clamp(min=torch.finfo(true.dtype).eps).sqrt()
    shifted = true * math.cos(margin) - sine * math.sin(margin)
    return F.cross_entropy(scale * cosines.scatter(1, labels[:, None], shifted), labels)


class ContrastiveLoss(nn.Module):
    """:func:`contrastive_loss` of every query with each of its positives and negatives."""

    def __init__(self, margin: float = 0.7) -> None:
        super().__init__()
        self.margin = _above_zero("the margin of the contrastive loss", margin)

    def forward(self, query: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Return the loss of tuples: ``(B, D)``, ``(B, P, D)`` and ``(B, N, D)``."""
        matching = torch.zeros(positives.shape[1] + negatives.shape[1], dtype=torch.bool, device=query.device)
        matching[: positives.shape[1]] = True
        others = torch.cat([positives, negatives], 1)
        return contrastive_loss(query[:, None], others, matching.expand(others.shape[:2]), self.margin)


class TripletLoss(nn.Module):
    """:func:`triplet_loss` as a module."""

    def __init__(self, margin: float = 0.1) -> None:
        super().__init__()
        self.margin = _above_zero("the margin of the triplet loss", margin)

    def forward(self, query: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Return the loss of tuples: ``(B, D)``, ``(B, P, D)`` and ``(B, N, D)``."""
        return triplet_loss(query, positives, negatives, self.margin)


class ArcFaceLoss(nn.Module):
    """:func:`arcface_loss` with the weights of its classes, which are learned.

    Args:
        dim: length of a descriptor.
        classes: how many.
        scale: s.
        margin: m, radians.

    Raises:
        CrossbandError: fewer than two classes, or a scale that is not above 0.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__()
        if classes < 2:
            raise CrossbandError(f"ArcFace needs at least two classes; there is {classes}")
        self.scale, self.margin = _above_zero("the scale of ArcFace", scale), margin
        self.weights = nn.Parameter(torch.empty(dim, classes))
        nn.init.xavier_normal_(self.weights)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of descriptors ``(B, D)`` with labels ``(B,)``."""
        return arcface_loss(features, self.weights, labels, self.scale, self.margin)


def _above_zero(what: str, value: float) -> float:
    if not value > 0:
        raise CrossbandError(f"{what} must be above 0, not {value}")
    return value
