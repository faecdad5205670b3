"""Freiburg Thermal: drives by day and night, in color and thermal, with labels (Vertens et al., IROS
2020).

"HeatNet: Bridging the Day-Night Domain Gap in Semantic Segmentation with Thermal Images". Expected layout, as
published (``jzuern/heatnet-pub``)::

    ROOT/
      train/seq_00_day/00/fl_rgb/fl_rgb_1570722156_952177040.png            left color camera
      train/seq_00_day/00/fl_ir_aligned/fl_ir_aligned_1570722156_952177040.png   left thermal, 16 bits, aligned
      train/seq_00_day/00/fl_rgb_labels/fl_rgb_labels_1570722156_952177040.png   a network's, by day
      train/seq_01_night/..., fl_ir/, fr_rgb/, fr_ir/                        (the other cameras are not read)
      test/day/ImagesRGB/NAME_rgb.png                                        32 pairs by day, 32 by night
      test/day/ImagesIR/NAME_ir.png
      test/day/SegmentationClass/NAME.npy                                    labels drawn by hand
      test/night/...

The numbers of a name are seconds and nanoseconds: ``time``. The classes are 0 road, 1 sidewalk, 2 building,
3 curb, 4 fence, 5 pole, 6 vegetation, 7 terrain, 8 sky, 9 person, 10 car, 11 bicycle, 12 background, 13
ignore: the list ``freiburg_thermal``. A folder of train or test alone, or their contents, is read as well.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._beside import with_beside
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_freiburg_thermal"]

_PREFIX = re.compile(r"fl_(?:rgb|ir_aligned)_")
_ENDS = ("_rgb", "_ir")
_STAMP = re.compile(r"(?:.*_)?(\d{10})_(\d{1,10})")


@register_dataset(
    "freiburg_thermal",
    title="Freiburg Thermal",
    bands=("rgb", "tir"),
    source="https://github.com/jzuern/heatnet-pub",
    license="see its authors' page",
    marks=(
        ("train/seq_*/*/fl_rgb", "train/seq_*/*/fl_ir_aligned"),
        ("seq_*/*/fl_rgb", "seq_*/*/fl_ir_aligned"),
        ("test/*/ImagesRGB", "test/*/ImagesIR"),
    ),
)
def read_freiburg_thermal(root: Path) -> Frames:
    """Read the frames of Freiburg Thermal in ``root``, with ``labels`` where they are there."""
    frames = pair_groups(
        root, _groups(root), "train/seq_00_day/00/fl_rgb and .../fl_ir_aligned, test/day/ImagesRGB", stem=_stem
    )
    frames = with_beside(frames, labels=_labels)
    return frames.assign(time=[_time(Path(name).name) for name in frames.names])


def _groups(root: Path) -> Iterator[Group]:
    for folder in sorted([*root.glob("train/seq_*/*/fl_rgb"), *root.glob("seq_*/*/fl_rgb")]):
        drive = folder.parent
        if (drive / "fl_ir_aligned").is_dir():
            columns = {
                "split": "train",
                "condition": _condition(drive.parent.name),
                "sequence": f"{drive.parent.name}/{drive.name}",
            }
            name = drive.relative_to(root).as_posix()
            yield Group(name, {Band.RGB: folder, Band.TIR: drive / "fl_ir_aligned"}, columns)
    for folder in sorted(root.glob("test/*/ImagesRGB")):
        part = folder.parent
        if (part / "ImagesIR").is_dir():
            columns = {"split": "test", "condition": _condition(part.name)}
            name = part.relative_to(root).as_posix()
            yield Group(name, {Band.RGB: folder, Band.TIR: part / "ImagesIR"}, columns)


def _condition(name: str) -> str | None:
    return next((word for word in ("day", "night") if word in name.lower()), None)


def _stem(stem: str) -> str:
    bare = _PREFIX.sub("", stem, count=1)
    return next((bare.removesuffix(end) for end in _ENDS if bare.endswith(end)), bare)


def _labels(name: str) -> list[str]:
    folder, _, stem = name.rpartition("/")
    return [
        f"{folder}/fl_rgb_labels/fl_rgb_labels_{stem}.png",
        *(f"{folder}/SegmentationClass/{stem}{end}.npy" for end in ("", "_rgb", "_ir")),
    ]


def _time(stem: str) -> str | None:
    match = _STAMP.fullmatch(stem)
    if match is None:
        return None
    # nanoseconds without leading zeros; a tenth digit is a second carried over
    nanoseconds = int(match[1]) * 10**9 + int(match[2])
    moment = datetime.datetime.fromtimestamp(nanoseconds // 10**9, datetime.UTC).replace(tzinfo=None)
    return (moment + datetime.timedelta(microseconds=nanoseconds % 10**9 // 1000)).isoformat()
