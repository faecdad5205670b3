"""Write what a run produces: all or nothing, and with a sentence where it cannot be written."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError

from .errors import CrossbandError

__all__ = [
    "cache_folder",
    "check_output",
    "disk_errors",
    "make_folder",
    "read_json",
    "results_kind",
    "sweep_partials",
    "write_file",
]


def cache_folder() -> Path:
    """Return the user's folder for what can be computed again: ``CROSSBAND_CACHE``, or the system's."""
    given = os.environ.get("CROSSBAND_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("crossband", appauthor=False))


_MACHINE = hashlib.blake2b(platform.node().encode(), digest_size=3).hexdigest()
_PARTIAL = re.compile(rf"\.{_MACHINE}-(\d+)\..+")
_FULL = 1 << 20  # bytes; a writer that fails with less left has failed for want of them


def make_folder(path: str | Path) -> Path:
    """Create the folder and its parents where they do not exist.

    What writers that were killed have left half-finished in it is removed.

    Raises:
        CrossbandError: it cannot be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{_MACHINE}-{os.getpid()}.writable"
        probe.touch()
        probe.unlink()
        sweep_partials(path)
    except OSError as error:
        raise CrossbandError(
            f"cannot write to {path} ({error.strerror}); choose another folder", parameter="out"
        ) from None
    return path


def check_output(path: str | Path, suffixes: Collection[str] = (), parameter: str = "out") -> Path:
    """Check, before any work, that a file can be written where it is to be.

    Args:
        path: the file; its folder is made.
        suffixes: those it may have, as in ``(".jpg", ".png")``; any where empty.
        parameter: what gives it, for the command line.

    Raises:
        CrossbandError: another suffix, a folder in its place, or a folder that cannot be written.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise CrossbandError(
            f"cannot write {path}: give a name ending in {' or '.join(suffixes)}", parameter=parameter
        )
    if path.is_dir():
        raise CrossbandError(f"cannot write {path}, which is a folder; name a file", parameter=parameter)
    make_folder(path.parent)
    return path


@functools.cache
def sweep_partials(folder: Path) -> None:
    """Remove, once a process, what dead processes of this machine left of :func:`write_file`."""
    with os.scandir(folder) as entries:
        left = [(entry.path, match) for entry in entries if (match := _PARTIAL.fullmatch(entry.name))]
    for name, match in left:
        try:
            os.kill(int(match[1]), 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
        except (OSError, OverflowError):  # another user's
            continue


def read_json(path: str | Path, largest: int = 1 << 29) -> Any:
    """Read a JSON file that somebody else wrote, bounded in size and depth, every number finite.

    Args:
        path: the file.
        largest: bytes.

    Raises:
        CrossbandError: missing, too large, nested too deep, no JSON, or a number beyond what a float holds.
    """
    try:
        if (size := Path(path).stat().st_size) > largest:
            raise CrossbandError(f"{path} has {size >> 20} MB, more than {largest >> 20}; split it")
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        raise CrossbandError(f"{path} cannot be read ({error.strerror})") from None
    except RecursionError:
        raise CrossbandError(f"{path} is not valid JSON: it is nested too deep") from None
    except ValueError as error:
        raise CrossbandError(f"{path} is not valid JSON: {' '.join(str(error).split())[:120]}") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def results_kind(path: str | Path) -> set[str]:
    """Return the keys of a file of results, which tell the verb that wrote it; none without such a file.

    Example:
        >>> results_kind("gone.json")
        set()
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    return set(content) if isinstance(content, dict) else set()


def write_file(path: str | Path, write: str | Callable[[Path], object], *, durable: bool = False) -> Path:
    """Write a file beside its place and move it there once it is whole; its folder is made if need be.

    Args:
        path: where the file belongs.
        write: its text, or a function that writes the path it is given (with the same suffix).
        durable: whether it must be on the disk, not in a buffer of the system, when this returns.

    Raises:
        CrossbandError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_file(Path(folder) / "a.txt", "whole").read_text()
        'whole'
    """
    path = Path(path)
    partial = path.with_name(f".{_MACHINE}-{os.getpid()}.{path.name}")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_partials(path.parent)
            partial.touch()
            mode = partial.stat().st_mode & 0o777  # what the umask gives, whatever the writer makes of it
            if callable(write):
                write(partial)
            else:
                partial.write_text(write, encoding="utf-8", errors="backslashreplace")  # a name may be no UTF-8
            partial.chmod(mode)
            if durable:
                _flush(partial)
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what writing raises because of the disk into a sentence that names the file."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if (reason := _disk_reason(error, path)) is None:
            raise
        raise CrossbandError(f"cannot write {path} ({reason}); choose another place", parameter="out") from None


def _disk_reason(error: Exception, path: Path) -> str | None:
    """What the disk has to do with an error: writers of libraries hide it in errors of their own."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = re.search(r"([A-Z][a-z -]+) \(os error \d+\)", str(error))
    if found is not None:
        return found[1]
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path.parent).free < _FULL:
            return "No space left on device"
    return None


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
