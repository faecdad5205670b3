"""How a program of its own may tune the C library's memory; the library never does so by itself."""

from __future__ import annotations

import sys

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed blocks, for the whole process: handing each feature map back to the system and
    faulting it in again costs a CPU pass up to a third of its time (docs/decisions.md). Elsewhere than on
    Linux with glibc, nothing happens.

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
