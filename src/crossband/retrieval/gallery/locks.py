"""Several processes at one gallery: who works in it, and who is alone."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...errors import CrossbandError

try:
    import fcntl
except ImportError:  # not on Windows: two runs on one gallery are then the user's own care
    fcntl = None  # type: ignore[assignment]

__all__ = ["alone_in", "working_folder"]


@contextlib.contextmanager
def working_folder(folder: Path, store: str | Path | None) -> Iterator[Path]:
    """Give the folder of the descriptor store: the one named, or one in the gallery.

    The latter is removed at the end and on errors by the last process that works in it, and kept by one that is
    stopped, to continue from.
    """
    if store is not None:
        yield Path(store)
        return
    work = folder / ".embedding"
    made = not folder.exists()
    handle, stopped = _entered(folder, work), False
    try:
        yield work
    except (KeyboardInterrupt, SystemExit):
        stopped = True
        raise
    finally:
        if not stopped and _flock(handle, alone=True):
            shutil.rmtree(work, ignore_errors=True)
        if handle is not None:
            os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # there is a gallery in it now
                folder.rmdir()


def _entered(folder: Path, work: Path) -> int | None:
    """Make the working folder, and say in it that one more process needs it."""
    while True:
        try:
            work.mkdir(parents=True, exist_ok=True)
            handle = os.open(work, os.O_RDONLY) if fcntl is not None else None
        except FileNotFoundError:
            continue  # removed by another process between the two
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {folder} ({error.strerror})") from None
        if handle is None:
            return None
        _flock(handle, alone=False, wait=True)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), work.stat()):
                return handle
        os.close(handle)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same folder."""
    handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    try:
        _flock(handle, alone=True, wait=True)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _flock(handle: int | None, *, alone: bool, wait: bool = False) -> bool:
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
