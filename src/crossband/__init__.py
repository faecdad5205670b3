"""Find the same place, scene or object across visible, near-infrared and thermal images."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Band": "bands",
    "Frames": "frames",
    "check_frames": "data.check",
    "read_image": "io",
    "scan": "datasets",
    "open_frames": "datasets",
    "list_datasets": "datasets",
    "create_model": "models",
    "list_models": "models",
    "Descriptor": "retrieval",
    "Gallery": "retrieval",
    "benchmark": "retrieval",
    "explain": "retrieval",
    "embed": "retrieval",
    "fit_descriptor": "retrieval",
    "index": "retrieval",
    "search": "retrieval",
    "robustness": "retrieval",
    "simulate": "simulation",
    "train": "training",
    "evaluate": "training",
    "reproduce": "papers",
    "CrossbandError": "errors",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import crossband`` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'crossband' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
