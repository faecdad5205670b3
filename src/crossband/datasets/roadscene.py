"""RoadScene: aligned road scenes by day and night (Xu et al., AAAI 2020).

Expected layout, as published on GitHub (``hanna-xu/RoadScene``)::

    ROOT/
      crop_LR_visible/FLIR_00006.jpg      RGB, cropped to the thermal image's view, about 500x329
      cropinfrared/FLIR_00006.jpg         thermal, 8 bit, the same name is the same scene
      crop_HR_visible/                    the same crops in the visible camera's own resolution (not read)

221 pairs. No splits are published.
"""

from __future__ import annotations

from pathlib import Path

from ..frames import Frames
from ._pairs import pair_folders
from ._registry import register_dataset

__all__ = ["read_roadscene"]


@register_dataset(
    "roadscene",
    title="RoadScene",
    bands=("rgb", "tir"),
    source="https://github.com/hanna-xu/RoadScene",
    license="none stated",
    marks=(("crop_LR_visible", "cropinfrared"),),
)
def read_roadscene(root: Path) -> Frames:
    """Read the frames of RoadScene in ``root``."""
    return pair_folders(root, rgb=root / "crop_LR_visible", tir=root / "cropinfrared")
