"""Verbs in processes of their own that are killed (SIGKILL) at the n-th time they touch the disk.

A process that has imported what is slow to import forks one child a command; the child runs the real command
line. What it is about to do with files below its folder is told by Python's own audit events (``open`` for
writing, ``os.rename``, ``os.remove``, ``os.mkdir``, ...), what native code writes by the functions around it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SLOW = (
    "torch",
    "tifffile",
    "timm",
    "lightning",
    "crossband.retrieval",
    "crossband.cli",
    "crossband.matching.align",
    "crossband.matching.rig",
    "crossband.retrieval.benchmark",
    "crossband.retrieval.report",
    "crossband.retrieval.tasks.places",
    "crossband.training.engine",
    "crossband.uav.pipeline",
    "crossband.uav.pictures",
    "crossband.segmentation.predict",
    "crossband.simulation.worker",
)
# not lancedb, which starts threads that no fork survives
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
AROUND = (  # native writers, and the records that a stage appends
    ("crossband.retrieval.gallery.lance", "LanceStore", "upsert"),
    ("crossband.retrieval.gallery.lance", "LanceStore", "update"),
    ("crossband.retrieval.gallery.lance", "LanceStore", "__init__"),
    ("crossband.progress", "Progress", "advance"),
)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status (negative: the signal), and how often it touched the disk."""

    status: int
    touches: int
    out: str
    err: str


class Killer:
    """Runs commands; see :meth:`run`. A context manager."""

    def __enter__(self) -> Killer:
        root = Path(__file__).parents[1]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root / 'src'}:{root}"}
        environment |= {"CROSSBAND_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.killing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=root,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)

    def run(self, arguments: Iterable[object], folder: Path, at: int | None = None) -> Ended:
        """Run a command in a folder; killed before it touches the folder for the ``at``-th time, from 1 on."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        folder.mkdir(parents=True, exist_ok=True)
        log = folder.with_name(f"{folder.name}.log")
        task = {"arguments": [str(a) for a in arguments], "folder": str(folder), "at": at, "log": str(log)}
        self._server.stdin.write(json.dumps(task) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        out, err = (log.with_suffix(f".{kind}").read_text() for kind in ("out", "err"))
        return Ended(status, int(log.read_text() or 0) if log.exists() else 0, out, err)


def main() -> None:
    """Fork a child for each line of standard input, and say how it ended."""
    for name in SLOW:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            obey(task)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def obey(task: dict[str, Any]) -> None:
    """Run one command to its end, or to its death."""
    from crossband import cli

    log = Path(task["log"])
    for number, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(log.with_suffix(f".{kind}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(task["folder"])
    counter = Counter(task["folder"], task["at"])
    for module, owner, name in AROUND:
        wrap(getattr(importlib.import_module(module), owner), name, counter)
    sys.addaudithook(counter.hook)
    sys.argv = ["crossband", *task["arguments"]]
    status = 0
    try:
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        counter.at = None
        log.write_text(str(counter.seen))
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


class Counter:
    """Counts what touches a folder, and ends the process at the n-th."""

    def __init__(self, folder: str, at: int | None) -> None:
        self.folder, self.at, self.seen = folder, at, 0

    def touch(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if not (
                flags & WRITING if isinstance(flags, int) else any(sign in (mode or "") for sign in "wax+")
            ):
                return
        elif event in EVENTS:
            path = arguments[0]
        else:
            return
        named = isinstance(path, str | bytes | os.PathLike)
        if named and os.path.normpath(Path(os.fsdecode(path)).absolute()).startswith(self.folder):
            self.touch()


def wrap(owner: type, name: str, counter: Counter) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        counter.touch()
        result = real(*arguments, **named)
        counter.touch()
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    main()
