"""Several processes at one gallery: the folder that they work in."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...errors import CrossbandError
from ...locks import lock, open_folder

__all__ = ["working_folder"]


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
        if not stopped and lock(handle, alone=True):
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
            handle = open_folder(work)
        except FileNotFoundError:
            continue  # removed by another process between the two
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {folder} ({error.strerror})") from None
        if handle is None:
            return None
        lock(handle, alone=False, wait=True)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), work.stat()):
                return handle
        os.close(handle)
