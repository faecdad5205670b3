"""MSRS: MFNet's scenes, aligned and enhanced anew, with its labels (Tang et al., Information Fusion 2022).

Expected layout, as published (``Linfeng-Tang/MSRS``)::

    ROOT/
      train/vi/00001D.png                    RGB, 640x480, 1,083 pairs; below test/ 361
      train/ir/00001D.png                    thermal, 8 bit
      train/Segmentation_labels/00001D.png   the classes of MFNet (optional)

A name ends in D by day and in N by night. There is no val set: every tenth training frame, by name, is one
here.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._labeled import day_or_night, with_val
from ._pairs import Group, pair_groups
from ._registry import images_by_stem, register_dataset

__all__ = ["read_msrs"]


@register_dataset(
    "msrs",
    title="MSRS",
    bands=("rgb", "tir"),
    source="https://github.com/Linfeng-Tang/MSRS",
    license="none stated",
    marks=(("train/vi", "train/ir", "test/vi"), ("train/vi", "train/ir", "train/Segmentation_labels")),
)
def read_msrs(root: Path) -> Frames:
    """Read the frames of MSRS in ``root``; a frame's name is its split and its file's stem."""
    groups = [
        Group(split, {Band.RGB: root / split / "vi", Band.TIR: root / split / "ir"}, {"split": split})
        for split in ("train", "test")
        if (root / split / "vi").is_dir()
    ]
    frames = pair_groups(root, groups, "SPLIT/vi/NAME.png, SPLIT/ir/NAME.png")
    labels: dict[str, str] = {}
    for group in groups:
        folder = root / group.name / "Segmentation_labels"
        for name, path in images_by_stem(folder).items() if folder.is_dir() else ():
            labels[f"{group.name}/{name}"] = path.relative_to(root).as_posix()
    return frames.assign(
        split=with_val(frames.table["split"].tolist()),
        condition=[day_or_night(name.rpartition("/")[2]) for name in frames.names],
        labels=[labels.get(name) for name in frames.names],
    )
