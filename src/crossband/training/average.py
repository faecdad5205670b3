"""The average of a network over the steps of a run, which is steadier than the last step's.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, with weights that fall off
exponentially, as usual for detectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["Average"]


class Average:
    """The exponential average of a network's floating-point tensors.

    Args:
        network: what is followed.
        decay: what remains of the average after a step; at first less, ``(1 + step) / (10 + step)``. With 0
            nothing is kept, and all methods do nothing.

    Attributes:
        tensors: name -> average; empty before the first step.

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> average = Average(network, 0.5)
        >>> for value in (1.0, 3.0):
        ...     _ = network.weight.data.fill_(value)
        ...     average.follow(100)
        >>> with average.standing_in():
        ...     network.weight.item()
        2.0
        >>> network.weight.item()
        3.0
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self.tensors: dict[str, torch.Tensor] = {}

    def follow(self, step: int) -> None:
        """Take in the network as it stands after a step."""
        if not self._decay:
            return
        now = self._now()
        if not self.tensors:
            self.tensors = {name: value.clone() for name, value in now.items()}
            return
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for name, value in now.items():
            self.tensors[name].lerp_(value, weight)

    def take_up(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from an average that was kept."""
        self.tensors = dict(tensors)

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Make the network the average inside, and what it was afterwards."""
        if not self.tensors:
            yield
            return
        now = {name: value.clone() for name, value in self._now().items()}
        self._set(self.tensors)
        try:
            yield
        finally:
            self._set(now)

    def _now(self) -> dict[str, torch.Tensor]:
        state = self._network.state_dict()
        return {name: value.detach() for name, value in state.items() if value.is_floating_point()}

    def _set(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, value in self._now().items():
            value.copy_(tensors[name])
