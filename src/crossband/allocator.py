"""The process's memory: how a program of its own may tune the C library's, and how much was held at most."""

from __future__ import annotations

import sys

__all__ = ["keep_freed_memory", "process_peak_mb"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed blocks, for the whole process.

    Handing each feature map back to the system and faulting it in again costs a CPU pass up to a third of its
    time (docs/decisions.md). Elsewhere than on Linux with glibc, nothing happens.

    Example:
        >>> keep_freed_memory()
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):
        return  # another C library: as it was


def process_peak_mb() -> float | None:
    """Return the most memory this process has held so far, MiB; ``None`` on systems that do not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
