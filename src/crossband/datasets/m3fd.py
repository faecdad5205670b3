"""M3FD: aligned scenes of roads, campuses and resorts by day and night (Liu et al., CVPR 2022).

Expected layout, as published (``JinyuanLiu-CV/TarDAL``), of either archive, ``M3FD_Detection`` (4,200
pairs) or ``M3FD_Fusion`` (300 pairs)::

    ROOT/
      Vis/00000.png       RGB, 1024x768
      Ir/00000.png        thermal, 8 bit, the same name is the same scene
      Annotation/         objects, Pascal VOC (not read)
      meta/train.txt      a name a line; as TarDAL's code lays the data out, with val.txt (optional)

No splits are published with the images. Single pairs named ``M3FD_00471_vi.png`` and ``M3FD_00471_ir.png``
are read by their suffixes, without this adapter.
"""

from __future__ import annotations

from pathlib import Path

from ..frames import Frames
from ._pairs import pair_folders
from ._registry import register_dataset

__all__ = ["read_m3fd"]

_NAME = "[0-9]" * 5 + ".png"


@register_dataset(
    "m3fd",
    title="M3FD",
    bands=("rgb", "tir"),
    source="https://github.com/JinyuanLiu-CV/TarDAL",
    license="none stated for the images",
    marks=((f"Vis/{_NAME}", f"Ir/{_NAME}"),),
)
def read_m3fd(root: Path) -> Frames:
    """Read the frames of M3FD in ``root``."""
    frames = pair_folders(root, rgb=root / "Vis", tir=root / "Ir")
    splits = {
        Path(line.strip()).stem: split
        for split in ("train", "val", "test")
        for line in _lines(root / "meta" / f"{split}.txt")
    }
    return frames.assign(split=[splits.get(name) for name in frames.names]) if splits else frames


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.is_file() else []
