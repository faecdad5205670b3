"""Supervised contrastive loss: of all images in a batch, those of one identity lie together.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation (2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["paired_contrastive_loss", "supervised_contrastive_loss"]


def supervised_contrastive_loss(
    features: torch.Tensor, labels: torch.Tensor, temperature: float = 0.1
) -> torch.Tensor:
    """Compute L_sup_out: each image should be nearer to those of its identity than to all others.

    Unlike a batch-hard triplet loss it does not fall into one point where a network begins far from its goal.

    Args:
        features: ``(n, d)``; their directions count.
        labels: int64 ``(n,)``.
        temperature: of the softmax over cosines, more than 0.

    Returns:
        The mean over the images that have another one of their identity, a scalar; 0 where none has.

    Example:
        >>> features = torch.eye(2).repeat_interleave(2, 0)
        >>> apart = supervised_contrastive_loss(features, torch.tensor([0, 0, 1, 1]))
        >>> mixed = supervised_contrastive_loss(features, torch.tensor([0, 1, 0, 1]))
        >>> bool(apart < mixed)
        True
    """
    unit = F.normalize(features, dim=1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    same = (labels[:, None] == labels[None]) & ~itself
    cosines = (unit @ unit.T / temperature).masked_fill(itself, -1e4)
    chances = torch.log_softmax(cosines, 1).masked_fill(~same, 0.0)
    counts = same.sum(1)
    each = -chances.sum(1) / counts.clamp(min=1)
    return each.sum() / (counts > 0).sum().clamp(min=1)


def paired_contrastive_loss(pairs: torch.Tensor, same: torch.Tensor, temperature: float) -> torch.Tensor:
    """Compute InfoNCE between two views of each object, as in two bands, both ways.

    van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018.

    Args:
        pairs: ``(B, 2, d)``, both views of each object; their directions count.
        same: ``(B, B)``, which objects are one and the same; those are no negatives.
        temperature: of the softmax.

    Example:
        >>> pairs = torch.eye(3)[:, None].expand(3, 2, 3)
        >>> float(paired_contrastive_loss(pairs, torch.eye(3, dtype=torch.bool), 0.01)) < 1e-6
        True
    """
    unit = F.normalize(pairs.float(), dim=-1)
    alike = unit[:, 0] @ unit[:, 1].T / temperature
    own = torch.eye(len(pairs), dtype=torch.bool, device=pairs.device)
    alike = alike.masked_fill(same & ~own, -torch.inf)
    right = torch.arange(len(pairs), device=pairs.device)
    return (F.cross_entropy(alike, right) + F.cross_entropy(alike.T, right)) / 2
