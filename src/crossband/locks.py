"""Locks on folders: several processes at one gallery or run, and who is alone in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: two runs in one folder are then the user's own care
    fcntl = None  # type: ignore[assignment]

__all__ = ["alone_in", "lock", "open_folder"]


@contextlib.contextmanager
def alone_in(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Be the only process that is in here with the folder, and give whether that is so.

    Args:
        folder: exists.
        wait: until no other process is; else a folder that another one has gives ``False`` at once.
    """
    handle = open_folder(folder)
    try:
        yield lock(handle, alone=True, wait=wait)
    finally:
        if handle is not None:
            os.close(handle)


def open_folder(folder: Path) -> int | None:
    """Open a folder to be locked, ``None`` where nothing can be locked."""
    return os.open(folder, os.O_RDONLY) if fcntl is not None else None


def lock(handle: int | None, *, alone: bool, wait: bool = False) -> bool:
    """Lock an open folder; whether that could be had. Where nothing can be locked, everyone is alone."""
    if handle is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
