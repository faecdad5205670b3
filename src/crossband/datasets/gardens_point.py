"""Gardens Point Walking: one campus walk by day on the left, by day on the right, and by night on the right.

Glover, "Day and night with lateral pose change datasets", 2014. Expected layout, as published (and as VPR-Bench
packs it, with ``query`` and ``ref`` named after the walks)::

    ROOT/
      day_left/Image000.jpg      960x540, 200 frames; the gallery
      day_right/Image000.jpg     the same walk; query
      night_right/Image000.jpg   likewise, where present

Frame i of one walk matches frames i-2 to i+2 of another: measure by ``index`` with a threshold of 2.
"""

from __future__ import annotations

from pathlib import Path

from ..frames import Frames
from ._registry import register_dataset
from ._walks import frames_of_walks

__all__ = ["read_gardens_point"]

_WALKS = {"day_left": "gallery", "day_right": "query", "night_right": "query"}


@register_dataset(
    "gardens_point",
    title="Gardens Point Walking",
    bands=("rgb",),
    source="https://zenodo.org/records/4590133",
    license="none stated",
    marks=(("day_left/Image*", "day_right/Image*"), ("day_left/Image*", "night_right/Image*")),
)
def read_gardens_point(root: Path) -> Frames:
    """Read the frames of Gardens Point in ``root``; the column ``index`` is the frame's place in its walk."""
    conditions = {walk: walk.split("_")[0] for walk in _WALKS}
    return frames_of_walks(root, _WALKS, conditions)
