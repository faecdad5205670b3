"""Progress on standard error; results go to standard output and are never mixed with it."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import rich.progress

__all__ = ["Progress", "note", "printable", "said_first", "says_once", "track"]

P = ParamSpec("P")
T = TypeVar("T")

_BETWEEN_LINES = float(os.environ.get("CROSSBAND_PROGRESS_SECONDS", 10))  # for whoever reads the lines
_QUIET = min(2.0, _BETWEEN_LINES)
_SAID: ContextVar[set[tuple[str, str]] | None] = ContextVar("said", default=None)  # by the verb at work


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
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Progress:
        self._start = time.monotonic()
        self._next = self._start + _QUIET
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, n: int = 1) -> None:
        """Advance the bar by ``n``."""
        self._done += n
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=self._rate)
        elif time.monotonic() >= self._next:
            if sys.stderr.isatty():
                self._bar = self._show()
            else:
                self._next = time.monotonic() + _BETWEEN_LINES
                note(self._line())

    @property
    def _rate(self) -> str:
        return f"{self._done / max(time.monotonic() - self._start, 1e-9):.1f}/s"

    def _line(self) -> str:
        elapsed = time.monotonic() - self._start
        left = elapsed / self._done * (self._total - self._done)
        return f"{self._what} {self._done}/{self._total} {self._unit}, {self._rate}, {left:.0f} s left"

    def _show(self) -> rich.progress.Progress:
        import rich.console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        rate = TextColumn("{task.fields[unit]}, {task.fields[rate]}")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            rate,
            TimeRemainingColumn(),
        )
        bar = Bar(*columns, console=rich.console.Console(stderr=True), redirect_stdout=False)
        bar.add_task(self._what, total=self._total, completed=self._done, unit=self._unit, rate=self._rate)
        bar.start()
        return bar


def note(text: str) -> None:
    """Print one line on standard error, without signs that no terminal should get from a file's name."""
    print(printable(text), file=sys.stderr, flush=True)


def says_once(verb: Callable[P, T]) -> Callable[P, T]:
    """Let a function say the same thing once, however often it meets it; called again, it says it again.

    What it calls belongs to it, also where that is such a function itself; :func:`said_first` asks.

    Example:
        >>> verb = says_once(lambda: [said_first("left out", "a.png") for _ in range(2)])
        >>> verb(), verb()
        ([True, False], [True, False])
    """

    @functools.wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _SAID.get() is not None:
            return verb(*args, **kwargs)
        token = _SAID.set(set())
        try:
            return verb(*args, **kwargs)
        finally:
            _SAID.reset(token)

    return call


def said_first(kind: str, about: object) -> bool:
    """Return whether the verb at work says this for the first time, and remember that it did.

    Outside any verb everything is said.
    """
    said = _SAID.get()
    if said is None:
        return True
    new = (kind, str(about)) not in said
    said.add((kind, str(about)))
    return new


def printable(text: str) -> str:
    """Return a text without control signs and without what is not UTF-8.

    Example:
        >>> printable("a\\x1b[2J\\udcff.png")
        'a\\\\x1b[2J\\\\udcff.png'
    """
    plain = text.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in plain)
