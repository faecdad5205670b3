"""Long work in processes of its own: one after another, followed, canceled, and taken up after a restart.

A job is two files in the state folder: ``ID.json``, what was asked, written by the server, and
``ID.state.json``, how far it is, written by the job's own process (:mod:`.work`). A process outlives a server
that is restarted, which then follows it again; one that died with its server is started anew, and resumes as
the library's functions do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from ..errors import CrossbandError
from ..files import make_folder, read_json, write_file

__all__ = ["Jobs"]

_EVERY = 0.3  # seconds between two looks
_STARTS = 3  # of one job, before it counts as failed
_SMALL = 1 << 22


class Jobs:
    """The jobs of a state folder.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)
        self._lock = threading.RLock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="jobs", daemon=True)
        self._thread.start()

    def start(self, kind: str, arguments: dict[str, Any]) -> str:
        """Put a job at the end of the queue; it is on the disk when this returns."""
        name = uuid.uuid4().hex[:16]
        spec = {"id": name, "kind": kind, "arguments": arguments, "created": time.time(), "starts": 0}
        self._write(spec)
        return name

    def list(self) -> list[dict[str, Any]]:
        """List all jobs, the newest first."""
        specs = [
            self._spec(path.stem) for path in self.folder.glob("*.json") if not path.stem.endswith(".state")
        ]
        found = [self.told(str(spec["id"])) for spec in specs if spec]
        return sorted(found, key=lambda one: -one["created"])

    def told(self, name: str) -> dict[str, Any]:
        """Tell how far a job is.

        Raises:
            KeyError: there is none.
        """
        spec = self._spec(name)
        if spec is None:
            raise KeyError(name)
        state = self._state(name)
        status = state.get("status", "queued")
        if spec.get("canceled") and status != "done":
            status = "canceled"
        elif status == "running" and spec.get("failed"):
            status = "failed"
        told = {key: spec[key] for key in ("id", "kind", "created")} | {"status": status}
        told |= {"error": state.get("error") or spec.get("failed"), "result": state.get("result")}
        for key, nothing in (("stages", []), ("notes", []), ("seconds", 0.0)):
            told[key] = state.get(key, nothing)
        shown = spec["arguments"].get("shown")
        return told | {"what": shown if isinstance(shown, str) else spec["kind"]}

    def cancel(self, name: str) -> None:
        """Stop a job, or take it out of the queue.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            spec = self._spec(name)
            if spec is None:
                raise KeyError(name)
            self._write({**spec, "canceled": True})
            if self._alive(spec):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(spec["pid"], signal.SIGTERM)

    def close(self) -> None:
        """Follow no longer; a process that runs goes on."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        while not self._stop.wait(_EVERY):
            with contextlib.suppress(CrossbandError, OSError), self._lock:
                self._step()

    def _step(self) -> None:
        """Start the next job if none is at work."""
        for child in self._children.values():
            child.poll()
        waiting = []
        for path in self.folder.glob("*.json"):
            if path.stem.endswith(".state") or (spec := self._spec(path.stem)) is None:
                continue
            if spec.get("canceled") or spec.get("failed"):
                continue
            if self._state(spec["id"]).get("status") in ("done", "failed"):
                continue
            if self._alive(spec):
                return
            waiting.append(spec)
        if not waiting:
            return
        spec = min(waiting, key=lambda one: one["created"])
        if spec["starts"] >= _STARTS:
            self._write({**spec, "failed": "its process ended without a word, three times"})
            return
        self._begin(spec)

    def _begin(self, spec: dict[str, Any]) -> None:
        name = spec["id"]
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "crossband.server.work", str(self.folder), name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "CROSSBAND_PROGRESS_SECONDS": "0"},
            )
        self._children[name] = child
        self._write({**spec, "starts": spec["starts"] + 1, "pid": child.pid, "began": _ticks(child.pid)})

    def _alive(self, spec: dict[str, Any]) -> bool:
        """Whether the process of a job runs; a number that another process has by now is not it."""
        began = spec.get("began")
        return began is not None and _ticks(spec["pid"]) == began

    def _spec(self, name: str) -> dict[str, Any] | None:
        if not name.isalnum():
            return None
        return _read(self.folder / f"{name}.json")

    def _state(self, name: str) -> dict[str, Any]:
        return _read(self.folder / f"{name}.state.json") or {}

    def _write(self, spec: dict[str, Any]) -> None:
        write_file(self.folder / f"{spec['id']}.json", json.dumps(spec), durable=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path, _SMALL)
    except CrossbandError:
        return None
    return found if isinstance(found, dict) else None


def _ticks(pid: int) -> int | None:
    """When a process began, ``None`` where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
