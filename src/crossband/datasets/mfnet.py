"""MFNet: urban scenes by day and night with labels of eight classes and background (Ha et al., IROS 2017).

Expected layout, as published (``ir_seg_dataset``)::

    ROOT/
      images/00001D.png    four channels, 640x480: RGB, and thermal (8 bit) in place of transparency
      labels/00001D.png    0 unlabeled, 1 car, 2 person, 3 bike, 4 curve, 5 car stop, 6 guardrail, 7 color cone,
      8 bump train.txt            784 names, a line each; val.txt 392 and test.txt 393
      test_day.txt         205 names (optional); test_night.txt 188

A name ends in D by day and in N by night; the lists of day and night have the last word where they are there.
One file is both bands: ``rgb`` reads its first three channels, ``tir`` its fourth. Mirrored copies (``_flip``)
that the authors' script makes are left out: training mirrors by itself.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._labeled import day_or_night, listed_names
from ._registry import images_by_stem, register_dataset

__all__ = ["read_mfnet"]

_NAME = "[0-9]" * 5 + "[DN].png"


@register_dataset(
    "mfnet",
    title="MFNet",
    bands=("rgb", "tir"),
    source="https://www.mi.t.u-tokyo.ac.jp/static/projects/mil_multispectral/",
    license="none stated",
    marks=((f"images/{_NAME}", f"labels/{_NAME}", "test.txt"),),
)
def read_mfnet(root: Path) -> Frames:
    """Read the frames of MFNet in ``root``."""
    images = {n: p for n, p in images_by_stem(root / "images").items() if not n.endswith("_flip")}
    labels = images_by_stem(root / "labels")
    known = images.keys() & labels.keys()
    lists = {split: listed_names(root / f"{split}.txt", known) for split in ("train", "val", "test")}
    splits: dict[str, str] = {}
    for split, names in lists.items():
        for name in names:
            if name in splits:
                raise CrossbandError(f"{name} is in {splits[name]}.txt and in {split}.txt of {root}; keep one")
            splits[name] = split
    conditions = {name: day_or_night(name) for name in images}
    for condition in ("day", "night"):
        conditions |= dict.fromkeys(listed_names(root / f"test_{condition}.txt", known), condition)
    return Frames.make(
        [
            {
                "frame": name,
                "rgb": f"images/{path.name}",
                "tir": f"images/{path.name}",
                "split": splits.get(name),
                "condition": conditions[name],
                "labels": f"labels/{labels[name].name}" if name in labels else None,
            }
            for name, path in sorted(images.items())
        ],
        root,
    )
