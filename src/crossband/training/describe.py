"""Descriptors of many items by the network in training, shared among the processes that train it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ..losses.heterogeneity import class_aware_weights
from ..nn.streams import Streams, StreamsOutput
from ..progress import Progress
from ..retrieval.reid import FrameVectors
from .items import FrameItems, Items

__all__ = ["describe", "describe_frames", "spread"]


def describe(network: nn.Module, items: Items, chosen: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Descriptors float32 ``(len(chosen), dim)``, the same on every process; each computes its share.

    The network is left in the mode it was in.
    """

    def compute(part: np.ndarray) -> torch.Tensor:
        return network(items.batch(part).to(_device(network))).float().cpu()

    return spread(network, chosen, compute, batch_size)


def spread(
    network: nn.Module, chosen: np.ndarray, compute: Callable[[np.ndarray], torch.Tensor], batch_size: int = 16
) -> np.ndarray:
    """Rows that a network computes, ``(len(chosen), width)``, shared among the processes that train it; every
    process gets all of them. The network is in evaluation meanwhile, and left in the mode it was in."""
    rank, world = _rank_and_world()
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
    return (_gathered(vectors, len(chosen), world, _device(network)) if world > 1 else vectors).numpy()


def describe_frames(network: Streams, items: FrameItems, batch_size: int = 16) -> FrameVectors:
    """What a network of streams says of all frames, in one pass; see :class:`.FrameVectors`."""
    shapes: dict[str, tuple[int, ...]] = {}

    def compute(part: np.ndarray) -> torch.Tensor:
        images, present = (tensor.to(_device(network)) for tensor in items.batch(part))
        if shapes and not present.any():  # nothing to look at in a whole batch
            return torch.zeros(len(part), sum(int(np.prod(shape)) for shape in shapes.values()))
        found = _told(network(images, present))
        shapes.update({name: tuple(value.shape[1:]) for name, value in found.items()})
        return torch.cat([value.flatten(1).float().cpu() for value in found.values()], 1)

    rows = spread(network, np.arange(len(items)), compute, batch_size)
    parts, start = {}, 0
    for name, shape in shapes.items():
        width = int(np.prod(shape))
        parts[name] = rows[:, start : start + width].reshape(-1, *shape)
        start += width
    return FrameVectors(parts["features"], parts["scores"], parts["weights"], parts["present"] > 0.5)


def _told(output: StreamsOutput) -> dict[str, torch.Tensor]:
    """Features, scores, and the fusion weights at the class that the fused maps say, of a batch."""
    present = output.present
    if output.maps is None:
        weights = present / present.sum(1, keepdim=True).clamp(min=1)
    else:
        alpha = class_aware_weights(output.maps, present)
        fused = (alpha[..., None, None] * output.maps).sum(1).mean((-2, -1))
        weights = alpha.gather(2, fused.argmax(1)[:, None, None].expand(-1, alpha.shape[1], 1))[..., 0]
    return {
        "features": output.features, "scores": output.scores.mean(2), "weights": weights,
        "present": present.float(),
    }  # fmt: skip


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


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
