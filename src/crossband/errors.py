"""The errors a user can fix. The command line prints their sentence and exits with status 2."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable

__all__ = [
    "CrossbandError",
    "DamagedFileError",
    "ImageFault",
    "MissingExtraError",
    "MissingWeightsError",
    "UnknownNameError",
    "nearest",
    "need_package",
    "unknown_name",
]

_SHORT = 8  # names that a message lists whole


class CrossbandError(Exception):
    """Something the user can fix; the message is one sentence that names it and how to fix it.

    Attributes:
        parameter: the parameter of the function called that fixes it, as in ``"out"``, or ``""``. The command
            line adds its own option to the sentence where the verb has one of that name.
    """

    def __init__(self, message: str, *, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class UnknownNameError(CrossbandError):
    """A name that is not registered: of a model, a dataset, a task, an option.

    Attributes:
        name: the name.
        nearest: the known names most like it, best first.
    """

    def __init__(
        self, message: str, name: str = "", nearest: Iterable[str] = (), *, parameter: str = ""
    ) -> None:
        super().__init__(message, parameter=parameter)
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

    def __init__(self, path: object, reason: str, *, parameter: str = "") -> None:
        super().__init__(f"{path}: {reason}", parameter=parameter)
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageFault], tuple[str, str], dict[str, str]]:
        """Pickle by what it was made from: workers in other processes raise it too."""
        return type(self), (self.path, self.reason), {"parameter": self.parameter}


def need_package(package: str, what: str, extra: str) -> None:
    """Check, before any work, that an optional package is installed.

    Args:
        package: as Python imports it.
        what: needs it, for the message.
        extra: of crossband, that brings it.

    Raises:
        MissingExtraError: it is not.

    Example:
        >>> need_package("no_such_package", "flying", "uav")
        Traceback (most recent call last):
        ...
        crossband.errors.MissingExtraError: flying needs no_such_package; pip install 'crossband[uav]'
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{what} needs {package}; pip install 'crossband[{extra}]'")


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return the known names most like ``name``, best first.

    Example:
        >>> nearest("squeezenet11", ["squeezenet1_0", "squeezenet1_1", "vgg16"], n=1)
        ['squeezenet1_1']
    """
    return difflib.get_close_matches(name, list(known), n=n, cutoff=0.4)


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, likely: Iterable[str] = (), parameter: str = ""
) -> UnknownNameError:
    """Make the error for a name nobody knows: it suggests the nearest, or lists all where there are few.

    Args:
        kind: of what it is a name.
        name: the name.
        known: the names there are.
        likely: of these, those to be suggested before the nearest.
        parameter: see :class:`CrossbandError`.

    Example:
        >>> str(unknown_name("paper", "rsfnets", ["rsfnet", "demo"]))
        "unknown paper 'rsfnets'; did you mean rsfnet? There are demo, rsfnet"
    """
    known = sorted(known)
    close = list(dict.fromkeys([*likely, *nearest(name, known)]))
    hints = [f"did you mean {', '.join(close)}?"] if close else []
    if not close or len(known) <= _SHORT:
        hints.append(f"{'There' if close else 'there'} are {', '.join(known)}")
    return UnknownNameError(f"unknown {kind} {name!r}; {' '.join(hints)}", name, close, parameter=parameter)
