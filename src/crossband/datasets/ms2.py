"""MS2: drives by day, night and rain with stereo pairs of color, near-infrared and thermal cameras.

Shin, Park and Kweon, "Deep Depth Estimation from Thermal Image", CVPR 2023. Expected layout, as published
(``UkcheolShin/MS2-MultiSpectralStereoDataset``)::

    ROOT/
      sync_data/_2021-08-06-10-59-33/
        rgb/img_left/000000.png               RGB, 1224x384; and img_right
        nir/img_left/000000.png               near infrared
        thr/img_left/000000.png               thermal, 16 bits, the sensor's counts
        rgb/img_left_timestamp.txt            nanoseconds, a line a frame; and for each camera
        gps_imu/data/000000.txt               a number a line, longitude and latitude first and third
      odom/_2021-08-06-10-59-33/rgb/000000.txt   4x4 pose of a camera in its drive (optional)
      proj_depth/...                          (not read)
      train_list.txt, val_list.txt, test_day_list.txt, test_night_list.txt, test_rainy_list.txt

``camera`` is ``left``: the right images see the same places and have rows of their own only with
``side="right"``. The cameras stand side by side and see different views. Of the two coordinates the one
beyond 90 is the longitude. Odometry begins anew with each drive, so it is in columns of its own, ``odom_x``
(meters to the right) and ``odom_y`` (ahead of the first frame). ``condition`` is that of the list (``day``,
``night``, ``rain``), else night from 19 to 6 o'clock by the name of the drive. Drives in no list are
``split`` nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from ..bands import Band
from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from ..progress import track
from ._beside import lines_of
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_ms2"]

_CAMERAS = {Band.RGB: "rgb", Band.NIR: "nir", Band.TIR: "thr"}
_LISTS = {
    "train_list": ("train", None),
    "val_list": ("val", None),
    "test_day_list": ("test", "day"),
    "test_night_list": ("test", "night"),
    "test_rainy_list": ("test", "rain"),
}
_DRIVES = "sync_data/_20[0-9][0-9]-*"
_SIDES = ("left", "right")


@register_dataset(
    "ms2",
    title="MS2, multi-spectral stereo",
    bands=("rgb", "nir", "tir"),
    source="https://github.com/UkcheolShin/MS2-MultiSpectralStereoDataset",
    license="see its authors' page",
    marks=((f"{_DRIVES}/thr/img_left",),),
)
def read_ms2(root: Path, side: Literal["left", "right"] = "left") -> Frames:
    """Read the frames of MS2 in ``root``, with time, position and odometry where they are there.

    Args:
        root: the folder of the lists.
        side: the camera of each stereo pair.

    Raises:
        CrossbandError: nothing of this layout, or a file of positions that holds no numbers.
    """
    if side not in _SIDES:
        raise unknown_name("side", side, _SIDES)
    frames = pair_groups(root, _groups(root, side), f"{_DRIVES}/rgb/img_{side}")
    rows = []
    moments = {drive: _moments(root / "sync_data" / drive, side) for drive in _drives(frames)}
    for name in track(frames.names, len(frames), "reading positions", "frames"):
        drive, stem = name.split("/")
        rows.append(_position(root, drive, stem) | {"time": _moment(moments[drive], stem)})
    told = {key: [row.get(key) for row in rows] for key in ("time", "lat", "lon", "odom_x", "odom_y")}
    return frames.assign(**{key: found for key, found in told.items() if any(v is not None for v in found)})


def _drives(frames: Frames) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in frames.names))


def _groups(root: Path, side: str) -> Iterator[Group]:
    told = {drive: said for name, said in _LISTS.items() for drive in lines_of(root / f"{name}.txt")}
    for drive in sorted(root.glob(_DRIVES)):
        folders = {band: drive / name / f"img_{side}" for band, name in _CAMERAS.items()}
        folders = {band: folder for band, folder in folders.items() if folder.is_dir()}
        if not folders:
            continue
        split, condition = told.get(drive.name, (None, None))
        columns = {
            "split": split,
            "condition": condition or _by_clock(drive.name),
            "sequence": drive.name.lstrip("_"),
            "camera": side,
        }
        yield Group(drive.name, folders, columns)


def _by_clock(drive: str) -> str | None:
    try:
        hour = datetime.datetime.strptime(drive, "_%Y-%m-%d-%H-%M-%S").hour
    except ValueError:
        return None
    return "day" if 6 <= hour < 19 else "night"


def _moments(drive: Path, side: str) -> list[str]:
    files = (drive / name / f"img_{side}_timestamp.txt" for name in _CAMERAS.values())
    return next((lines for file in files if (lines := lines_of(file))), [])


def _moment(lines: list[str], stem: str) -> str | None:
    if not stem.isdigit() or int(stem) >= len(lines) or not lines[int(stem)].isdigit():
        return None
    seconds, nanoseconds = divmod(int(lines[int(stem)]), 10**9)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
    return moment.replace(microsecond=nanoseconds // 1000).isoformat()


def _position(root: Path, drive: str, stem: str) -> dict[str, object]:
    found: dict[str, object] = {}
    told = _numbers(root / "sync_data" / drive / "gps_imu" / "data" / f"{stem}.txt")
    if len(told) > 2:
        lon, lat = (told[0], told[2]) if abs(told[0]) > 90 else (told[2], told[0])
        found |= {"lat": lat, "lon": lon}
    pose = _numbers(root / "odom" / drive / "rgb" / f"{stem}.txt")
    if len(pose) == 16:
        matrix = np.reshape(pose, (4, 4))
        found |= {"odom_x": float(matrix[0, 3]), "odom_y": float(matrix[2, 3])}
    return found


def _numbers(path: Path) -> list[float]:
    try:
        return [float(value) for line in lines_of(path) for value in line.split()]
    except ValueError:
        raise CrossbandError(f"{path} does not hold numbers only; use the dataset's original file") from None
