"""Write what a run produces: all or nothing, and with a sentence where it cannot be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .errors import CrossbandError

__all__ = ["make_folder", "write_file"]


def make_folder(path: str | Path) -> Path:
    """Create the folder and its parents where they do not exist.

    Raises:
        CrossbandError: it cannot be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CrossbandError(f"cannot write to {path} ({error.strerror}); choose another --out") from None
    return path


def write_file(path: str | Path, write: str | Callable[[Path], object]) -> Path:
    """Write a file next to its destination and move it there once it is complete.

    Args:
        path: where the file belongs.
        write: its text, or a function that writes the path it is given (with the same suffix).

    Raises:
        CrossbandError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_file(Path(folder) / "a.txt", "whole").read_text()
        'whole'
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        if callable(write):
            write(partial)
        else:
            partial.write_text(write, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise CrossbandError(f"cannot write {path} ({error.strerror}); choose another --out") from None
    finally:
        partial.unlink(missing_ok=True)
    return path
