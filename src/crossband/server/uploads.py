"""Pictures that were sent and wait for their search, kept in memory for a while."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from .decoding import Source

__all__ = ["Upload", "Uploads"]

_SECONDS = 3600.0


@dataclass(frozen=True)
class Upload:
    """One picture.

    Attributes:
        source: the file's bytes and their key.
        until: when it is forgotten.
    """

    source: Source
    until: float


class Uploads:
    """Pictures by a name that nobody can guess; the oldest make room.

    Args:
        most: bytes of all of them together.

    Example:
        >>> kept = Uploads(10)
        >>> first, second = kept.put(b"12345678"), kept.put(b"abc")
        >>> kept.get(second).source.data, kept.get(first)
        (b'abc', None)
    """

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, data: bytes) -> str:
        """Keep a file; returns its name."""
        name = secrets.token_urlsafe(16)
        source = Source(hashlib.blake2b(data, digest_size=16).hexdigest(), data=data)
        with self._lock:
            self._kept[name] = Upload(source, time.monotonic() + _SECONDS)
            self._bytes += len(data)
            now = time.monotonic()
            while len(self._kept) > 1 and (
                self._bytes > self._most or next(iter(self._kept.values())).until < now
            ):
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old.source.data or b"")
        return name

    def get(self, name: str) -> Upload | None:
        """Return a picture, ``None`` where it is unknown or forgotten."""
        with self._lock:
            found = self._kept.get(name)
            return None if found is None or found.until < time.monotonic() else found

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes
