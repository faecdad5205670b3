"""Supervised contrastive loss: of all images in a batch, those of one identity lie together.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation (2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["supervised_contrastive_loss"]


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
