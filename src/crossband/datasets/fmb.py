"""FMB: streets by day and night with labels of 14 classes (Liu et al., ICCV 2023).

"Multi-interactive Feature Learning and a Full-time Multi-modality Benchmark for Image Fusion and Segmentation".
Expected layout, as published (``JinyuanLiu-CV/SegMiF``)::

    ROOT/
      train/Visible/00001.png     RGB, 800x600, 1,220 pairs; below test/ 280
      train/Infrared/00001.png    thermal, 8 bits
      train/Label/00001.png       0 unlabeled, 1 road, 2 sidewalk, 3 building, 4 traffic light, 5 traffic sign,
      train/color/00001.png       6 vegetation, 7 sky, 8 person, 9 car, 10 truck, 11 bus, 12 motorcycle,
                                  13 bicycle, 14 pole; color/ draws them (not read)

The class list is ``fmb``. There is no val set: every tenth training frame, by name, is one here.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._beside import with_beside
from ._labeled import with_val
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_fmb"]

_SPLITS = ("train", "test")


@register_dataset(
    "fmb",
    title="FMB, full-time multi-modality benchmark",
    bands=("rgb", "tir"),
    source="https://github.com/JinyuanLiu-CV/SegMiF",
    license="none stated for the images",
    marks=tuple((f"{split}/Visible", f"{split}/Infrared", f"{split}/Label") for split in _SPLITS),
)
def read_fmb(root: Path) -> Frames:
    """Read the frames of FMB in ``root``; a frame's name is its split and its file's stem."""
    groups = [
        Group(
            split, {Band.RGB: root / split / "Visible", Band.TIR: root / split / "Infrared"}, {"split": split}
        )
        for split in _SPLITS
        if (root / split / "Visible").is_dir()
    ]
    frames = pair_groups(root, groups, "train/Visible, train/Infrared and train/Label")
    frames = with_beside(frames, labels=lambda name: name.replace("/", "/Label/") + ".png")
    return frames.assign(split=with_val(frames.table["split"].tolist()))
