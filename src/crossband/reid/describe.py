"""What a network of streams says of all frames, in one pass, shared among the processes that train it."""

from __future__ import annotations

import numpy as np
import torch

from ..data.items import FrameItems
from ..losses.hamnet import class_aware_weights
from ..models.streams import Streams, StreamsOutput
from ..training.distributed import spread
from .evaluation import FrameVectors

__all__ = ["describe_frames"]


def describe_frames(network: Streams, items: FrameItems, batch_size: int = 16) -> FrameVectors:
    """Describe all frames by a network of streams, in one pass; see :class:`.FrameVectors`."""
    shapes: dict[str, tuple[int, ...]] = {}

    def compute(part: np.ndarray) -> torch.Tensor:
        device = next(network.parameters()).device
        images, present = (tensor.to(device) for tensor in items.batch(part))
        if not present.any():  # nothing to look at in a whole batch; what comes out of the others is as wide
            if not shapes:
                one = _told(network(images[:1], torch.ones_like(present[:1])))
                shapes.update({name: tuple(value.shape[1:]) for name, value in one.items()})
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
        "features": output.features,
        "scores": output.scores.mean(2),
        "weights": weights,
        "present": present.float(),
    }
