"""The multispectral city: aligned RGB, NIR and thermal pictures with every label, made anywhere."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "simulate": "render",
    "list_presets": "presets",
    "export_mfnet": "export",
    "export_pst900": "export",
    "check_layout": "export",
    "export_coco": "export",
    "export_layout": "export",
    "contact_sheet": "sheet",
}
__all__ = [
    "check_layout",
    "contact_sheet",
    "export_coco",
    "export_layout",
    "export_mfnet",
    "export_pst900",
    "list_presets",
    "simulate",
]


def __getattr__(name: str) -> Any:
    # nothing is imported before it is used: the command line answers at once
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
