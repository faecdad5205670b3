"""Progress on standard error; results go to standard output and are never mixed with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["note", "track"]

T = TypeVar("T")


def track(items: Iterable[T], total: int, what: str, unit: str = "images") -> Iterator[T]:
    """Yield the items with a progress bar on standard error once two seconds have passed.

    Example:
        >>> list(track([1, 2], 2, "counting"))
        [1, 2]
    """
    with Progress(total, what, unit) as progress:
        for item in items:
            yield item
            progress.advance()


class Progress:
    """A progress bar on standard error: what, count, rate and time left.

    It appears when the work has lasted two seconds; without a terminal it is a line every ten seconds.
    """

    def __init__(self, total: int, what: str, unit: str = "images") -> None:
        self._total, self._what, self._unit = total, what, unit
        self._done = 0

    def __enter__(self) -> Progress:
        import time

        self._clock = time.monotonic
        self._start = self._clock()
        self._shown = self._start + 2 - self._period
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible and sys.stderr.isatty():
            self._print(end="\n")

    def advance(self, n: int = 1) -> None:
        """Advance the bar by ``n``."""
        self._done += n
        now = self._clock()
        if now - self._shown >= self._period:
            self._shown = now
            self._print(end="" if sys.stderr.isatty() else "\n")

    @property
    def _period(self) -> float:
        return 0.2 if sys.stderr.isatty() else 10.0

    @property
    def _visible(self) -> bool:
        return self._clock() - self._start >= 2

    def _print(self, end: str) -> None:
        elapsed = max(self._clock() - self._start, 1e-9)
        rate = self._done / elapsed
        left = (self._total - self._done) / rate if rate else 0
        share = self._done / max(self._total, 1)
        bar = ("#" * round(share * 24)).ljust(24, ".")
        text = f"{self._what} [{bar}] {self._done}/{self._total} {self._unit}, {rate:.1f}/s, {left:.0f} s left"
        print(("\r\x1b[K" if sys.stderr.isatty() else "") + text, end=end, file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Print one line on standard error."""
    print(text, file=sys.stderr, flush=True)
