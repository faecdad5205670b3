"""What the processes of one run share: their ranks, and rows that each computes a part of."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ..data.items import Items
from ..devices import device_of
from ..progress import Progress

__all__ = ["describe", "launched", "rank_and_world", "spread"]


def launched() -> tuple[int, int, int] | None:
    """Return what ``torchrun`` says of this process, ``None`` where it did not start it.

    That is its rank, the processes on this machine, and the machines.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_torchelastic_launched():
        return None
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return int(os.environ["RANK"]), here, everywhere // here


def describe(network: nn.Module, items: Items, chosen: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Describe images on every process, float32 ``(len(chosen), dim)``.

    Each computes its share.

    The network is left in the mode it was in.
    """

    def compute(part: np.ndarray) -> torch.Tensor:
        return network(items.batch(part).to(device_of(network))).float().cpu()

    return spread(network, chosen, compute, batch_size)


def spread(
    network: nn.Module, chosen: np.ndarray, compute: Callable[[np.ndarray], torch.Tensor], batch_size: int = 16
) -> np.ndarray:
    """Spread rows that a network computes over the processes; every process gets all of them.

    They are ``(len(chosen), width)``. The network is in evaluation meanwhile, and left in the mode it was in.
    """
    rank, world = rank_and_world()
    mine = np.array_split(chosen, world)[rank]
    training = network.training
    network.eval()
    parts = []
    with torch.inference_mode(), Progress(len(mine), "describing") as progress:
        for start in range(0, len(mine), batch_size):
            parts.append(compute(mine[start : start + batch_size]))
            progress.advance(len(parts[-1]))
    network.train(training)
    vectors = torch.cat(parts) if parts else torch.empty(0, 0)
    return (_gathered(vectors, len(chosen), world, device_of(network)) if world > 1 else vectors).numpy()


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


def rank_and_world() -> tuple[int, int]:
    """Return this process's rank and how many there are, 0 and 1 outside a distributed run."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
