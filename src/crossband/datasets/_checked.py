"""Which images were read without a fault before, so that a run that goes on need not decode them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from ..bands import Band
from ..files import cache_folder
from ..io import Remark
from ..io.composite import files_of

__all__ = ["CheckedImages"]

_NAME = "checked.sqlite"
_KEPT_AT_ONCE = 256


class CheckedImages:
    """What was remarked of images that could be read, kept in the user's cache.

    An image is known by its path, its size and its times of change, the band and units it is read as, and the
    version of crossband that read it. Images with a fault are not kept: they may be mended. Where the cache
    cannot be written, nothing is remembered and nothing is lost.

    Example:
        >>> with CheckedImages.open() as checked:
        ...     checked.find(Path("gone.png"), Band.RGB, None) is None
        True
    """

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._waiting: list[tuple[bytes, str]] = []

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[CheckedImages]:
        """Open what is kept; it is written as it grows, and at the end."""
        checked = cls(_connected())
        try:
            yield checked
        finally:
            checked._close()

    def find(self, path: Path, band: Band, units: str | None) -> tuple[Remark, ...] | None:
        """Return what was remarked of an image that could be read, ``None`` where it is unknown."""
        key = None if self._connection is None else _key(path, band, units)
        if self._connection is None or key is None:
            return None
        try:
            row = self._connection.execute("SELECT remarks FROM checked WHERE key = ?", (key,)).fetchone()
            return None if row is None else tuple(Remark(*one) for one in json.loads(row[0]))
        except (sqlite3.Error, ValueError, TypeError):
            return None

    def keep(self, path: Path, band: Band, units: str | None, remarks: tuple[Remark, ...]) -> None:
        """Remember an image that could be read."""
        if self._connection is not None and (key := _key(path, band, units)) is not None:
            self._waiting.append((key, json.dumps(remarks)))
            if len(self._waiting) >= _KEPT_AT_ONCE:
                self._write()

    def _write(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error), self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO checked VALUES (?, ?)", self._waiting)
        self._waiting = []

    def _close(self) -> None:
        if self._connection is not None:
            self._write()
            self._connection.close()


def _connected() -> sqlite3.Connection | None:
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / _NAME, timeout=1)
        connection.execute("CREATE TABLE IF NOT EXISTS checked (key BLOB PRIMARY KEY, remarks TEXT)")
        return connection
    except (OSError, sqlite3.Error):
        return None


def _key(path: Path, band: Band, units: str | None) -> bytes | None:
    """What tells an image that is as it was, ``None`` where it is not there."""
    try:
        changed = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in (file.stat() for file in files_of(path))]
    except OSError:
        return None
    told = repr((__version__, str(path.absolute()), band.value, units, changed))
    return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).digest()
