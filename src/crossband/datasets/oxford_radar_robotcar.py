"""Oxford Radar RobotCar: 32 drives through central Oxford in January 2019.

Barnes et al., ICRA 2020. Expected layout, as its archives unpack; of the cameras the left Grasshopper2 is read,
as by Alijani and Rahtu (2021)::

    ROOT/
      2019-01-10-12-32-52-radar-oxford-10k/
        mono_left/1547123572000000.png            raw: 8-bit Bayer mosaic, 1024x1024, fisheye
        mono_left_undistorted/1547123572000000.png  read instead, where present; see develop_images
        gps/ins.csv                               timestamp, ins_status, ..., northing, easting, ...
        gt/radar_odometry.csv                     source_timestamp, destination_timestamp, x, y, ..., yaw, ...

A file is named after its time in microseconds. ``x`` and ``y`` are meters east and north, less the first INS
position of the first drive: of the INS (``positions="ins"``), or of the optimized radar odometry, chained and
laid on each drive's first INS position and heading (``positions="odometry"``; it drifts, so drives agree less).
An image outside the time that is covered has no position.

The splits are table I of the paper: 2019-01-10-11-46 ``train``, 2019-01-10-12-32 ``gallery``,
2019-01-11-12-26 and 2019-01-16-14-15 ``query``. Other drives have none.

The images as they are published must be developed: their mosaic interpolated and, with the camera models of the
RobotCar SDK, their distortion taken away. :func:`develop_images` does so once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import PIL.Image

from ..errors import CrossbandError, unknown_name
from ..files import write_file
from ..frames import Frames
from ..io import read_image
from ..progress import track
from ._registry import images_by_stem, register_dataset

__all__ = ["chain_odometry", "demosaic", "develop_images", "read_oxford_radar_robotcar", "undistort"]

_CAMERA, _DEVELOPED = "mono_left", "mono_left_undistorted"
_DRIVE = re.compile(r"(\d{4}-\d{2}-\d{2}-\d{2}-\d{2})-\d{2}.*")
_SPLITS = {
    "2019-01-10-11-46": ("train", "sunny"),
    "2019-01-10-12-32": ("gallery", "cloudy"),
    "2019-01-11-12-26": ("query", "sunny"),
    "2019-01-16-14-15": ("query", "rain"),
}


@register_dataset(
    "oxford_radar_robotcar",
    title="Oxford Radar RobotCar",
    bands=("rgb",),
    source="https://oxford-robotics-institute.github.io/radar-robotcar-dataset",
    license="CC BY-NC-SA 4.0, after registering",
    marks=(
        ("20??-??-??-??-??-??*/mono_left", "20??-??-??-??-??-??*/gps/ins.csv"),
        ("20??-??-??-??-??-??*/mono_left_undistorted", "20??-??-??-??-??-??*/gps/ins.csv"),
    ),
)
def read_oxford_radar_robotcar(root: Path, positions: Literal["ins", "odometry"] = "ins") -> Frames:
    """Read the frames of the left camera of Oxford Radar RobotCar in ``root``.

    Args:
        root: the folder of the drives.
        positions: where ``x`` and ``y`` come from; see the module.

    Raises:
        CrossbandError: no drive, no images, or a file of positions that is missing or wrong.
    """
    if positions not in ("ins", "odometry"):
        raise unknown_name("source of positions", positions, ("ins", "odometry"))
    drives = sorted(path for path in root.iterdir() if path.is_dir() and _DRIVE.fullmatch(path.name))
    rows: list[dict[str, object]] = []
    origin: np.ndarray | None = None
    for drive in track(drives, len(drives), "scanning", "drives"):
        folder = drive / (_DEVELOPED if (drive / _DEVELOPED).is_dir() else _CAMERA)
        if not folder.is_dir():
            continue
        times, track_xy = _track(drive, positions)
        origin = track_xy[0] if origin is None else origin
        rows += _rows(root, drive, folder, times, track_xy - origin)
    if not rows:
        raise CrossbandError(f"{root} does not have the layout DRIVE/{_CAMERA}")
    return Frames.make(rows, root)


def _rows(
    root: Path, drive: Path, folder: Path, times: np.ndarray, path: np.ndarray
) -> Iterable[dict[str, object]]:
    images = images_by_stem(folder)
    match = _DRIVE.fullmatch(drive.name)
    assert match is not None
    split, condition = _SPLITS.get(match[1], (None, None))
    stamps = np.array([_stamp(file) for file in images.values()], np.float64)
    east, north = (np.interp(stamps, times, path[:, axis], left=np.nan, right=np.nan) for axis in (0, 1))
    for (stem, file), x, y in zip(images.items(), east, north, strict=True):
        yield {
            "frame": f"{drive.name}/{stem}",
            "rgb": file.relative_to(root).as_posix(),
            "split": split,
            "sequence": drive.name,
            "camera": _CAMERA,
            "time": stem,
            "x": x,
            "y": y,
            "condition": condition,
        }


def _stamp(file: Path) -> float:
    try:
        return float(int(file.stem))
    except ValueError:
        raise CrossbandError(
            f"{file} is not named by its time in microseconds; keep the dataset's names"
        ) from None


def _track(drive: Path, positions: str) -> tuple[np.ndarray, np.ndarray]:
    """Times in microseconds ``(n,)`` and east, north in meters ``(n, 2)`` of a drive."""
    ins = _table(drive / "gps" / "ins.csv", ["timestamp", "northing", "easting", "yaw"])
    ins = ins.sort_values("timestamp")
    if positions == "ins":
        return ins["timestamp"].to_numpy(float), ins[["easting", "northing"]].to_numpy(float)
    columns = ["source_timestamp", "destination_timestamp", "x", "y", "yaw"]
    odometry = _table(drive / "gt" / "radar_odometry.csv", columns).sort_values("source_timestamp")
    steps = odometry[["x", "y", "yaw"]].to_numpy(float)
    forward = chain_odometry(steps)
    # north-east-down: x ahead, y to the right, yaw clockwise from north
    heading = float(ins["yaw"].iloc[0])
    cos, sin = np.cos(heading), np.sin(heading)
    start = ins[["easting", "northing"]].to_numpy(float)[0]
    east = forward[:, 0] * sin + forward[:, 1] * cos
    north = forward[:, 0] * cos - forward[:, 1] * sin
    stamps = odometry[["source_timestamp", "destination_timestamp"]].to_numpy(float)
    times = np.concatenate([stamps[:1].min(1), stamps.max(1)])
    return times, np.stack([east, north], 1) + start


def chain_odometry(steps: np.ndarray) -> np.ndarray:
    """Chain relative motions into positions, ``(n, 3)`` to ``(n + 1, 2)``.

    X, y in the frame of the step before, and turn, ``(n, 3)`` to ``(n + 1, 2)``, from the origin.

    Example:
        >>> chain_odometry(np.array([[1, 0, np.pi / 2], [1, 0, 0]])).round(6).tolist()
        [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """
    heading = np.concatenate([[0.0], np.cumsum(steps[:, 2])[:-1]]) if len(steps) else np.zeros(0)
    cos, sin = np.cos(heading), np.sin(heading)
    moves = np.stack([cos * steps[:, 0] - sin * steps[:, 1], sin * steps[:, 0] + cos * steps[:, 1]], 1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(moves, 0)])


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise CrossbandError(f"no positions at {path}; unpack that archive of the dataset as well") from None
    except (ValueError, pd.errors.ParserError, OSError):
        raise CrossbandError(f"{path} cannot be read as a table") from None
    table = table.rename(columns=str.strip)
    missing = [column for column in columns if column not in table]
    if missing or not len(table):
        raise CrossbandError(f"{path} lacks {', '.join(missing) or 'any row'}; use the dataset's original file")
    return table


def develop_images(root: Path, models: Path, size: int = 512) -> int:
    """Write the images of every drive without mosaic and distortion into ``mono_left_undistorted``.

    What is there is kept, so that a stopped run goes on.

    Args:
        root: the folder of the drives.
        models: the SDK's folder ``models``, with ``mono_left_distortion_lut.bin``.
        size: the side of the images written, pixels.

    Returns:
        how many were written.

    Raises:
        CrossbandError: no camera model, or one of another camera.
    """
    table = _read_lut(models / f"{_CAMERA}_distortion_lut.bin")
    files = sorted(root.glob(f"20*/{_CAMERA}/*.png"))
    written = 0
    for file in track(files, len(files), "developing"):
        target = file.parents[1] / _DEVELOPED / file.name
        if target.is_file():
            continue
        picture = PIL.Image.fromarray(undistort(demosaic(read_image(file).pixels), table))
        write_file(target, picture.resize((size, size), PIL.Image.Resampling.BOX).save)
        written += 1
    return written


def _read_lut(path: Path) -> np.ndarray:
    """Where each pixel of an undistorted image lies in the distorted one: rows and columns, ``(2, n)``."""
    try:
        values = np.fromfile(path, np.float64)
    except OSError:
        raise CrossbandError(
            f"no camera model {path}; the models folder of the RobotCar SDK holds it"
        ) from None
    return values.reshape(2, -1)[::-1]  # the file has columns first


def demosaic(mosaic: np.ndarray) -> np.ndarray:
    """Demosaic RGGB Bayer pixels, uint8 ``(H, W)`` with even sides, bilinearly to ``(H, W, 3)``.

    Example:
        >>> demosaic(np.full((4, 4), 7, np.uint8))[0, 0].tolist()
        [7, 7, 7]
    """
    if mosaic.ndim == 3:
        mosaic = mosaic[..., 0]
    height, width = mosaic.shape
    values = mosaic.astype(np.float32)
    colors = np.zeros((height, width, 3), np.float32)
    where = np.zeros((height, width, 3), np.float32)
    for channel, row, column in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        colors[row::2, column::2, channel] = values[row::2, column::2]
        where[row::2, column::2, channel] = 1
    blurred, weight = _tent(colors), _tent(where)
    return np.where(where > 0, colors, blurred / weight).round().astype(np.uint8)


def _tent(image: np.ndarray) -> np.ndarray:
    """Weighted by 1, 2, 1 along both sides, with nothing beyond the border."""
    for axis in (0, 1):
        width = [(1, 1) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(image, width)
        n = image.shape[axis]
        low, mid, high = (np.take(padded, range(i, i + n), axis) for i in range(3))
        image = low + 2 * mid + high
    return image


def undistort(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Look each pixel up at its place in the distorted image, bilinearly; black where there is none.

    Args:
        image: uint8 ``(H, W, 3)``.
        table: rows and columns, float64 ``(2, H * W)``.

    Raises:
        CrossbandError: the table is of another size.
    """
    height, width = image.shape[:2]
    if table.shape[1] != height * width:
        raise CrossbandError(f"the camera model has {table.shape[1]} pixels but the image has {height * width}")
    rows, columns = table
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    rows, columns = np.where(inside, rows, 0), np.where(inside, columns, 0)
    top, left = np.minimum(rows.astype(int), height - 2), np.minimum(columns.astype(int), width - 2)
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    pixels = image.astype(np.float32)
    upper = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    lower = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    found = (upper * (1 - down) + lower * down) * inside[:, None]
    return found.round().astype(np.uint8).reshape(image.shape)
