"""Import what stands beside a registry, so that adding an entry is adding a file."""

from __future__ import annotations

import importlib
import pkgutil

__all__ = ["import_modules"]


def import_modules(package: str) -> None:
    """Import every module of a package whose name has no underscore before it.

    Example:
        >>> import_modules("crossband.models")
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package}.{module.name}")
