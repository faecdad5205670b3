"""Which precision, memory layout and number of processes a run is quickest in, by a measurement at its start.

Which it is depends on the processor and on the network: with AMX a ResNet-18 learns twice as fast in bfloat16,
and an EfficientNet, whose depthwise convolutions have no quick gradient there, half as fast. Two processes with
half the threads and half of each batch may be quicker than one, for much of a step keeps one thread busy.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..progress import note
from .task import Task

__all__ = ["Setting", "quicker_as_two", "quickest"]

_NOT_STARTED = (
    torch.multiprocessing.ProcessRaisedException,
    torch.multiprocessing.ProcessExitedException,
    pickle.PicklingError,
    AttributeError,  # what is local to a function cannot be sent either
    TypeError,
    RuntimeError,
    OSError,
)
_GAIN = 1.15  # how many times faster another setting has to be than the plain one: measurements scatter


@dataclass(frozen=True)
class Setting:
    """How a network computes.

    Attributes:
        precision: Lightning's name, ``32-true`` or ``bf16-mixed``.
        channels_last: whether maps lie with their channels innermost.
        processes: that divide a batch among them, on this machine.
    """

    precision: str = "32-true"
    channels_last: bool = False
    processes: int = 1

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
    with _untouched(task):
        for setting in settings:
            _lay_out(task, setting)
            seconds[setting] = min(_step(task, batch, setting, clock) for _ in range(rounds + 1))
    best = min(settings, key=lambda setting: seconds[setting])
    chosen = best if seconds[settings[0]] > _GAIN * seconds[best] else settings[0]
    _lay_out(task, chosen)
    return chosen


def quicker_as_two(task: Task, batch: Mapping[str, torch.Tensor], setting: Setting, rounds: int = 3) -> bool:
    """Tell whether two processes are clearly quicker than one.

    Each has half the threads and half the batch. The task is as before afterwards. The two are started as the
    trainer starts them, and add up their gradients; where that fails, as from a script without
    ``if __name__ == "__main__":``, the answer is no, and why is said. In a notebook, where Lightning starts no
    processes, and with one thread it is no.

    Args:
        task: whose loss is measured, forward and backward.
        batch: an even number of samples.
        setting: precision and memory layout; the network has that layout already.
        rounds: the quickest of so many steps counts.
    """
    threads = torch.get_num_threads()
    if threads < 2 or hasattr(sys, "ps1") or not torch.distributed.is_gloo_available():
        return False
    with _untouched(task):
        alone = min(_step(task, batch, setting, time.perf_counter) for _ in range(rounds + 1))
    half = len(next(iter(batch.values()))) // 2
    halves = [{k: v[part] for k, v in batch.items()} for part in (slice(half), slice(half, 2 * half))]
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder)
        try:
            torch.multiprocessing.start_processes(
                _measure_half,
                (task, halves, setting, threads // 2, rounds, meeting),
                nprocs=2,
                start_method="spawn",
            )
            together = float((meeting / "seconds").read_text())
        except _NOT_STARTED as error:
            reason = str(error).strip().splitlines()[-1]
            note(f"trains in one process; two could not be tried: {reason}")
            return False
    return alone > _GAIN * together


def _measure_half(
    rank: int,
    task: Task,
    halves: list[dict[str, torch.Tensor]],
    setting: Setting,
    threads: int,
    rounds: int,
    meeting: Path,
) -> None:
    """Take steps on one half of a batch, gradients added up, and write down the quickest."""
    torch.set_num_threads(threads)
    torch.distributed.init_process_group(
        "gloo", init_method=(meeting / "store").absolute().as_uri(), rank=rank, world_size=2
    )
    try:
        for buffer in task.network.buffers():
            buffer.data = buffer.detach().clone()  # it came as memory that both share
        task.network.train()
        seconds = [_step(task, halves[rank], setting, time.perf_counter, _add_up) for _ in range(rounds + 1)]
        slowest = torch.tensor(seconds)
        torch.distributed.all_reduce(slowest, torch.distributed.ReduceOp.MAX)
        if rank == 0:
            (meeting / "seconds").write_text(str(float(slowest.min())))
    finally:
        torch.distributed.destroy_process_group()


def _add_up(task: Task) -> None:
    gradients = [parameter.grad for parameter in task.network.parameters() if parameter.grad is not None]
    torch.distributed.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]))


@contextmanager
def _untouched(task: Task) -> Iterator[None]:
    """Train meanwhile; running statistics, mode and random numbers are as before afterwards."""
    training, buffers = task.network.training, {k: v.clone() for k, v in task.network.named_buffers()}
    task.network.train()
    with torch.random.fork_rng():
        yield
    for name, value in task.network.named_buffers():
        value.copy_(buffers[name])
    task.network.train(training)


def _lay_out(task: Task, setting: Setting) -> None:
    layout = torch.channels_last if setting.channels_last else torch.contiguous_format
    task.network.to(memory_format=layout)


def _step(
    task: Task,
    batch: Mapping[str, torch.Tensor],
    setting: Setting,
    clock: Callable[[], float],
    after: Callable[[Task], None] = lambda task: None,
) -> float:
    """The seconds of one step; ``after`` belongs to it."""
    device = next(task.network.parameters()).device
    start = clock()
    with torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bf16-mixed"):
        loss = task.loss(dict(batch))
    loss.backward()
    after(task)
    spent = clock() - start
    for parameter in (*task.network.parameters(), *task.criterion.parameters()):
        parameter.grad = None
    return spent
