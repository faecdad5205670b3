"""Retrieval: describe images, search them, keep them in a gallery, and measure how well it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .benchmark import Benchmark, benchmark
from .descriptor import DEFAULT_DESCRIPTOR, PACKED, PRESETS, Descriptor, Options
from .embed import Embedding, embed
from .explain import Explanation, explain
from .fit import fit_descriptor
from .gallery import Gallery, index, search
from .robustness import RobustnessCurve, robustness
from .search import exact_search

if TYPE_CHECKING:
    from .route_map import plot_route_map

__all__ = [
    "DEFAULT_DESCRIPTOR",
    "PACKED",
    "PRESETS",
    "Benchmark",
    "Descriptor",
    "Embedding",
    "Explanation",
    "Gallery",
    "Options",
    "RobustnessCurve",
    "benchmark",
    "embed",
    "exact_search",
    "explain",
    "fit_descriptor",
    "index",
    "plot_route_map",
    "robustness",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import what draws maps when it is first asked for: it brings matplotlib."""
    if name == "plot_route_map":
        from .route_map import plot_route_map

        return plot_route_map
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
