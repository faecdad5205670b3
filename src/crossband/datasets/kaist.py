"""KAIST: pedestrians by day and night before a color and a thermal camera, aligned by a beam splitter.

Hwang et al., "Multispectral Pedestrian Detection: Benchmark Dataset and Baseline", CVPR 2015. Expected
layout, as published (``SoonminHwang/rgbt-ped-detection``; ``kaist-cvpr15.tar.gz``)::

    ROOT/
      images/set00/V000/visible/I00000.jpg          RGB, 640x512; or set00/... in ROOT itself
      images/set00/V000/lwir/I00000.jpg             thermal, 8 bits, the same name is the same moment
      annotations-xml-new-sanitized/set00/V000/I00000.xml   boxes, sanitized by Li et al. (BMVC 2018)
      annotations-xml-new/..., annotations-xml-15/...        boxes as XML, made anew
      annotations/set00/V000/I00000.txt             boxes as published, text taken from the VBB files
      imageSets/train-all-02.txt                    names of chosen frames (not read: take each n-th)

Of the folders of boxes the first that has a frame's file is read, in this order. Sets 00 to 05 are
``train`` and 06 to 11 ``test``; 00 to 02 and 06 to 08 are by day, the others by night, in each three
campus, road and downtown, which is ``place``. A video is a ``sequence``; papers train on each second or
twentieth frame and test on each twentieth (``every``).
"""

from __future__ import annotations

from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._beside import with_beside
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_kaist"]

_SETS = "set[0-1][0-9]"
_VIDEOS = "V[0-9][0-9][0-9]"
_PLACES = ("campus", "road", "downtown")
_BOXES = ("annotations-xml-new-sanitized", "annotations-xml-new", "annotations-xml-15", "annotations")


@register_dataset(
    "kaist",
    title="KAIST multispectral pedestrians",
    bands=("rgb", "tir"),
    source="https://github.com/SoonminHwang/rgbt-ped-detection",
    license="see its authors' page; their code is BSD-2-Clause",
    marks=tuple(
        (f"{base}{_SETS}/{_VIDEOS}/visible", f"{base}{_SETS}/{_VIDEOS}/lwir") for base in ("images/", "")
    ),
)
def read_kaist(root: Path) -> Frames:
    """Read the frames of KAIST in ``root``, named ``set00/V000/I00000``, with ``boxes``."""
    base = root / "images" if (root / "images").is_dir() else root
    groups = [
        Group(
            video.relative_to(base).as_posix(),
            {Band.RGB: video / "visible", Band.TIR: video / "lwir"},
            _columns(int(video.parent.name[3:]), video.relative_to(base).as_posix()),
        )
        for video in sorted(base.glob(f"{_SETS}/{_VIDEOS}"))
        if (video / "visible").is_dir() and (video / "lwir").is_dir()
    ]
    frames = pair_groups(root, groups, "images/set00/V000/visible and .../lwir")
    return with_beside(frames, boxes=_files)


def _columns(number: int, sequence: str) -> dict[str, object]:
    return {
        "split": "train" if number < 6 else "test",
        "condition": "night" if number // 3 % 2 else "day",
        "place": _PLACES[number % 3],
        "sequence": sequence,
    }


def _files(name: str) -> list[str]:
    return [f"{folder}/{name}.{'xml' if 'xml' in folder else 'txt'}" for folder in _BOXES]
