"""The N-pair loss: one right candidate among many, by softmax over squared distances."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["n_pair_loss"]


def n_pair_loss(
    queries: torch.Tensor, candidates: torch.Tensor, right: torch.Tensor, temperature: float = 0.1
) -> torch.Tensor:
    """Compute the N-pair loss: cross entropy of choosing each query's right candidate.

    A candidate is chosen with probability ``softmax(-d**2 / temperature)``.

    Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", NeurIPS 2016, equation (7),
    with squared Euclidean distances for inner products; of unit vectors that is the same at twice the
    temperature.

    Args:
        queries: ``(n, D)``.
        candidates: ``(m, D)``.
        right: int64 ``(n,)``, each query's row of ``candidates``.
        temperature: more than 0.

    Returns:
        The mean, a scalar.

    Example:
        >>> far = n_pair_loss(torch.eye(2), torch.eye(2), torch.tensor([1, 0]))
        >>> near = n_pair_loss(torch.eye(2), torch.eye(2), torch.tensor([0, 1]))
        >>> bool(near < far)
        True
    """
    squared = (queries[:, None] - candidates[None]).square().sum(-1)
    return F.cross_entropy(-squared / temperature, right)
