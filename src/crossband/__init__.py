"""Find the same place, scene or object across visible, near-infrared and thermal images."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__version__ = "0.1.0"  # the one place: pyproject.toml reads it here

# what is public stands in __init__.pyi, and is imported when it is first used
__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """The package, in which ``crossband.reid`` stays the function though there is a subpackage of that name.

    Importing a submodule sets it as an attribute of its package. Where a public function has the name too, the
    function keeps it; ``from crossband.reid.search import load_reid`` finds the module all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
