"""Parrot Sequoia: a color photograph and four narrow bands a capture, near infrared among them.

Expected layout, as the camera writes it::

    ROOT/
      [0001/]IMG_170805_173944_0000_RGB.JPG      color, 4608x3456, rolling shutter (can be switched off)
      [0001/]IMG_170805_173944_0000_NIR.TIF      near infrared (790 nm), 1280x960, 10 bits in 16
      [0001/]IMG_170805_173944_0000_GRE.TIF      green; _RED red and _REG red edge (not read)

A name is date, time and running number; ``time`` is that of the camera's clock, left away where it was
never set (1970). The lenses lie side by side and the color camera sees more, so the bands are shifted and
scaled against each other. Positions come from EXIF, as for any image.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._registry import images_by_stem, register_dataset

__all__ = ["read_sequoia"]

_NAME = re.compile(r"(.*IMG_(\d{6})_(\d{6})_\d{4})_(GRE|NIR|RED|REG|RGB)", re.IGNORECASE)
_BANDS = {"RGB": "rgb", "NIR": "nir"}
_DEPTHS = ("", "*/", "*/*/")
_STEM = "IMG_" + "[0-9]" * 6 + "_" + "[0-9]" * 6 + "_" + "[0-9]" * 4


@register_dataset(
    "sequoia",
    title="Parrot Sequoia captures",
    bands=("rgb", "nir"),
    source="https://www.parrot.com",
    license="your own recordings",
    marks=tuple(
        (f"{depth}{_STEM}_NIR.[Tt][Ii][Ff]", f"{depth}{_STEM}_RE[DG].[Tt][Ii][Ff]") for depth in _DEPTHS
    ),
)
def read_sequoia(root: Path) -> Frames:
    """Read the frames of a card of captures.

    Raises:
        CrossbandError: no file of that name.
    """
    captures: dict[str, dict[str, object]] = {}
    for key, path in images_by_stem(root, recursive=True).items():
        match = _NAME.fullmatch(key)
        if match is not None and match[4].upper() in _BANDS:
            row = captures.setdefault(match[1], {"frame": match[1], "time": _time(match[2] + match[3])})
            row[_BANDS[match[4].upper()]] = path.relative_to(root).as_posix()
    if not captures:
        raise CrossbandError(f"{root} has no IMG_DATE_TIME_NUMBER_NIR.TIF as Parrot's Sequoia writes them")
    frames = Frames.make(list(captures.values()), root)
    return frames if frames.has("time") else Frames.make(frames.table.drop(columns="time"), root)


def _time(text: str) -> str | None:
    try:
        moment = datetime.datetime.strptime(text, "%y%m%d%H%M%S")
    except ValueError:
        return None
    return None if moment.year == 1970 else moment.isoformat()
