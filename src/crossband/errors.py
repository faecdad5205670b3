"""The errors a user can fix. The command line prints their sentence and exits with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CrossbandError",
    "DamagedFileError",
    "ImageFault",
    "MissingExtraError",
    "MissingWeightsError",
    "UnknownNameError",
    "nearest",
    "unknown_name",
]

_SHORT = 8  # names that a message lists whole


class CrossbandError(Exception):
    """An error that the user can fix; the message is one sentence that says how."""


class UnknownNameError(CrossbandError):
    """A name that is not registered: of a model, a dataset, a task, an option.

    Attributes:
        name: the name.
        nearest: the known names most like it, best first.
    """

    def __init__(self, message: str, name: str = "", nearest: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.name, self.nearest = name, list(nearest)


class MissingWeightsError(CrossbandError):
    """Weights that are not on this machine; the message says where they were searched."""


class DamagedFileError(CrossbandError):
    """A checkpoint, descriptor, gallery or state that is damaged, or not what it claims to be."""


class MissingExtraError(CrossbandError):
    """A package that an optional part of crossband needs is not installed."""


class ImageFault(CrossbandError):
    """One image that cannot be used; runs over many images report it and go on.

    Attributes:
        path: the file at fault, as text.
        reason: a short reason, without the path.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return the known names most like ``name``, best first.

    Example:
        >>> nearest("squeezenet11", ["squeezenet1_0", "squeezenet1_1", "vgg16"], n=1)
        ['squeezenet1_1']
    """
    return difflib.get_close_matches(name, list(known), n=n, cutoff=0.4)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Make the error for an unknown name, with the nearest names or, where there are few, all.

    Example:
        >>> str(unknown_name("paper", "rsfnets", ["rsfnet", "hamnet"]))
        "unknown paper 'rsfnets'; did you mean rsfnet? There are hamnet, rsfnet"
    """
    known = sorted(known)
    close = nearest(name, known)
    hints = [f"did you mean {', '.join(close)}?"] if close else []
    if not close or len(known) <= _SHORT:
        hints.append(f"{'There' if close else 'there'} are {', '.join(known)}")
    return UnknownNameError(f"unknown {kind} {name!r}; {' '.join(hints)}", name, close)
