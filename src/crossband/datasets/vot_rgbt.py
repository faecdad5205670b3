"""VOT-RGBT 2019 and 2020: 60 tracking sequences taken from RGBT234 (Kristan et al., ICCV Workshops 2019).

Expected layout, as the VOT toolkit downloads it (in its workspace, ROOT is the folder ``sequences``)::

    ROOT/
      list.txt                        the sequences (not read)
      afterrain/
        color/00000001v.jpg           RGB
        ir/00000001i.jpg              thermal, 8 bit, the same number is the same moment
        groundtruth.txt               the target's box, a line a frame (not read)

The letter after the number is there or not, by year and mirror; both are read. A sequence is a ``place``.
The two years have the same images. Everything is the test split: VOT publishes no training data.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_vot_rgbt"]


@register_dataset(
    "vot_rgbt",
    title="VOT-RGBT 2019 and 2020",
    bands=("rgb", "tir"),
    source="https://www.votchallenge.net/vot2019/dataset.html",
    license="none stated; the images are those of RGBT234",
    marks=(("*/color/[0-9]*.jpg", "*/ir/[0-9]*.jpg", "*/groundtruth.txt"),),
)
def read_vot_rgbt(root: Path) -> Frames:
    """Read the frames of VOT-RGBT in ``root``."""
    groups = [
        Group(
            folder.parent.name,
            {Band.RGB: folder, Band.TIR: folder.parent / "ir"},
            {"split": "test", "place": folder.parent.name, "sequence": folder.parent.name},
        )
        for folder in sorted(root.glob("*/color"))
        if (folder.parent / "ir").is_dir()
    ]
    return pair_groups(root, groups, "SEQUENCE/color and SEQUENCE/ir", stem=lambda name: name.rstrip("vi"))
