"""MicaSense RedEdge and Altum: five or six files a capture, each a band of 12 bits in 16.

Expected layout, as the cameras write it::

    ROOT/
      [SYNC0000SET/000/]IMG_0000_1.tif     blue; _2 green, _3 red, _4 near infrared, _5 red edge
      [SYNC0000SET/000/]IMG_0000_6.tif     Altum only: thermal, 160x120, centikelvin

Color is the three files _3, _2 and _1 read together; red edge is not read. The lenses lie side by side, so the
bands are shifted against each other by some pixels, more so near the ground.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._registry import images_by_stem, register_dataset

__all__ = ["read_micasense"]

_NAME = re.compile(r"(.*IMG_\d+)_([1-6])")
_DEPTHS = ("", "*/", "*/*/")


@register_dataset(
    "micasense",
    title="MicaSense RedEdge and Altum captures",
    bands=("rgb", "nir", "tir"),
    source="https://support.micasense.com",
    license="your own recordings",
    marks=tuple(tuple(f"{depth}IMG_*_{band}.tif" for band in range(1, 5)) for depth in _DEPTHS),
)
def read_micasense(root: Path) -> Frames:
    """Read the frames of a card of captures.

    Raises:
        CrossbandError: no file of that name.
    """
    captures: dict[str, dict[int, Path]] = {}
    for key, path in images_by_stem(root, recursive=True).items():
        if (match := _NAME.fullmatch(key)) is not None:
            captures.setdefault(match[1], {})[int(match[2])] = path
    rows = []
    for name, bands in captures.items():
        row: dict[str, object] = {"frame": name}
        if {1, 2, 3} <= set(bands):
            together = bands[3].with_name(re.sub(r"_3(?=\.[^.]*$)", "_{3,2,1}", bands[3].name))
            row["rgb"] = together.relative_to(root).as_posix()
        for band, number in (("nir", 4), ("tir", 6)):
            if number in bands:
                row[band] = bands[number].relative_to(root).as_posix()
        if "tir" in row:
            row["tir_units"] = "centikelvin"
        if len(row) > 1:
            rows.append(row)
    if not rows:
        raise CrossbandError(f"{root} has no IMG_NNNN_1.tif to _5.tif as MicaSense cameras write them")
    return Frames.make(rows, root)
