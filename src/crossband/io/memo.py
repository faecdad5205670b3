"""What was told of files before, kept in the user's cache, so that no file is read twice for it."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from ..files import cache_folder
from ..stored import resolved, stored_file
from .composite import files_of

__all__ = ["FileMemo", "file_state"]

_AT_ONCE = 256
_SETTLED = 2.0  # seconds; a file that changed later may change again at the same time of its disk's clock


class FileMemo:
    """A text for each file, as long as the file is as it was: of the same path, size and times of change.

    As git does, a file that has just changed is not remembered. Where the cache cannot be written, nothing is
    remembered and nothing is lost. It belongs to the thread that opened it; several processes may have it open.

    Example:
        >>> with FileMemo.open("example.sqlite") as memo:
        ...     memo.find(file_state("gone.png")) is None
        True
    """

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._waiting: list[tuple[bytes, str]] = []

    @classmethod
    @contextlib.contextmanager
    def open(cls, name: str) -> Iterator[FileMemo]:
        """Open the memo of a name; it is written as it grows, and at the end."""
        memo = cls(_connected(name))
        try:
            yield memo
        finally:
            memo._close()

    def find(self, state: bytes | None) -> str | None:
        """Return the text of a file in a state (:func:`file_state`), ``None`` where it is unknown."""
        if self._connection is None or state is None:
            return None
        try:
            row = self._connection.execute("SELECT told FROM files WHERE state = ?", (state,)).fetchone()
            return None if row is None else str(row[0])
        except sqlite3.Error:
            return None

    def keep(self, state: bytes | None, text: str) -> None:
        """Remember the text of a file in a state, which was taken before the file was read."""
        if self._connection is not None and state is not None:
            self._waiting.append((state, text))
            if len(self._waiting) >= _AT_ONCE:
                self._write()

    def _write(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error), self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", self._waiting)
        self._waiting = []

    def _close(self) -> None:
        if self._connection is not None:
            self._write()
            self._connection.close()


def file_state(path: str | Path, *how: object) -> bytes | None:
    """Return what tells a file that is as it was; ``None`` where it is not there or has just changed.

    Args:
        path: the file; of a path that names several (:mod:`.composite`), of all.
        how: what else the text depends on, as the units it is read in.
    """
    path = Path(path)
    changed: list[tuple[int, ...]]
    try:
        if (stored := stored_file(path)) is not None:
            changed = [stored.state()]
        else:
            found = [file.stat() for file in files_of(path)]
            changed = [(state.st_size, state.st_mtime_ns, state.st_ctime_ns) for state in found]
    except (OSError, ValueError):
        return None
    if any(time.time() - max(times) / 1e9 < _SETTLED for _, *times in changed):
        return None
    told = repr((resolved(path) if stored is not None else str(path.absolute()), changed, *how))
    return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _connected(name: str) -> sqlite3.Connection | None:
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / name, timeout=1)
        connection.execute("CREATE TABLE IF NOT EXISTS files (state BLOB PRIMARY KEY, told TEXT)")
        return connection
    except (OSError, sqlite3.Error):
        return None
