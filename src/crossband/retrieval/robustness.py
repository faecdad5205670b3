"""How much misalignment a model stands: recall as one band is shifted, scaled or turned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from ..bands import Band
from ..data.preprocess import Warp
from ..errors import CrossbandError
from ..frames import Frames
from ..metrics import Protocol, recall_at
from ..progress import note, says_once
from ..results import Curve
from .descriptor.descriptor import DEFAULT_DESCRIPTOR, DEFAULT_OPTIONS, Descriptor, Options, distinct
from .directions import Sides, directions
from .embed import embed
from .search import DEFAULT_MEMORY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AMOUNTS", "RobustnessCurve", "robustness"]

# The unit of each: a fraction of width and height; a factor; degrees.
AMOUNTS: dict[str, tuple[float, ...]] = {
    "shift": (0.0, 0.02, 0.05, 0.1, 0.15, 0.2),
    "scale": (0.8, 0.9, 1.0, 1.1, 1.25, 1.5),
    "rotate": (0.0, 2.0, 5.0, 10.0, 20.0, 45.0),
}


@dataclass(frozen=True, repr=False)
class RobustnessCurve(Curve):
    """What :func:`robustness` measured.

    Attributes:
        points: one row per model, direction, kind of misalignment and amount, with R@1 and R@5 in percent.
    """

    stem: ClassVar[str] = "robustness"

    def plot(self) -> Figure:
        """Draw R@1 over each kind of misalignment; see :func:`crossband.reports.plots.plot_robustness`."""
        from ..reports.plots import plot_robustness

        return plot_robustness(self.points)


@says_once
def robustness(
    frames: Frames,
    models: str | Descriptor | Sequence[str | Descriptor] = DEFAULT_DESCRIPTOR,
    query: str = "all",
    gallery: str = "all",
    *,
    store: str | Path | None = None,
    protocol: str = "exact",
    amounts: Mapping[str, Sequence[float]] | None = None,
    options: Options = DEFAULT_OPTIONS,
    max_memory: int = DEFAULT_MEMORY,
    workers: int | None = None,
) -> RobustnessCurve:
    """Measure recall as the images of one band are shifted, scaled or turned, one at a time.

    Moved are the gallery's images. Each amount is one embedding pass of every gallery band; what the store
    holds is not computed again.

    Args:
        frames: two or more frames with two bands.
        amounts: the amounts of ``shift`` (fraction of width and height), ``scale`` and ``rotate`` (degrees).

    Raises:
        CrossbandError: as :func:`crossband.benchmark`.
    """
    rule = Protocol.parse(protocol)
    ways = [way for way in directions(frames, query, gallery, rule) if way.query is not way.gallery]
    if not ways:
        raise CrossbandError(
            f"one of two bands is moved, and {query} is both; choose another query band", parameter="query"
        )
    bands = sorted({band for way in ways for band in (way.query, way.gallery)}, key=list(Band).index)
    galleries = [band for band in bands if any(way.gallery is band for way in ways)]
    points: list[dict[str, object]] = []
    for descriptor in [Descriptor.of(model, options) for model in distinct(models)]:
        plain = embed(frames, descriptor, bands, store=store, workers=workers)
        for fault in plain.faults:
            note(f"left out: {fault}")
        for kind, values in (amounts or AMOUNTS).items():
            for value in values:
                warp = Warp(**{kind: value})
                warped = descriptor.with_warp(warp if warp != Warp() else None)
                moved = embed(frames, warped, galleries, store=store, workers=workers)
                for way in ways:
                    ranks = Sides.of(plain, way, moved, way.gallery).ranks(rule, max_memory)
                    if ranks.n_queries:
                        points.append(
                            {
                                "model": descriptor.name,
                                "query": way.query.value,
                                "gallery": way.gallery.value,
                                "kind": kind,
                                "amount": value,
                                "R@1": recall_at(ranks, 1),
                                "R@5": recall_at(ranks, 5),
                            }
                        )
    if not points:
        raise CrossbandError(f"no query has a positive in the gallery under protocol {rule}; choose another")
    return RobustnessCurve(pd.DataFrame(points))
