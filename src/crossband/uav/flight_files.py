"""The files of a flight: each reader gives a table, what it is of, and the image of each of its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..bands import parse_units
from ..data.reader import FrameReader
from ..datasets.check import usable_frames
from ..errors import CrossbandError
from ..frames import MANIFESTS, Frames, leaves_folder
from ..io import IMAGE_SUFFIXES, Image
from ..io.exif import exif_and_side, read_exif
from ..io.subtitles import read_subtitles
from ..io.video import read_video, video_times
from ..progress import note

__all__ = ["NEEDED", "Found", "images_with_exif", "kept_where", "manifest", "numbered_images", "video"]

NEEDED = ("lat", "lon", "altitude", "heading", "focal")
"""What must be known of every frame."""

Found = tuple[pd.DataFrame, Path, Callable[[int], Image]]
"""A table, what it is of, and the image of each of its rows."""

_LARGEST_TABLE = 1 << 28
_EVERY = 1.0  # seconds between two frames of a video that are taken
_DJI_THERMAL = re.compile(r"DJI_.*_T(?:_.*)?|DJI_.*_R", re.IGNORECASE)


def kept_where(table: pd.DataFrame, source: Path, where: dict[str, list[str]] | None) -> np.ndarray:
    """Return which rows conditions keep, bool.

    Raises:
        CrossbandError: no such column, or no row is left.
    """
    kept = np.ones(len(table), bool)
    for column, values in (where or {}).items():
        if column not in table:
            raise CrossbandError(f"the flight {source} has no column {column!r}")
        kept &= table[column].isin(values).to_numpy(bool)
    if not kept.any():
        asked = [f"{column} is {' or '.join(values)}" for column, values in (where or {}).items()]
        said = f" where {' and '.join(asked)}" if asked else ""
        raise CrossbandError(f"no frames of the flight {source} are left{said}")
    return kept


def manifest(path: Path, where: dict[str, list[str]] | None) -> Found:
    """Read a manifest with thermal images."""
    frames = Frames.read(path)
    if not frames.has("tir"):
        raise CrossbandError(f"the flight {path} has no thermal images; its column tir names them")
    frames = frames.select(frames.table["tir"].notna().to_numpy(bool))
    frames = frames.select(np.flatnonzero(kept_where(frames.table, path, where)))  # before any is looked at
    frames = usable_frames(frames, ["tir"])
    reader = FrameReader(frames)
    table = frames.table.copy()
    table["units"] = [units or "counts" for units in frames.units()]
    source = path.parent if path.name in MANIFESTS else path
    return table, source, lambda row: reader.image(row, "tir")


def _read_table(path: Path) -> pd.DataFrame:
    if path.stat().st_size > _LARGEST_TABLE:
        raise CrossbandError(f"{path} is larger than {_LARGEST_TABLE >> 20} MB; split the flight")
    try:
        return pd.read_csv(path, dtype={"file": "string", "units": "string", "sequence": "string"})
    except (ValueError, UnicodeDecodeError, OverflowError) as error:
        raise CrossbandError(f"{path} is not a table: {' '.join(str(error).split())[:100]}") from None


def _with_units(table: pd.DataFrame) -> pd.DataFrame:
    units = table["units"].fillna("counts") if "units" in table else "counts"
    return table.assign(units=units)


def _with_exif(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The table, with what it lacks from the images' own EXIF and XMP where all of them say it."""
    lacking = [name for name in (*NEEDED, "pitch") if name not in table]
    if "file" not in table or not lacking or not len(table):
        return table
    told = [{} if leaves_folder(str(name)) else read_exif(folder / str(name)) for name in table["file"]]
    table = table.copy()
    for name in lacking:
        values = [said.get(name) for said in told]
        if None not in values:
            table[name] = values
    return table


def numbered_images(folder: Path) -> Found:
    """Read a folder of images with ``flight.csv``."""
    table = _with_exif(_with_units(_read_table(folder / "flight.csv")), folder)
    if "file" not in table or table["file"].isna().any():
        raise CrossbandError(f"{folder / 'flight.csv'} has rows without a file; fill its column 'file'")
    for name in table["file"]:
        if leaves_folder(name):
            raise CrossbandError(f"images must stay inside the flight's folder; flight.csv has {name!r}")
    table["frame"] = [Path(name).with_suffix("").as_posix() for name in table["file"]]
    return _files_flight(table, folder)


def images_with_exif(folder: Path, logged: bool) -> Found:
    """Read a folder of images that say themselves where they were taken (EXIF, and DJI's and FLIR's XMP).

    Where it is ``logged``, a log says what they do not.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    thermal = [file for file in files if _DJI_THERMAL.fullmatch(file.stem)]
    files = thermal or files  # beside them lie the photographs of DJI's other cameras
    told = [read_exif(file) for file in files]
    rows = [{"file": file.name, "units": "counts", **said} for file, said in zip(files, told, strict=True)]
    table = pd.DataFrame(rows)
    table["frame"] = [file.stem for file in files]
    lacking = [name for name in NEEDED if name not in table or table[name].notna().mean() < 0.5]
    if lacking and not logged:
        raise CrossbandError(
            f"the images of {folder} do not all say {', '.join(lacking)} in EXIF or XMP; write "
            f"{folder / 'flight.csv'} with the columns file, {', '.join(NEEDED)}, or give a log"
        )
    table, source, reader = _files_flight(table, folder)
    if "focal" in table:  # says pixels of the picture, which may be larger than what the sensor saw
        seen = max(reader(0).pixels.shape[:2])
        shown = exif_and_side(folder / str(table["file"].iloc[0]))[1] or seen
        table["focal"] = table["focal"] * (seen / shown)
    return table, source, reader


def _files_flight(table: pd.DataFrame, folder: Path) -> Found:
    """The flight of a table whose column ``file`` names the images."""
    images = table[["frame"]].assign(tir=table["file"], tir_units=table["units"])
    frames = usable_frames(Frames(images.astype("string"), folder), ["tir"])
    table = table[table["frame"].isin(frames.names)].reset_index(drop=True)
    reader = FrameReader(frames)
    return table, folder, lambda row: reader.image(row, "tir")


def video(path: Path) -> Found:
    """Read a video with a table, or with DJI's subtitles."""
    beside = path.with_suffix(".csv")
    subtitles = [path.with_suffix(suffix) for suffix in (".SRT", ".srt") if path.with_suffix(suffix).is_file()]
    if beside.is_file():
        table = _with_units(_read_table(beside))
        if (
            "frame" not in table
            or not pd.api.types.is_integer_dtype(table["frame"])
            or (table["frame"] < 0).any()
        ):
            raise CrossbandError(
                f"{beside} does not number the frames; its column 'frame' holds integers from 0"
            )
    elif subtitles:
        table = _subtitled(path, subtitles[0])
    else:
        raise CrossbandError(
            f"the video {path} has no metadata; write {beside.name} beside it with the columns frame, "
            f"{', '.join(NEEDED)}, or put DJI's subtitles {path.with_suffix('.SRT').name} there"
        )
    numbers = table["frame"].to_numpy()
    table["frame"] = [f"{number:06d}" for number in numbers]
    source = _Video(path)
    units = [parse_units(name) for name in table["units"]]
    return table, path, lambda row: Image(source.frame(int(numbers[row])), units[row])


def _subtitled(path: Path, subtitles: Path) -> pd.DataFrame:
    """A frame a second of a video, with what the subtitles say at its time."""
    said, times = read_subtitles(subtitles), video_times(path)
    if not len(times):
        raise CrossbandError(f"the video {path} has no frames")
    gaps = np.diff(times)
    usual = float(np.median(gaps)) if len(gaps) else 1.0
    if len(gaps) and gaps.max() > max(5 * usual, 0.5):
        where = int(gaps.argmax())
        lost = round(float(gaps[gaps > 1.5 * usual].sum()) / usual) - int((gaps > 1.5 * usual).sum())
        note(
            f"the video {path} lacks some {lost} frames, most at {times[where]:.1f} s; frames and subtitles "
            "are joined by time"
        )
    numbers = np.unique(np.searchsorted(times, np.arange(0, times[-1] + 1e-6, _EVERY)).clip(0, len(times) - 1))
    table = pd.DataFrame({"frame": numbers, "units": "counts"})
    for name in said.columns.drop(["start", "focal_35"]):
        known = said[said[name].notna()]
        if not len(known):
            continue
        values = known[name].to_numpy(float)
        values = np.unwrap(values, period=360) if name == "heading" else values
        table[name] = np.interp(times[numbers], known["start"], values, left=np.nan, right=np.nan)
    ends = times[numbers] <= float(said["start"].iloc[-1]) + _EVERY
    if not ends.all():
        note(f"the subtitles {subtitles} end before the video; {int((~ends).sum())} frames are left out")
        table = table[ends]
    if "heading" not in table:
        note(f"{subtitles} says no heading of the camera; it is taken to look where the aircraft flies")
        table["heading"] = _course(table)
    if said["focal_35"].notna().any():
        focal = float(said["focal_35"].median())
        width = max(_Video(path).frame(0).shape[:2])
        table["focal"] = (focal / 10 if focal > 200 else focal) / 36 * width  # older ones write tenths
    return table.reset_index(drop=True)


def _course(table: pd.DataFrame) -> np.ndarray:
    """Degrees clockwise from north in which the aircraft flies."""
    north = np.gradient(table["lat"].to_numpy(float)) if len(table) > 1 else np.ones(1)
    east = np.gradient(table["lon"].to_numpy(float)) if len(table) > 1 else np.zeros(1)
    return np.degrees(np.arctan2(east * np.cos(np.radians(table["lat"].to_numpy(float))), north)) % 360


class _Video:
    """Frames of a video by number; going forward costs nothing, going back starts again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: Iterator[np.ndarray] = iter(())
        self._next = 0
        self._last: tuple[int, np.ndarray] | None = None

    def frame(self, number: int) -> np.ndarray:
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if number < self._next or self._last is None:
            self._frames, self._next = read_video(self._path), 0
        for pixels in self._frames:
            self._next += 1
            if self._next == number + 1:
                self._last = number, pixels
                return pixels
        raise CrossbandError(
            f"the video {self._path} has {self._next} frames, its table asks for number {number}; fix the table"
        )
