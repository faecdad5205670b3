"""Retrieval: describe images, search them, keep them in a gallery, and measure how well it works."""

from .benchmark import Benchmark, benchmark
from .descriptor import DEFAULT_DESCRIPTOR, PACKED, PRESETS, Descriptor, Options
from .embed import Embedding, embed
from .explain import Explanation, explain
from .fit import fit_descriptor
from .gallery import Gallery, index, search
from .robustness import RobustnessCurve, robustness
from .route_map import plot_route_map
from .search import exact_search

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
