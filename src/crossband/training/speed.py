"""Which precision and memory layout a run is quickest in, by a measurement at its start.

Which it is depends on the processor and on the network: with AMX a ResNet-18 learns twice as fast in bfloat16,
and an EfficientNet, whose depthwise convolutions have no quick gradient there, half as fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .task import Task

__all__ = ["Setting", "quickest"]

_GAIN = 1.15  # how many times faster another setting has to be than the plain one: measurements scatter


@dataclass(frozen=True)
class Setting:
    """How a network computes.

    Attributes:
        precision: Lightning's name, ``32-true`` or ``bf16-mixed``.
        channels_last: whether maps lie with their channels innermost.
    """

    precision: str = "32-true"
    channels_last: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a plain mapping."""
        return asdict(self)


def quickest(
    task: Task,
    batch: Mapping[str, torch.Tensor],
    rounds: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> Setting:
    """Find the quickest setting for steps on a batch; the plain one unless another is clearly quicker.

    The network, its running statistics and the random numbers are as before afterwards; its memory layout is
    that of the setting.

    Args:
        task: whose loss is measured, forward and backward.
        batch: of its samples.
        rounds: the quickest of so many steps counts.
        clock: seconds.
    """
    settings = [Setting(p, c) for c in (False, True) for p in ("32-true", "bf16-mixed")]
    seconds = {}
    training, buffers = task.network.training, {k: v.clone() for k, v in task.network.named_buffers()}
    task.network.train()
    with torch.random.fork_rng():
        for setting in settings:
            _lay_out(task, setting)
            seconds[setting] = min(_step(task, batch, setting, clock) for _ in range(rounds + 1))
    for name, value in task.network.named_buffers():
        value.copy_(buffers[name])
    task.network.train(training)
    best = min(settings, key=lambda setting: seconds[setting])
    chosen = best if seconds[settings[0]] > _GAIN * seconds[best] else settings[0]
    _lay_out(task, chosen)
    return chosen


def _lay_out(task: Task, setting: Setting) -> None:
    layout = torch.channels_last if setting.channels_last else torch.contiguous_format
    task.network.to(memory_format=layout)


def _step(task: Task, batch: Mapping[str, torch.Tensor], setting: Setting, clock: Callable[[], float]) -> float:
    device = next(task.network.parameters()).device
    start = clock()
    with torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bf16-mixed"):
        loss = task.loss(dict(batch))
    loss.backward()
    spent = clock() - start
    for parameter in (*task.network.parameters(), *task.criterion.parameters()):
        parameter.grad = None
    return spent
