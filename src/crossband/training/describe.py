"""Descriptors of many items by the network in training, shared among the processes that train it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .items import Items

__all__ = ["describe"]


def describe(network: nn.Module, items: Items, chosen: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Descriptors float32 ``(len(chosen), dim)``, the same on every process; each computes its share.

    The network is left in the mode it was in.
    """
    rank, world = _rank_and_world()
    mine = np.array_split(chosen, world)[rank]
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(mine), batch_size):
            images = items.batch(mine[start : start + batch_size]).to(device)
            parts.append(network(images).float().cpu())
    network.train(training)
    vectors = torch.cat(parts) if parts else torch.empty(0, 0)
    return (_gathered(vectors, len(chosen), world, device) if world > 1 else vectors).numpy()


def _gathered(mine: torch.Tensor, n: int, world: int, device: torch.device) -> torch.Tensor:
    """The rows of all processes in order; each has ``array_split``'s share of ``n``."""
    counts = [len(part) for part in np.array_split(np.arange(n), world)]
    widths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world)]
    torch.distributed.all_gather(widths, torch.tensor([mine.shape[1]], device=device))
    padded = torch.zeros(max(counts), int(max(widths)), device=device)
    padded[: len(mine), : mine.shape[1]] = mine.to(device)
    shares = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(shares, padded)
    return torch.cat([share[:count] for share, count in zip(shares, counts, strict=True)]).cpu()


def _rank_and_world() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
