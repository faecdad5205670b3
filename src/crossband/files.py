"""Write what a run produces: whole or not at all, and with a sentence where it cannot be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from .errors import CrossbandError

__all__ = ["cache_folder", "make_folder", "write_file"]


def cache_folder() -> Path:
    """Return the user's folder for what can be computed again: ``CROSSBAND_CACHE``, or the system's."""
    given = os.environ.get("CROSSBAND_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("crossband", appauthor=False))


def make_folder(path: str | Path) -> Path:
    """The folder, made if need be.

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
        raise CrossbandError(
            f"cannot write to {path} ({error.strerror}); choose another folder", parameter="out"
        ) from None
    return path


def write_file(path: str | Path, write: str | Callable[[Path], object]) -> Path:
    """Write a file beside its place and move it there once it is whole.

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
        raise CrossbandError(
            f"cannot write {path} ({error.strerror}); choose another place", parameter="out"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return path
