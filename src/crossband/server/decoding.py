"""Decoder processes: hostile images are opened there, within limits, and a process that dies is replaced."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bands import Band, Units
from ..errors import CrossbandError, ImageFault
from ..io import Image
from .decoder import pack

__all__ = ["BusyError", "Decoders", "Source"]

_CHUNK = 1 << 20
_START_SECONDS = 60.0


class BusyError(Exception):
    """Every process is at work, and the wait was too long."""


@dataclass(frozen=True)
class Source:
    """Where an image is.

    Attributes:
        key: the same for the same content.
        data: the file itself, or
        path: where it lies.
    """

    key: str
    data: bytes | None = None
    path: str | None = None


class _Gone(Exception):
    """The process ended, or did not answer in time."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late


class _Process:
    """One decoder."""

    def __init__(self, memory: int, max_pixels: int) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        kept = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ
        }
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "crossband.server.decoder", str(memory), str(max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, **threads, "MALLOC_ARENA_MAX": "2"},
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._in, self._out = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        for place in (self._in, self._out):
            os.set_blocking(place, False)
        self.ready = False

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ask(self, head: dict[str, Any], body: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Send a message and wait for the answer.

        Raises:
            _Gone: there is none.
        """
        deadline = time.monotonic() + (seconds if self.ready else seconds + _START_SECONDS)
        for piece in pack(head, body):
            self._write(piece, deadline)
        (length,) = struct.unpack("<I", self._read(4, deadline))
        told = json.loads(self._read(length, deadline))
        self.ready = True
        return told, self._read(told.pop("bytes"), deadline)

    def _wait(self, place: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(place, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _Gone(late=True)

    def _write(self, piece: bytes, deadline: float) -> None:
        view = memoryview(piece)
        while view:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                view = view[os.write(self._in, view[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise _Gone(late=False) from None

    def _read(self, n: int, deadline: float) -> bytes:
        parts, left = [], n
        while left:
            self._wait(self._out, select.POLLIN, deadline)
            try:
                part = os.read(self._out, min(left, _CHUNK))
            except BlockingIOError:
                continue
            except OSError:
                part = b""
            if not part:
                raise _Gone(late=False)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]


class Decoders:
    """Some decoder processes.

    Args:
        n: how many.
        memory: bytes of address space that each may take.
        seconds: that one answer may take.
        max_pixels: of one image.
        replaced: is called when a process had to be replaced.
    """

    def __init__(
        self,
        n: int,
        memory: int,
        seconds: float,
        max_pixels: int,
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        self._memory, self._seconds, self._pixels, self._replaced = memory, seconds, max_pixels, replaced
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._all: list[_Process] = []
        for _ in range(n):
            self._add()

    @property
    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [process.pid for process in self._all]

    def wait(self) -> None:
        """Wait until one process answers."""
        self._ask({"do": "ready"}, b"")

    def guess(self, data: bytes) -> dict[str, Any]:
        """See :func:`.pictures.guess`."""
        return self._ask({"do": "guess"}, data)[0]

    def pixels(
        self,
        source: Source,
        band: Band,
        units: Units | None = None,
        frame: int = 0,
        crop: tuple[float, float, float, float] | None = None,
    ) -> Image:
        """Decode an image as :func:`crossband.io.read_image` does.

        Raises:
            ImageFault: it cannot be decoded, within the limits.
            BusyError: no process is free.
        """
        how = {"do": "pixels", "band": band.value, "units": units, "frame": frame, "crop": crop}
        told, body = self._of(source, how)
        pixels = np.frombuffer(bytearray(body), told["dtype"]).reshape(told["shape"])
        return Image(pixels, Units(told["units"]))

    def picture(self, source: Source, band: Band, **how: Any) -> tuple[dict[str, Any], bytes]:
        """See :func:`.pictures.render`; ``units``, ``frame`` and ``crop`` too."""
        return self._of(source, {"do": "picture", "band": band.value, **how})

    def value(self, source: Source, band: Band, x: int, y: int, **how: Any) -> dict[str, Any]:
        """See :func:`.pictures.value`."""
        return self._of(source, {"do": "value", "band": band.value, "x": x, "y": y, **how})[0]

    def close(self) -> None:
        """End all processes."""
        for process in self._all:
            process.end()

    def _of(self, source: Source, head: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Ask for an image by its key alone first: often it is still there."""
        asked = {**head, "key": source.key, "path": source.path}
        if source.data is None:
            return self._ask(asked, b"")
        if head["do"] != "pixels":
            told, body = self._ask(asked, b"")
            if "again" not in told:
                return told, body
        return self._ask(asked, source.data)

    def _ask(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        late = False
        for _ in range(2):  # a process that was killed from outside is no fault of the image
            try:
                process = self._free.get(timeout=2 * self._seconds)
            except queue.Empty:
                raise BusyError from None
            try:
                told, answer = process.ask(head, body, self._seconds)
            except _Gone as gone:
                late = gone.late
                self._replace(process)
                if late:
                    break
                continue
            except BaseException:
                self._replace(process)
                raise
            self._free.put(process)
            if "error" in told:
                reason = told["error"]
                if told["parameter"] == "x":
                    raise CrossbandError(reason, parameter="x")
                raise ImageFault("the image", reason.removeprefix("the image: "), parameter="image")
            return told, answer
        reason = (
            f"takes longer than {self._seconds:g} s to decode"
            if late
            else "cannot be decoded within the limits"
        )
        raise ImageFault("the image", reason, parameter="image")

    def _add(self) -> None:
        process = _Process(self._memory, self._pixels)
        self._all.append(process)
        self._free.put(process)

    def _replace(self, process: _Process) -> None:
        process.end()
        self._all.remove(process)
        self._replaced()
        self._add()
