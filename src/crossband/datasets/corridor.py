"""Corridor: one corridor, walked twice with a low-resolution camera.

Milford, "Vision-based place recognition: how low can you go?", IJRR 2013; the frames as VPR-Bench packs them::

    ROOT/
      ref/0000000.jpg      160x120, 111 frames; the gallery
      query/0000000.jpg    the second walk
      gt.json              [[query, [reference, ...]], ...]: i-2 to i+2

Measure by ``index`` with a threshold of 2.
"""

from __future__ import annotations

from pathlib import Path

from ..frames import Frames
from ._registry import register_dataset
from ._walks import frames_of_walks

__all__ = ["read_corridor"]


@register_dataset(
    "corridor",
    title="Corridor",
    bands=("rgb",),
    source="https://github.com/MubarizZaffar/VPR-Bench",
    license="code MIT; images: cite Milford 2013",
    marks=(("ref/0*.jpg", "query/0*.jpg", "gt.json"),),
)
def read_corridor(root: Path) -> Frames:
    """Read the frames of Corridor in ``root``; the column ``index`` is the frame's place in its walk."""
    return frames_of_walks(root, {"ref": "gallery", "query": "query"}, {})
