"""LLVIP: street scenes at night from a fixed camera, aligned (Jia et al., ICCV Workshops 2021).

Expected layout, as published (``bupt-ai-cz/LLVIP``)::

    ROOT/
      visible/train/010001.jpg        RGB, 1280x1024
      visible/test/190001.jpg
      infrared/train/010001.jpg       thermal, 8 bit, the same name is the same moment
      infrared/test/190001.jpg
      Annotations/                    persons, Pascal VOC (not read)

or the sample that its authors publish in their repository::

    ROOT/
      Train_LLVIP_vi/010001.jpg       RGB
      Train_LLVIP_ir/010001.jpg       thermal
      Test_LLVIP_vi/190001.jpg
      Test_LLVIP_ir/190001.jpg

The first two digits of a name are the scene: ``place`` and ``sequence``. 15,488 pairs of 26 scenes, two
of them by day, which the layout does not tell. The camera does not move, so frames of one scene differ by
who walks there only; take each n-th (``every``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_llvip"]

_NAME = "[0-9]" * 6 + ".jpg"
_LAYOUTS = (
    ("visible/{}", "infrared/{}", ("train", "test")),
    ("{}_LLVIP_vi", "{}_LLVIP_ir", ("Train", "Test")),
)


@register_dataset(
    "llvip",
    title="LLVIP",
    bands=("rgb", "tir"),
    source="https://bupt-ai-cz.github.io/LLVIP",
    license="non-commercial, with a citation; identifying persons is forbidden",
    marks=tuple(
        (f"{rgb.format(split)}/{_NAME}", f"{tir.format(split)}/{_NAME}")
        for rgb, tir, splits in _LAYOUTS
        for split in splits
    ),
)
def read_llvip(root: Path) -> Frames:
    """Read the frames of LLVIP in ``root``."""
    frames = pair_groups(root, _groups(root), "visible/train and infrared/train, or Train_LLVIP_vi and ..._ir")
    scenes = [Path(name).name[:2] for name in frames.names]
    return frames.assign(place=scenes, sequence=scenes)


def _groups(root: Path) -> Iterator[Group]:
    for rgb, tir, splits in _LAYOUTS:
        for split in splits:
            folders = {Band.RGB: root / rgb.format(split), Band.TIR: root / tir.format(split)}
            if all(folder.is_dir() for folder in folders.values()):
                yield Group(split.lower(), folders, {"split": split.lower()})
