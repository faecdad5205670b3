"""Place recognition sets whose file names say where: ``@UTM_EAST@UTM_NORTH@...@.jpg``.

The common form of Pitts30k, St Lucia, MSLS, Tokyo 24/7, SF-XL, SVOX, Nordland, Eynsham and more, as written by
``gmberton/VPR-datasets-downloader`` (Berton et al., "Deep Visual Geo-localization Benchmark", CVPR 2022)::

    ROOT/
      images/train/database/@0585001.12@4477001.50@17@T@040.44@-0079.99@PANO@TILE@HEADING@PITCH@ROLL@HEIGHT@TIME@NOTE@.jpg
      images/train/queries/@...jpg
      images/val/..., images/test/...         also gallery/ for database/, and queries_night/, queries_v1/, ...

or a split's folders without ``images``, or ``database`` and ``queries`` alone (then the split is test). A
name has east and north in meters, the number and the letter of the UTM zone, latitude, longitude, and
further fields, each of which may be empty: ``x``, ``y``, ``lat``, ``lon``, ``heading`` (degrees), ``time``
(of ``YYYYMMDD_hhmmss``) and ``note``. Images of train and val keep these splits and have ``role``,
``database`` or ``queries``; those of test are ``gallery`` and ``query``. What a folder ``queries_night`` is
called beyond its first word is ``condition``.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ..progress import track
from ._registry import images_by_stem, register_dataset

__all__ = ["parse_place", "read_vpr"]

_SPLITS = ("train", "val", "test")
_FOLDER = re.compile(r"(database|gallery|queries)(?:_(.+))?")
_FIELDS = {5: "lat", 6: "lon", 9: "heading"}


@register_dataset(
    "vpr",
    title="Place recognition sets with positions in the names (VPR-datasets-downloader)",
    bands=("rgb",),
    source="https://github.com/gmberton/VPR-datasets-downloader",
    license="that of the images",
    marks=tuple(
        (f"{base}{folder}/@*@*.*",)
        for base in (*(f"images/{split}/" for split in _SPLITS), *(f"{split}/" for split in _SPLITS), "")
        for folder in ("database*", "gallery*", "queries*")
    ),
)
def read_vpr(root: Path) -> Frames:
    """Read the images below ``root`` with the positions in their names.

    Raises:
        CrossbandError: no such folder, or a name without east and north.
    """
    base = root / "images" if (root / "images").is_dir() else root
    folders = [
        (split, folder, match)
        for split in (*_SPLITS, "")
        if (base / split).is_dir()
        for folder in sorted((base / split).iterdir())
        if folder.is_dir() and (match := _FOLDER.fullmatch(folder.name))
    ]
    rows: list[dict[str, object]] = []
    for split, folder, match in track(folders, len(folders), "scanning", "folders"):
        role = "queries" if match[1] == "queries" else "database"
        of_test = split in ("test", "")
        for key, path in images_by_stem(folder, recursive=True).items():
            rows.append(
                {
                    "frame": f"{folder.relative_to(base).as_posix()}/{key}",
                    "rgb": path.relative_to(root).as_posix(),
                    "split": split if not of_test else "query" if role == "queries" else "gallery",
                    "role": role,
                    "condition": match[2],
                    **parse_place(path.name),
                }
            )
    if not rows:
        raise CrossbandError(f"{root} does not have the layout images/test/database and images/test/queries")
    wanted = dict.fromkeys(key for row in rows for key, value in row.items() if value is not None)
    return Frames.make([{key: row.get(key) for key in wanted} for row in rows], root)


def parse_place(name: str) -> dict[str, object]:
    """Parse what the name of a file says: ``x``, ``y``, and of the rest what is there.

    Raises:
        CrossbandError: east and north are not there.

    Example:
        >>> parse_place("@0585001.12@4477001.50@17@T@040.44@-079.99@p1@@090@@@@20230712_101500@@.jpg")["time"]
        '2023-07-12T10:15:00'
    """
    fields = name.rpartition("@")[0].split("@")
    found: dict[str, object] = {}
    try:
        found["x"], found["y"] = float(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        raise CrossbandError(f"{name} is not named by its place, as in @EAST@NORTH@...@.jpg") from None
    for place, column in _FIELDS.items():
        if len(fields) > place and fields[place]:
            try:
                found[column] = float(fields[place])
            except ValueError:
                continue
    if len(fields) > 13 and fields[13]:
        found["time"] = _time(fields[13])
    if len(fields) > 14 and fields[14]:
        found["note"] = fields[14]
    return found


def _time(text: str) -> str:
    try:
        return datetime.datetime.strptime(text, "%Y%m%d_%H%M%S").isoformat()
    except ValueError:
        return text
