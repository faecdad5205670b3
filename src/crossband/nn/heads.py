"""Further outputs that a network has while it trains, and what each of them learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

__all__ = ["HasHeads", "Head", "Heads", "WithHeads"]

Heads = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Head:
    """What one further output is compared with, and how much that counts.

    Attributes:
        target: a name of :data:`crossband.losses.heads.HEAD_LOSSES`, or ``confidence`` for pseudo-labels.
        weight: of its loss in the sum.
    """

    target: str
    weight: float = 1.0


@runtime_checkable
class HasHeads(Protocol):
    """A segmentation network that gives more than logits while it trains.

    Attributes:
        heads: by the name of an output, what it learns.
    """

    heads: Mapping[str, Head]

    def with_heads(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``, and the further outputs by name."""


class WithHeads(nn.Module):
    """A network whose forward pass gives its further outputs too, to count or to trace them.

    Args:
        network: one that has heads.
    """

    def __init__(self, network: HasHeads) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, Heads]:
        """Return logits and further outputs of images ``(B, C, H, W)``."""
        return self.network.with_heads(images)
