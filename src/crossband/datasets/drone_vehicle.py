"""DroneVehicle: vehicles from a drone by day and night, RGB and thermal (Sun et al., IEEE TCSVT 2022).

"Drone-based RGB-Infrared Cross-Modality Vehicle Detection via Uncertainty-Aware Learning". Expected layout, as
published (``VisDrone/DroneVehicle``)::

    ROOT/
      train/trainimg/00001.jpg       RGB, 840x712: 640x512 in a white border of 100 pixels
      train/trainimgr/00001.jpg      thermal, 8 bits, likewise
      train/trainlabel/00001.xml     oriented boxes of the RGB image, polygons of four corners
      train/trainlabelr/00001.xml    those of the thermal image
      val/valimg/..., test/testimg/...

17,990, 1,469 and 8,980 pairs. The border is cut by the paths of the manifest,
``00001{100,100,640,512}.jpg`` (see :mod:`crossband.io.composite`), so whatever reads a frame has 640x512
pixels, and boxes are given in them. ``boxes`` are the bounds of the polygons of the thermal image, of which
more are labeled, and ``rgb_boxes`` those of the other. Misspelled classes ("feright car", "truvk") are put
right, and those named "*" are left out.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._beside import with_beside
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["VIEW", "read_drone_vehicle"]

VIEW = (100, 100, 640, 512)
"""Left, top, width and height of the picture in the border, pixels."""

_SPLITS = ("train", "val", "test")


@register_dataset(
    "drone_vehicle",
    title="DroneVehicle",
    bands=("rgb", "tir"),
    source="https://github.com/VisDrone/DroneVehicle",
    license="none stated",
    marks=tuple((f"{split}/{split}img", f"{split}/{split}imgr") for split in _SPLITS),
)
def read_drone_vehicle(root: Path) -> Frames:
    """Read the frames of DroneVehicle in ``root``, without their border, with ``boxes`` and ``rgb_boxes``."""
    groups = [
        Group(
            split,
            {Band.RGB: root / split / f"{split}img", Band.TIR: root / split / f"{split}imgr"},
            {"split": split},
        )
        for split in _SPLITS
        if (root / split / f"{split}img").is_dir() and (root / split / f"{split}imgr").is_dir()
    ]
    frames = pair_groups(root, groups, "train/trainimg and train/trainimgr")
    cut = {band.value: frames.table[band.value].map(_cut, na_action="ignore") for band in frames.bands}
    return with_beside(
        frames.assign(**cut),
        boxes=lambda name: _boxes(name, "labelr"),
        rgb_boxes=lambda name: _boxes(name, "label"),
    )


def _cut(path: str) -> str:
    """The path of a file as that of its picture."""
    file = Path(path)
    return file.with_name(f"{file.stem}{{{','.join(map(str, VIEW))}}}{file.suffix}").as_posix()


def _boxes(name: str, kind: str) -> str:
    split, stem = name.split("/")
    return _cut(f"{split}/{split}{kind}/{stem}.xml")
