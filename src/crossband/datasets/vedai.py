"""VEDAI: vehicles in aerial images, color and near infrared (Razakarivony and Jurie, JVCIR 2016).

"Vehicle Detection in Aerial Imagery: A small target detection benchmark". Expected layout, as its archives
unpack, of either size or both, in one folder or in folders ``512`` and ``1024``::

    ROOT/
      Vehicules512/00000000_co.png      color, 512x512 (or Vehicules1024, 1024x1024)
      Vehicules512/00000000_ir.png      near infrared, the same scene
      Annotations512/00000000.txt       oriented boxes, one per line
      Annotations512/fold01.txt, fold01test.txt, ... fold10test.txt: the names of ten folds
      Annotations512/annotation512.txt  all boxes in one file (not read)

``split_1`` to ``split_10`` are the folds' ``train`` and ``test``, and ``split`` is that of the first;
papers give the mean of ten. ``boxes`` are the bounds of the oriented ones. Where both sizes are there,
names begin with theirs.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ._beside import lines_of, with_beside, with_trials
from ._pairs import pair_suffixes
from ._registry import register_dataset

__all__ = ["read_vedai"]

_SIZES = ("512", "1024")
_BASES = ("", "512/", "1024/")
_NAME = "[0-9]" * 8


@register_dataset(
    "vedai",
    title="VEDAI",
    bands=("rgb", "nir"),
    source="https://downloads.greyc.fr/vedai/",
    license="its authors' terms of use, in a file beside the archives",
    marks=tuple(
        (f"{base}Vehicules{size}/{_NAME}_co.png", f"{base}Vehicules{size}/{_NAME}_ir.png")
        for base in _BASES
        for size in _SIZES
    ),
)
def read_vedai(root: Path) -> Frames:
    """Read the frames of VEDAI in ``root``, with ``boxes`` and the splits of its folds.

    Raises:
        CrossbandError: nothing of this layout, or no name that both bands have.
    """
    places = [(size, base) for size in _SIZES for base in _BASES if (root / f"{base}Vehicules{size}").is_dir()]
    if not places:
        raise CrossbandError(f"{root} has no Vehicules512 or Vehicules1024")
    parts, trials = [], [dict[str, str]() for _ in range(10)]
    for size, base in places:
        ahead = f"{size}/" if len(places) > 1 else ""
        folder = root / f"{base}Vehicules{size}"
        part = pair_suffixes(root, {Band.RGB: "_co", Band.NIR: "_ir"}, folder=folder)
        labels = f"{base}Annotations{size}"
        part = with_beside(part, boxes=(labels + "/{}.txt").format)
        parts.append(part.assign(frame=[ahead + name for name in part.names]).table)
        for number, trial in enumerate(trials, 1):
            for split, end in (("train", ""), ("test", "test")):
                names = lines_of(root / labels / f"fold{number:02d}{end}.txt")
                trial.update({f"{ahead}{int(name):08d}": split for name in names if name.isdigit()})
    frames = Frames.make(pd.concat(parts, ignore_index=True), root)
    return with_trials(frames, [trial for trial in trials if trial])
