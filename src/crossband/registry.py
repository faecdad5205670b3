"""The one registry: a name becomes an entry, and adding an entry is adding a file."""

from __future__ import annotations

import builtins
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from .errors import unknown_name

__all__ = ["Registry"]

T = TypeVar("T")
F = TypeVar("F")


class Registry(Generic[T]):
    """Named entries that register themselves by a decorator in modules that are imported on first use.

    Args:
        kind: what an entry is, for messages, as in ``"model"``.
        homes: where entries live: ``"crossband.models"`` for every module of a package whose name does not
            start with an underscore; ``"crossband.*.task"`` for that module, or the modules of that package,
            in each package that has one.

    Example:
        >>> greetings: Registry[str] = Registry("greeting")
        >>> greetings.add("hello", "Hello!")
        'Hello!'
        >>> greetings.get("helo")
        Traceback (most recent call last):
        crossband.errors.UnknownNameError: unknown greeting 'helo'; did you mean hello? There are hello
    """

    def __init__(self, kind: str, *homes: str) -> None:
        self.kind, self._homes = kind, homes
        self._entries: dict[str, T] = {}
        self._complete = not homes

    def add(self, name: str, entry: T) -> T:
        """Register an entry under a name.

        Raises:
            ValueError: another entry has the name; a second import of the same module replaces its own.
        """
        known = self._entries.get(name)
        if known is not None and _origin(known) != _origin(entry):
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def register(self, name: str, entry: Callable[[F], T]) -> Callable[[F], F]:
        """Return a decorator that registers ``entry(decorated)`` and leaves the decorated as it is."""

        def decorate(decorated: F) -> F:
            self.add(name, entry(decorated))
            return decorated

        return decorate

    def get(self, name: str, also: Iterable[str] = ()) -> T:
        """Return the entry called ``name``.

        Args:
            name: the entry's.
            also: names that stand for entries elsewhere, to be suggested too.

        Raises:
            UnknownNameError: there is none; the message lists the nearest names.
        """
        if name not in self._entries:
            self._import_namesakes(name)
        if name not in self._entries:
            self._import()
        if name not in self._entries:
            raise unknown_name(self.kind, name, {*self._entries, *also})
        return self._entries[name]

    def list(self, pattern: str = "*") -> builtins.list[T]:
        """Return the entries whose names match a pattern, as in ``resnet*``, by name."""
        return [self._entries[name] for name in self.names(pattern)]

    def names(self, pattern: str = "*") -> builtins.list[str]:
        """Return the names that match a pattern, sorted."""
        self._import()
        return sorted(name for name in self._entries if fnmatchcase(name, pattern))

    def __contains__(self, name: object) -> bool:
        self._import()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _import_namesakes(self, name: str) -> None:
        """Import the modules whose names the entry's begins with: it is most likely there, and the others may
        import much."""
        if not self._complete:
            for home in self._homes:
                for module in _modules(home):
                    if name.startswith(module.rpartition(".")[2]):
                        importlib.import_module(module)

    def _import(self) -> None:
        if not self._complete:
            for home in self._homes:
                for module in _modules(home):
                    importlib.import_module(module)
            self._complete = True


def _modules(home: str) -> list[str]:
    """The modules below a home; see :class:`Registry`."""
    if "*" not in home:
        path = importlib.import_module(home).__path__
        return [f"{home}.{m.name}" for m in pkgutil.iter_modules(path) if not m.name.startswith("_")]
    root, _, leaf = home.partition(".*.")
    found = []
    for package in pkgutil.iter_modules(importlib.import_module(root).__path__):
        if not package.ispkg:
            continue
        inside = importlib.import_module(f"{root}.{package.name}")
        for module in pkgutil.iter_modules(inside.__path__):
            if module.name == leaf:
                name = f"{inside.__name__}.{leaf}"
                found += _modules(name) if module.ispkg else [name]
    return found


def _origin(entry: object) -> tuple[object, object]:
    """Where an entry was defined: the same for the same code imported again."""
    build = getattr(entry, "build", entry)
    return getattr(build, "__module__", None), getattr(build, "__qualname__", repr(build))
