"""The errors a user can mend. The command line prints their sentence and exits with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["CrossbandError", "ImageFault", "nearest", "unknown_choice", "unknown_name"]


class CrossbandError(Exception):
    """Something the user can mend; the message is one sentence that names it and the mend."""


class ImageFault(CrossbandError):
    """One image that cannot be used. Runs over many images report it and go on.

    Attributes:
        path: the file at fault, as text.
        reason: a short reason, without the path.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The known names most like ``name``, best first.

    Example:
        >>> nearest("squeezenet11", ["squeezenet1_0", "squeezenet1_1", "vgg16"], n=1)
        ['squeezenet1_1']
    """
    return difflib.get_close_matches(name, list(known), n=n, cutoff=0.4)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> CrossbandError:
    """The error for a name nobody knows; it lists the nearest ones, or all when none is near."""
    known = sorted(known)
    close = nearest(name, known)
    hint = f"the nearest are {', '.join(close)}" if close else f"there are {', '.join(known)}"
    return CrossbandError(f"unknown {kind} {name!r}; {hint}")


def unknown_choice(kind: str, name: str, known: Iterable[str]) -> CrossbandError:
    """The error for a name of a short list: it lists them all.

    Example:
        >>> str(unknown_choice("paper", "x", ["b", "a"]))
        "unknown paper 'x'; there are a, b"
    """
    return CrossbandError(f"unknown {kind} {name!r}; there are {', '.join(sorted(known))}")
