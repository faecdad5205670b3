"""Where work on many items is done: in this process, or by the workers of a Ray cluster.

A verb says what a worker is, a function from items to results that holds what is costly to load, and calls
:meth:`Engine.map`; what it does with the results does not depend on the engine. Workers of a cluster read and
write files under the paths that the verb has, so its machines share the disk (or the object store) and have
the same crossband installed.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from . import __version__
from .errors import CrossbandError, need_package, unknown_name
from .progress import note, said_first

__all__ = ["ENGINES", "IN_PROCESS", "Engine", "InProcess", "RayEngine", "Worker", "open_engine"]

T = TypeVar("T")
R = TypeVar("R")
Worker = Callable[[Iterable[T]], Iterable[R]]

ENGINES = ("local", "ray")
_DEATHS = 3  # of workers in a row on one block, or before the first block of any
_PATIENCE = 60.0  # seconds without a result until it is said that none works
_AHEAD = 4  # blocks for each worker that may be finished before an earlier one


class Engine(Protocol):
    """What does the work of a verb.

    Attributes:
        cores: that one worker has.
    """

    @property
    def cores(self) -> int:
        """Cores that one worker has."""

    def map(
        self, make_worker: Callable[[], Worker[T, R]], items: Sequence[T], *, block: int = 32, gpu: bool = False
    ) -> Iterator[R]:
        """Yield the results of items, in their order.

        Args:
            make_worker: called once where a worker starts; what it gives gets many items, and yields a result
                or more for some of them. It is sent by pickle.
            items: what is to be done.
            block: items that are handed to a worker of a cluster together, and done again if it dies.
            gpu: a worker of a cluster has a GPU of its own.
        """


class InProcess:
    """The work is done here, one item after another, by one worker with all cores.

    Example:
        >>> list(IN_PROCESS.map(lambda: lambda items: (item**2 for item in items), [1, 2, 3]))
        [1, 4, 9]
    """

    @property
    def cores(self) -> int:
        """All of this machine."""
        return os.cpu_count() or 1

    def __str__(self) -> str:
        return "local"

    def map(
        self, make_worker: Callable[[], Worker[T, R]], items: Sequence[T], *, block: int = 32, gpu: bool = False
    ) -> Iterator[R]:
        """Yield the results of items as they come."""
        yield from make_worker()(items)


IN_PROCESS: Engine = InProcess()


def _answers(address: str | None) -> None:
    """Try ``HOST:PORT`` by a connection: Ray itself tries for minutes before it says a word.

    Raises:
        OSError: nobody answers within five seconds.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


class RayEngine:
    """The work is done by actors of a Ray cluster, one for each of its cores (or GPUs).

    An actor that dies, with its process or its machine, is replaced as soon as there is room for another; what
    it had in hand is done again by whoever is free. Results arrive once each.

    Args:
        address: of the cluster, as ``ray.init`` takes it: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``;
            without it the one that ``RAY_ADDRESS`` names, else one is started on this machine.

    Raises:
        MissingExtraError: Ray is not installed.
        CrossbandError: there is no cluster at the address.
    """

    cores = 1

    def __init__(self, address: str | None = None) -> None:
        need_package("ray", "the engine ray", "ray")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        if ray.is_initialized():
            return
        try:
            _answers(address)
            ray.init(address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            raise CrossbandError(f"no Ray cluster at {address} ({reason})", parameter="address") from None

    def map(
        self, make_worker: Callable[[], Worker[T, R]], items: Sequence[T], *, block: int = 32, gpu: bool = False
    ) -> Iterator[R]:
        """Yield the results of items in their order; see :meth:`Engine.map`.

        Raises:
            CrossbandError: what a worker raised, or a block that several workers died of.
        """
        blocks = [items[start : start + block] for start in range(0, len(items), block)]
        return _Crew(make_worker, blocks, gpu).results()


class _Hand:
    """The actor. It loads its worker in a call of its own, so that what fails there is told as what it is."""

    def start(self, make_worker: Callable[[], Worker[Any, Any]], version: str, folder: str) -> None:
        if version != __version__:
            raise CrossbandError(f"a machine of the cluster has crossband {__version__}, this one {version}")
        if not Path(folder).is_dir():
            raise CrossbandError(f"a machine of the cluster has no folder {folder}; share the disk with it")
        os.chdir(folder)  # what a relative path is relative to
        self._worker = make_worker()

    def work(self, items: Sequence[Any]) -> list[Any]:
        return list(self._worker(items))


class _Crew:
    """Actors that each have one block in hand."""

    def __init__(self, make_worker: Callable[[], Any], blocks: list[Sequence[Any]], gpu: bool) -> None:
        import ray

        self._ray = ray
        self._blocks, self._gpu = blocks, gpu
        self._left = list(range(len(blocks)))[::-1]
        self._made = ray.put(make_worker)
        self._size = max(1, min(int(ray.cluster_resources().get("GPU" if gpu else "CPU", 1)), len(blocks)))
        self._running: dict[Any, tuple[Any, int | None]] = {}  # what is awaited: who does it, and which block
        self._idle: list[Any] = []
        self._deaths: Counter[int | None] = Counter()

    def results(self) -> Iterator[Any]:
        """Yield the results of all blocks in order."""
        finished: dict[int, list[Any]] = {}
        wanted = 0
        try:
            for _ in range(self._size if self._blocks else 0):
                self._start()
            while wanted < len(self._blocks):
                self._hand_out(wanted + _AHEAD * self._size)
                finished.update(self._next())
                while wanted in finished:
                    yield from finished.pop(wanted)
                    wanted += 1
        finally:
            for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
                self._ray.kill(actor)

    def _start(self) -> None:
        room = {"num_cpus": 0, "num_gpus": 1} if self._gpu else {"num_cpus": 1}
        actor = self._ray.remote(_Hand).options(max_restarts=0, **room).remote()
        self._running[actor.start.remote(self._made, __version__, str(Path.cwd()))] = (actor, None)

    def _hand_out(self, before: int) -> None:
        """Give the first blocks that are left to idle actors, as far as some block."""
        while self._idle and self._left and self._left[-1] < before:
            actor, number = self._idle.pop(), self._left.pop()
            self._running[actor.work.remote(self._blocks[number])] = (actor, number)

    def _next(self) -> dict[int, list[Any]]:
        """Wait until an actor is done; the results of its block, if it had one and lives."""
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_PATIENCE)
        if not done:
            working = any(number is not None for _, number in self._running.values())
            if not working and said_first("waiting", self):
                note("waiting for a worker: no machine of the Ray cluster has room for one")
            return {}
        actor, number = self._running.pop(done[0])
        try:
            results = self._ray.get(done[0])
        except self._ray.exceptions.RayTaskError as error:
            self._idle.append(actor)
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor)  # it may only have been cut off
            self._replace(number, error)
            return {}
        self._deaths.pop(number, None)
        self._idle.append(actor)
        return {} if number is None else {number: results}

    def _replace(self, number: int | None, error: Exception) -> None:
        """Start another actor for one that died, whose block is the next to be given away."""
        self._deaths[number] += 1
        if self._deaths[number] > _DEATHS:
            what = "starting" if number is None else f"block {number + 1} of {len(self._blocks)}"
            reason = " ".join(str(error).split())[:200]
            raise CrossbandError(f"{self._deaths[number]} workers of the cluster died at {what}: {reason}")
        if number is not None:
            self._left.append(number)
        self._start()


def open_engine(name: str = "local", address: str | None = None) -> Engine:
    """Open an engine by its name, ``local`` or ``ray``.

    Args:
        name: which.
        address: of the Ray cluster, see :class:`RayEngine`.

    Raises:
        UnknownNameError: an unknown name.
        MissingExtraError: Ray is not installed.
        CrossbandError: no cluster at the address, or an address without ``ray``.
    """
    if name == "ray":
        return RayEngine(address)
    if name != "local":
        raise unknown_name("engine", name, ENGINES, parameter="engine")
    if address is not None:
        raise CrossbandError("an address is of a Ray cluster; choose the engine ray", parameter="engine")
    return IN_PROCESS
