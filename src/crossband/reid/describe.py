"""What a network of streams says of all frames, in one pass, shared among the processes that train it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from ..bands import Band
from ..data.items import FrameItems
from ..losses.hamnet import class_aware_weights
from ..models.streams import Streams, StreamsOutput
from ..training.distributed import spread
from .evaluation import FrameVectors

__all__ = ["Emphasis", "describe_frames"]

_FAINT = 1e-3  # what the vector of an image that shows nothing weighs
_MOST_PIXELS = 0.95  # of an image that shows nothing


@dataclass(frozen=True)
class Emphasis:
    """How much each image of a frame counts beside the others, and whether it is seen in a mirror too.

    Attributes:
        dark: an RGB or NIR image of whose pixels 19 of 20 lie below this share of full scale shows nothing but
            noise. Its vectors are made so short that they count only where nothing else is compared.
        weights: of bands; 1 for one that is not named.
        mirror: an image's vector is the mean of its own and of that of its mirror image.
    """

    dark: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    mirror: bool = False

    @classmethod
    def of(cls, scoring: Mapping[str, Any]) -> Emphasis:
        """Take it from the part ``scoring`` of a recipe; older ones say less.

        Raises:
            ValueError: weights that are no positive numbers.
        """
        found = cls(**{one.name: scoring[one.name] for one in fields(cls) if one.name in scoring})
        if not isinstance(found.weights, Mapping) or not all(
            isinstance(weight, int | float) and 0 < weight < math.inf for weight in found.weights.values()
        ):
            raise ValueError(f"weights of bands are positive numbers, not {found.weights!r}"[:200])
        return found


def describe_frames(
    network: Streams, items: FrameItems, batch_size: int = 16, emphasis: Emphasis | None = None
) -> FrameVectors:
    """Describe all frames by a network of streams, in one pass; see :class:`.FrameVectors`.

    Args:
        network: of the items' bands.
        items: the frames.
        batch_size: frames of one pass.
        emphasis: how much each image counts; all alike without it.
    """
    emphasis = emphasis or Emphasis()
    counts = torch.tensor([float(emphasis.weights.get(band, 1.0)) for band in map(str, items.bands)])
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
        views = [found]
        if emphasis.mirror:
            views.append(_told(network(images.flip(-1), present)))
        weight = counts.to(device).expand(present.shape)
        if emphasis.dark:
            faint = _shows_nothing(images, items, emphasis.dark)
            weight = torch.where(faint, _FAINT * weight.min(), weight)
        for name in ("features", "scores"):
            found[name] = torch.stack([view[name] for view in views]).mean(0) * weight[..., None]
        shapes.update({name: tuple(value.shape[1:]) for name, value in found.items()})
        return torch.cat([value.flatten(1).float().cpu() for value in found.values()], 1)

    rows = spread(network, np.arange(len(items)), compute, batch_size)
    parts, start = {}, 0
    for name, shape in shapes.items():
        width = int(np.prod(shape))
        parts[name] = rows[:, start : start + width].reshape(-1, *shape)
        start += width
    return FrameVectors(parts["features"], parts["scores"], parts["weights"], parts["present"] > 0.5)


def _shows_nothing(images: torch.Tensor, items: FrameItems, dark: float) -> torch.Tensor:
    """Which images ``(n, m, 3, H, W)``, as the network reads them, are dark; never a thermal one."""
    found = torch.zeros(images.shape[:2], dtype=torch.bool, device=images.device)
    for column, band in enumerate(items.bands):
        if band is not Band.TIR:
            statistics = items.preprocess.statistics[band]
            mean, std = (images.new_tensor(value)[:, None, None] for value in (statistics.mean, statistics.std))
            brightest = (images[:, column] * std + mean).amax(1)
            found[:, column] = (brightest < dark).float().mean((1, 2)) >= _MOST_PIXELS
    return found


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
