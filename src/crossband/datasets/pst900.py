"""PST900: tunnels, mines and caves with labels of four classes and background (Shivakumar et al., ICRA 2020).

Expected layout, as published (``PST900_RGBT_Dataset``)::

    ROOT/
      train/rgb/NAME.png           1280x720, 597 frames; below test/ 288
      train/thermal/NAME.png       8 bit
      train/thermal_raw/NAME.png   16 bit, the camera's counts (optional); depth/ (not read)
      train/labels/NAME.png        0 background, 1 fire extinguisher, 2 backpack, 3 hand drill, 4 survivor

``tir`` is ``thermal``, which the published figures are of; the column ``thermal_raw`` has the deep images.
There is no val set: every tenth training frame, by name, is one here.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._labeled import with_val
from ._registry import images_by_stem, register_dataset

__all__ = ["read_pst900"]


@register_dataset(
    "pst900",
    title="PST900",
    bands=("rgb", "tir"),
    source="https://github.com/ShreyasSkandanS/pst900_thermal_rgb",
    license="GPL-3.0 for the repository; none stated for the images",
    marks=(("train/rgb", "train/thermal", "train/labels"),),
)
def read_pst900(root: Path) -> Frames:
    """Read the frames of PST900 in ``root``; a frame's name is its split and its file's stem."""
    rows = []
    for split in ("train", "test"):
        folder = root / split
        if not folder.is_dir():
            continue
        found = {part: images_by_stem(folder / part) for part in ("rgb", "thermal", "labels")}
        raw = images_by_stem(folder / "thermal_raw") if (folder / "thermal_raw").is_dir() else {}
        for name in sorted(found["rgb"].keys() & found["thermal"].keys()):
            rows.append(
                {
                    "frame": f"{split}/{name}",
                    "rgb": f"{split}/rgb/{found['rgb'][name].name}",
                    "tir": f"{split}/thermal/{found['thermal'][name].name}",
                    "thermal_raw": f"{split}/thermal_raw/{raw[name].name}" if name in raw else None,
                    "split": split,
                    "labels": f"{split}/labels/{found['labels'][name].name}"
                    if name in found["labels"]
                    else None,
                }
            )
    if not rows:
        raise CrossbandError(f"no stem is in both rgb and thermal of {root}; get the complete dataset")
    frames = Frames.make(rows, root)
    return frames.assign(split=with_val(frames.table["split"].tolist()))
