"""Boson-nighttime: satellite RGB and thermal UAV images of a desert at night (Xiao et al., IROS 2023).

Published (``arplaboratory/satellite-thermal-geo-localization``) as HDF5, crops of one satellite map and of
one thermal map, 512x512::

    ROOT/                             satellite_0_thermalmapping_135
      train_database.h5               satellite crops: image_data (N, 512, 512, 3) uint8 and image_name
      train_queries.h5                thermal crops, likewise; gray in three equal channels
      val_database.h5, val_queries.h5, test_database.h5, test_queries.h5
      extended_database.h5            satellite crops outside the flights (not read)

A manifest holds paths of images, so the crops are read as image files, which
:func:`extract_boson_nighttime` writes once (it needs the library ``h5py``)::

    ROOT/
      train_database/@1203@4571.png   RGB; the crop's center on the map, row then column
      train_queries/@1203@4571.png    thermal, one channel
      val_database/ ...

``x`` and ``y`` are the column and the row on the map, whose pixel is about a meter. Crops of the two bands
with one center are one frame; the others are frames of one band, to be matched by distance.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image

from ..bands import Band
from ..errors import CrossbandError, MissingExtraError
from ..files import write_file
from ..frames import Frames
from ..progress import track
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["extract_boson_nighttime", "read_boson_nighttime"]

_SPLITS = ("train", "val", "test")
_PARTS = {"database": Band.RGB, "queries": Band.TIR}


@register_dataset(
    "boson_nighttime",
    title="Boson-nighttime",
    bands=("rgb", "tir"),
    source="https://github.com/arplaboratory/satellite-thermal-geo-localization",
    license="none stated for the images (satellite images by Bing)",
    marks=tuple(
        (f"{split}_database{kind}", f"{split}_queries{kind}")
        for split in _SPLITS
        for kind in ("/@*@*.png", ".h5")
    ),
)
def read_boson_nighttime(root: Path) -> Frames:
    """Read the frames of Boson-nighttime, extracted, in ``root``.

    Raises:
        CrossbandError: only the HDF5 files are there, nothing of this layout, or a name without center.
    """
    groups = list(_groups(root))
    if not groups and next(root.glob("*_queries.h5"), None):
        raise CrossbandError(
            f"{root} has Boson-nighttime as HDF5; write its images once with "
            "crossband.datasets.boson_nighttime.extract_boson_nighttime(ROOT, OUT), then scan OUT"
        )
    frames = pair_groups(root, groups, "train_database/@ROW@COLUMN.png and train_queries/@ROW@COLUMN.png")
    centers = [_center(name) for name in frames.names]
    return frames.assign(x=[x for x, _ in centers], y=[y for _, y in centers])


def extract_boson_nighttime(root: str | Path, out: str | Path) -> int:
    """Write the crops of the HDF5 files in ``root`` as PNG files below ``out``; those there already stay.

    Returns:
        how many images there are now.

    Raises:
        CrossbandError: h5py is not installed, or there is no such HDF5 file.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        raise MissingExtraError("HDF5 is read by the library h5py; install it with pip install h5py") from None
    files = [Path(root) / f"{split}_{part}.h5" for split in _SPLITS for part in _PARTS]
    files = [file for file in files if file.is_file()]
    if not files:
        raise CrossbandError(f"no train_database.h5, train_queries.h5, ... in {root}")
    written = 0
    for file in files:
        with h5py.File(file, "r") as content:
            written += _extract(content, Path(out) / file.stem, gray=file.stem.endswith("queries"))
    return written


def _extract(content: Any, out: Path, gray: bool) -> int:
    out.mkdir(parents=True, exist_ok=True)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in content["image_name"]]
    for row, name in enumerate(track(names, len(names), f"extracting {out.name}")):
        file = out / f"{Path(name).name.removesuffix('.png')}.png"
        if not file.exists():
            crop = content["image_data"][row]
            write_file(file, PIL.Image.fromarray(crop[..., 0] if gray else crop).save)
    return len(set(names))  # a center drawn twice is one crop


def _groups(root: Path) -> Iterator[Group]:
    for split in _SPLITS:
        folders = {band: root / f"{split}_{part}" for part, band in _PARTS.items()}
        if all(folder.is_dir() for folder in folders.values()):
            yield Group(split, folders, {"split": split})


def _center(name: str) -> tuple[float, float]:
    try:
        _, row, column, *_ = Path(name).name.split("@")
        return float(column), float(row)
    except ValueError:
        raise CrossbandError(f"{name} is not named after its crop's center, as in @ROW@COLUMN.png") from None
