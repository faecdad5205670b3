"""Workers for an engine, in a module of their own: a process of a cluster that imports it is there at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


class Squares:
    """A worker that leaves a file for each item it takes up."""

    def __init__(self, seen: Path | None = None) -> None:
        self.seen = seen

    def __call__(self, items: Iterable[int]) -> Iterator[int]:
        for item in items:
            if self.seen is not None:
                (self.seen / f"{item}.{os.getpid()}").touch()
            yield item**2


class Dying(Squares):
    """Its process ends the first time that it meets item 5 (``once``), or each time."""

    def __init__(self, folder: Path, once: bool) -> None:
        super().__init__(folder)
        self.once = once

    def __call__(self, items: Iterable[int]) -> Iterator[int]:
        for item in super().__call__(items):
            if item == 5**2 and not (self.once and (self.seen / "died").exists()):
                (self.seen / "died").touch()
                os._exit(1)
            yield item
