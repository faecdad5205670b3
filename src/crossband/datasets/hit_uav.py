"""HIT-UAV: thermal images from a UAV with boxes (Suo et al., "HIT-UAV: A high-altitude infrared thermal dataset
for Unmanned Aerial Vehicle-based object detection", Scientific Data 2023).

Published as ``normal_json``::

    ROOT/
      annotations/train.json   nearly COCO, with ``annotation`` and ``filename``; val.json, test.json
      train/0_100_30_0_03306.jpg   640x512, 8 bits; and val/, test/

A name says night (1) or day (0), altitude in meters, angle of the camera in degrees, weather, and a number;
frames of one altitude and angle are a ``sequence`` here, and
``height`` is the altitude as text, to choose frames by.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from ..errors import CrossbandError
from ..frames import Frames
from ._registry import images_by_stem, register_dataset

__all__ = ["read_hit_uav"]

_NAME = re.compile(r"(\d)_(\d+)_(\d+)_(\d)_(\d+)")
_SPLITS = ("train", "val", "test")


@register_dataset(
    "hit_uav",
    title="HIT-UAV",
    bands=("tir",),
    source="https://github.com/suojiashun/HIT-UAV-Infrared-Thermal-Dataset",
    license="CC BY 4.0",
    marks=tuple((f"annotations/{split}.json", f"{split}/*_*_*_*_*.jpg") for split in _SPLITS),
)
def read_hit_uav(root: Path) -> Frames:
    """Read the frames of HIT-UAV in ``root``, whichever of its parts are there.

    Raises:
        CrossbandError: nothing of this layout.
    """
    rows = []
    for split in _SPLITS:
        boxes = root / "annotations" / f"{split}.json"
        if not (boxes.is_file() and (root / split).is_dir()):
            continue
        for stem, path in sorted(images_by_stem(root / split).items()):
            row: dict[str, object] = {
                "frame": f"{split}/{stem}",
                "tir": path.relative_to(root).as_posix(),
                "split": split,
                "boxes": boxes.relative_to(root).as_posix(),
                "condition": pd.NA,
            }
            if (said := _NAME.fullmatch(stem)) is not None:
                row |= {
                    "condition": "night" if said[1] == "1" else "day",
                    "altitude": float(said[2]),
                    "pitch": -float(said[3]),
                    "sequence": f"{said[2]}m_{said[3]}deg",
                    "height": f"{said[2]}m",
                }
            rows.append(row)
    if not rows:
        raise CrossbandError(f"{root} does not have HIT-UAV's layout: annotations/val.json and val/*.jpg")
    return Frames.make(rows, root)
