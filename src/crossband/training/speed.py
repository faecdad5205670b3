"""Which precision, memory layout and number of processes a run is quickest in, by a measurement at its start.

Which it is depends on the processor and on the network: with AMX a ResNet-18 learns twice as fast in bfloat16,
and an EfficientNet, whose depthwise convolutions have no quick gradient there, half as fast. Two processes with
half the threads and half of each batch may be quicker than one, for much of a step keeps one thread busy.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ..progress import note
from .task import Task

__all__ = ["Setting", "can_start_processes", "quicker_as_two", "quickest"]

_GAIN = 1.15  # how many times faster another setting has to be than the plain one: measurements scatter


@dataclass(frozen=True)
class Setting:
    """How a network computes.

    Attributes:
        precision: Lightning's name, ``32-true`` or ``bf16-mixed``.
        channels_last: whether maps lie with their channels innermost.
        processes: how many share a batch on this machine; ``None`` where that was not measured.
    """

    precision: str = "32-true"
    channels_last: bool = False
    processes: int | None = None

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


def can_start_processes() -> bool:
    """Tell whether a run may start processes of its own from here.

    Not in a notebook or an interactive Python, where Lightning starts none, nor in a daemonic process.
    """
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    there = torch.distributed.is_available() and torch.distributed.is_gloo_available()
    return there and not interactive and not multiprocessing.current_process().daemon


def quicker_as_two(task: Task, batch: Mapping[str, torch.Tensor], setting: Setting, rounds: int = 3) -> bool:
    """Tell whether two processes are clearly quicker than one.

    Each has half the threads and half the batch. The task is as before afterwards. The two are started as the
    trainer starts them, and add up their gradients; where that fails, the answer is no, and why is said. With
    one thread it is no.

    Args:
        task: whose loss is measured, forward and backward.
        batch: an even number of samples.
        setting: precision and memory layout; the network has that layout already.
        rounds: the quickest of so many steps counts.
    """
    threads = torch.get_num_threads()
    if threads < 2 or not can_start_processes():
        return False
    half = len(next(iter(batch.values()))) // 2
    halves = [{k: v[part] for k, v in batch.items()} for part in (slice(half), slice(half, 2 * half))]
    with _untouched(task), tempfile.TemporaryDirectory() as folder:
        alone = min(_step(task, batch, setting, time.perf_counter) for _ in range(rounds + 1))
        meeting = Path(folder)
        arguments = (task, halves, setting, threads // 2, rounds, meeting)
        try:
            torch.multiprocessing.start_processes(_measure_half, arguments, nprocs=2, start_method="spawn")
        except (
            torch.multiprocessing.ProcessRaisedException,
            torch.multiprocessing.ProcessExitedException,
            OSError,
        ) as error:
            note(f"trains in one process; two could not be tried: {_why(meeting, error)}")
            return False
        together = float((meeting / "seconds").read_text())
    return alone > _GAIN * together


def _why(meeting: Path, error: Exception) -> str:
    """What went wrong first, in a line."""
    said = [file.read_text() for file in sorted(meeting.glob("failed*"), key=lambda file: file.stat().st_mtime)]
    return said[0] if said else f"a process ended at its start ({type(error).__name__})"


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
    store, patience = (meeting / "store").absolute().as_uri(), timedelta(minutes=2)
    torch.distributed.init_process_group("gloo", store, patience, world_size=2, rank=rank)
    for tensor in _tensors(task):
        tensor.data = tensor.detach().clone()  # they came as memory that all share
    task.network.train()
    try:
        seconds = [_step(task, halves[rank], setting, time.perf_counter, _add_up) for _ in range(rounds + 1)]
        slowest = torch.tensor(seconds)
        torch.distributed.all_reduce(slowest, torch.distributed.ReduceOp.MAX)
        if rank == 0:
            (meeting / "seconds").write_text(str(float(slowest.min())))
    except Exception as error:
        (meeting / f"failed{rank}").write_text(f"{type(error).__name__}: {error}".splitlines()[0])
        raise
    torch.distributed.destroy_process_group()


def _add_up(task: Task) -> None:
    learned = [p for p in (*task.network.parameters(), *task.criterion.parameters()) if p.requires_grad]
    gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learned]
    torch.distributed.all_reduce(torch.cat(gradients))


def _tensors(task: Task) -> list[torch.Tensor]:
    parts = (task.network, task.criterion)
    return [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]


@contextmanager
def _untouched(task: Task) -> Iterator[None]:
    """Train meanwhile; weights, running statistics, mode and random numbers are as before afterwards."""
    training, before = task.network.training, [tensor.detach().clone() for tensor in _tensors(task)]
    task.network.train()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(_tensors(task), before, strict=True):
                tensor.copy_(value)
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
