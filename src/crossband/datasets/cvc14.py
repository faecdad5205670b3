"""CVC-14: pedestrians by day and night before a color and a thermal camera (Gonzalez et al., Sensors 2016).

"Pedestrian Detection at Day/Night Time with Visible and FIR Cameras: A Comparison". Expected layout, as
published by the Computer Vision Center of Barcelona::

    ROOT/
      Day/Visible/Train/FramesPos/2014_05_01_17_53_06_010000.tif     gray by day and night, 640x471
      Day/Visible/Train/FramesNeg/...                                 without pedestrians (optional)
      Day/Visible/Train/Annotations/2014_05_01_17_53_06_010000.txt   a pedestrian a line
      Day/Visible/NewTest/...                                         FramesPos and Annotations
      Day/FIR/Train/..., Day/FIR/NewTest/...                          thermal, 8 bits, under the same names
      Night/...

A name is the moment, which is ``time``. The cameras stand side by side and are not exactly synchronous: the
same pedestrian has a box of its own in each. ``boxes`` are those of the thermal image, ``rgb_boxes`` those
of the visible one. ``NewTest`` is ``test``. The forms of names and boxes are those that ``CalayZhou/MBNet``
reads.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._beside import with_beside
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_cvc14"]

_SPLITS = {"Train": "train", "NewTest": "test"}
_TIMES = ("Day", "Night")


@register_dataset(
    "cvc14",
    title="CVC-14 visible and thermal pedestrians",
    bands=("rgb", "tir"),
    source="https://doi.org/10.3390/s16060820",
    license="see its authors' page",
    marks=tuple(
        (f"{time}/Visible/{part}/FramesPos", f"{time}/FIR/{part}/FramesPos")
        for time in _TIMES
        for part in _SPLITS
    ),
)
def read_cvc14(root: Path) -> Frames:
    """Read the frames of CVC-14 in ``root``, with ``boxes`` and ``rgb_boxes``."""
    frames = pair_groups(root, _groups(root), "Day/Visible/Train/FramesPos and Day/FIR/Train/FramesPos")
    frames = with_beside(
        frames, boxes=lambda name: _boxes(name, "FIR"), rgb_boxes=lambda name: _boxes(name, "Visible")
    )
    return frames.assign(time=[_time(Path(name).name) for name in frames.names])


def _groups(root: Path) -> Iterator[Group]:
    for time in _TIMES:
        for part, split in _SPLITS.items():
            for kind in ("FramesPos", "FramesNeg"):
                folders = {
                    band: root / time / name / part / kind
                    for band, name in ((Band.RGB, "Visible"), (Band.TIR, "FIR"))
                }
                if all(folder.is_dir() for folder in folders.values()):
                    columns = {"split": split, "condition": time.lower(), "sequence": f"{time}/{part}"}
                    yield Group(f"{time}/{part}/{kind}", folders, columns)


def _boxes(name: str, camera: str) -> str:
    time, part, _, stem = name.split("/")
    return f"{time}/{camera}/{part}/Annotations/{stem}.txt"


def _time(stem: str) -> str | None:
    try:
        return datetime.datetime.strptime(stem, "%Y_%m_%d_%H_%M_%S_%f").isoformat()
    except ValueError:
        return None
