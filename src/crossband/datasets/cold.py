"""COLD, the CoSy localization database: robots in three laboratories, by cloud, sun and night.

Pronobis and Caputo, IJRR 2009. Expected layout, as its archives unpack, in folders of your own or not::

    ROOT/
      saarbruecken/                       or nothing
        seq4_cloudy1/
          std_cam/t1152283190.123456_x1.234567_y-0.345678_a0.567890.jpeg
          std_cam/places.lst              optional, or localization/places.lst: FILE PLACE, a line an image
        seq4_sunny3/std_cam/..., seq4_night3/std_cam/...

The perspective camera is read; the omnidirectional one (``omni_cam``) is not. The pose is in the file's name:
time in seconds, x and y in meters, heading a in radians.

In the Saarbruecken laboratory seq1 is the standard and seq2 the extended path through part A, seq3 and seq4
likewise through part B. Alijani and Rahtu (2021, table II) train on the extended path of part B:
``seq4_sunny3`` is ``train``, ``seq4_cloudy1`` the gallery, ``seq4_cloudy2`` and ``seq4_night3`` are queries,
and ``seq4_sunny1``, which their section IV names besides, is ``val`` here. All others have no split.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ..progress import track
from ._registry import images_by_stem, register_dataset

__all__ = ["parse_pose", "read_cold"]

_NUMBER = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
_NAME = re.compile(rf"t{_NUMBER}_x{_NUMBER}_y{_NUMBER}_a{_NUMBER}")
_SPLITS = {
    "seq4_sunny3": "train",
    "seq4_sunny1": "val",
    "seq4_cloudy1": "gallery",
    "seq4_cloudy2": "query",
    "seq4_night3": "query",
}
_DEPTHS = ("", "*/", "*/*/")


@register_dataset(
    "cold",
    title="COLD, the CoSy localization database",
    bands=("rgb",),
    source="https://www.cas.kth.se/COLD",
    license="for research, as its authors say",
    marks=tuple((f"{depth}seq*/std_cam/t*_x*_y*_a*.jpeg",) for depth in _DEPTHS),
)
def read_cold(root: Path) -> Frames:
    """Read the frames of COLD in ``root``, with ``x``, ``y``, ``heading``, ``place`` and ``condition``.

    Raises:
        CrossbandError: no sequence, or an image whose name holds no pose.
    """
    folders = sorted(folder for depth in _DEPTHS for folder in root.glob(f"{depth}seq*/std_cam"))
    rows: list[dict[str, object]] = []
    for folder in track(folders, len(folders), "scanning", "sequences"):
        places = _places(folder)
        sequence = folder.parent.name
        for stem, path in images_by_stem(folder).items():
            time, x, y, heading = parse_pose(path)
            rows.append(
                {
                    "frame": f"{folder.parent.relative_to(root).as_posix()}/{stem}",
                    "rgb": path.relative_to(root).as_posix(),
                    "split": _SPLITS.get(sequence),
                    "place": places.get(path.name),
                    "sequence": sequence,
                    "camera": "std_cam",
                    "time": f"{time:.6f}",
                    "x": x,
                    "y": y,
                    "condition": _condition(sequence),
                    "heading": heading,
                }
            )
    if not rows:
        raise CrossbandError(f"{root} does not have the layout [LAB/]seqN_CONDITION/std_cam")
    return Frames.make(rows, root)


def parse_pose(path: Path) -> tuple[float, float, float, float]:
    """Parse time (s), x, y (m) and heading (rad) of an image by its name.

    Raises:
        CrossbandError: the name holds no pose.

    Example:
        >>> parse_pose(Path("t1152283190.5_x1.25_y-0.5_a0.1.jpeg"))
        (1152283190.5, 1.25, -0.5, 0.1)
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise CrossbandError(f"{path} is not named by its pose, as in tTIME_xX_yY_aA.jpeg; keep COLD's names")
    time, x, y, heading = map(float, match.groups())
    return time, x, y, heading


def _condition(sequence: str) -> str | None:
    name = re.sub(r"^seq\d+_|\d+$", "", sequence)
    return name or None


def _places(folder: Path) -> dict[str, str]:
    for file in (folder / "places.lst", folder.parent / "localization" / "places.lst"):
        if file.is_file():
            lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
            return {Path(line[0]).name: line[1] for line in lines if len(line) > 1}
    return {}
