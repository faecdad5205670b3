"""A flight: thermal images with what the aircraft knew of itself, as a folder, an image sequence or a video.

==================  ===========================================================================================
manifest            a folder with ``frames.parquet`` or ``.csv`` (or the file itself) with the column ``tir``
image sequence      a folder of images and a table ``flight.csv``, one row per image, named in column ``file``
video               a file, and a table ``NAME.csv`` beside it with the column ``frame``, counted from 0; 16-bit
                    gray video (FFV1, say) stays 16-bit
==================  ===========================================================================================

Each table has ``lat`` and ``lon`` in degrees (rough: a few tens of meters may be wrong), ``altitude`` in meters
above ground, ``heading`` in degrees clockwise from north, ``pitch`` in degrees above the horizon (-90, straight
down, without the column), ``focal`` in pixels, and ``units`` of thermal pixels (``tir_units`` in a manifest).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..bands import Units, parse_units, to_kelvin
from ..data.reader import FrameReader
from ..datasets.check import usable_frames
from ..errors import CrossbandError
from ..frames import MANIFESTS, Frames, find_manifest, leaves_folder
from ..io import IMAGE_SUFFIXES, Image
from ..io.exif import read_exif
from ..io.video import read_video
from .projection import Pose
from .semantic_map import SemanticMap

__all__ = ["VIDEO_SUFFIXES", "Flight", "open_flight", "poses_of", "read_video", "with_rough_positions"]

VIDEO_SUFFIXES = frozenset({".avi", ".mkv", ".mp4", ".mov", ".m4v", ".ts", ".mpg"})
_NEEDED = ("lat", "lon", "altitude", "heading", "focal")
_LARGEST_TABLE = 1 << 28


@dataclass(frozen=True)
class Flight:
    """The frames of a flight.

    Attributes:
        table: one row per frame: ``frame``, ``lat``, ``lon``, ``altitude``, ``heading``, ``pitch``, ``focal``,
            ``units``, and ``sequence`` where the flight has parts.
        source: where the pixels are.
        reader: gives the thermal image of a row, as the file holds it.
        digest: changes whenever the frames or their metadata do.
    """

    table: pd.DataFrame
    source: Path
    reader: Callable[[int], Image]
    digest: str

    def __len__(self) -> int:
        return len(self.table)

    @property
    def names(self) -> list[str]:
        """The frames' names."""
        return self.table["frame"].tolist()

    def sequences(self) -> list[list[int]]:
        """Return the rows of each part, in order; without the column ``sequence`` all are one."""
        parts = self.table["sequence"].fillna("").astype(str) if "sequence" in self.table else None
        names = np.full(len(self), "") if parts is None else parts.to_numpy()
        return [np.flatnonzero(names == part).tolist() for part in dict.fromkeys(names.tolist())]

    @property
    def thermometric(self) -> bool:
        """Whether the thermal images say temperatures: by the table, or else by the first such file itself."""
        counts = np.flatnonzero((self.table["units"] == Units.COUNTS).to_numpy(bool))
        return not len(counts) or self.pixels(int(counts[0]))[1] is not Units.COUNTS

    def pixels(self, row: int) -> tuple[np.ndarray, Units]:
        """Return thermal pixels ``(H, W)`` as the file holds them, and their units."""
        image = self.reader(row)
        return image.pixels if image.pixels.ndim == 2 else image.pixels[..., 0], image.units

    def need_temperatures(self) -> None:
        """Check that the thermal images say temperatures.

        Raises:
            CrossbandError: they are counts, which have none.
        """
        if not self.thermometric:
            raise CrossbandError(
                f"the flight {self.source} is in counts, which have no temperature to compare objects by; "
                "write centikelvin, kelvin or celsius into the column units of its table (tir_units in a "
                "manifest), or give a radiometric flight"
            )

    def kelvin(self, row: int) -> np.ndarray:
        """Return the temperatures of a frame, float32 ``(H, W)``; holes get the median of the others.

        Raises:
            CrossbandError: the pixels are counts.
        """
        kelvin = to_kelvin(*self.pixels(row))
        known = np.isfinite(kelvin)
        return kelvin if known.all() or not known.any() else np.where(known, kelvin, np.median(kelvin[known]))

    def ambient(self, most: int = 9) -> float:
        """Return the median temperature of some frames, kelvin."""
        rows = np.unique(np.linspace(0, len(self) - 1, most).astype(int))
        return float(np.median([np.median(self.kelvin(int(row))) for row in rows]))

    def pose(self, row: int, ground: SemanticMap, size: tuple[int, int]) -> Pose:
        """Return the rough pose of a frame in a map's meters; ``size`` is (height, width)."""
        return _pose(self.table.iloc[row], ground, size)


def open_flight(path: str | Path, where: dict[str, list[str]] | None = None) -> Flight:
    """Open a flight; see the module's table for what it may be.

    Args:
        path: a folder, a manifest, or a video.
        where: column -> values that are kept, as in ``{"sequence": ["flight001"]}``.

    Raises:
        CrossbandError: nothing of that kind, or without the metadata that it needs.
    """
    path = Path(path)
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return _video_flight(path, where)
    if path.is_dir() and (path / "flight.csv").is_file():
        return _sequence_flight(path, where)
    manifest = find_manifest(path) if path.is_dir() else path
    if manifest is not None and manifest.is_file() and manifest.suffix in (".parquet", ".csv"):
        return _manifest_flight(manifest, where)
    if path.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
        return _exif_flight(path, where)
    raise CrossbandError(
        f"no flight at {path}: a folder with frames.parquet or flight.csv, or a video "
        f"({', '.join(sorted(VIDEO_SUFFIXES))}), is expected"
    )


def poses_of(frames: Frames, ground: SemanticMap, size: tuple[int, int]) -> list[Pose]:
    """Return the poses of frames with metadata, in a map's meters.

    ``size`` is (height, width) of their images.

    Raises:
        CrossbandError: metadata are missing.
    """
    table = _with_metadata(frames.table, frames.root)
    return [_pose(row, ground, size) for _, row in table.iterrows()]


def with_rough_positions(flight: Flight, ground: SemanticMap, meters: float, seed: int = 0) -> Flight:
    """Displace a flight's positions by up to some meters, in any direction.

    This measures what corrects them.

    Each sequence has an error of its own, as of a receiver that is off, and each frame a small one.

    Args:
        flight: the flight.
        ground: the map, whose meters they are.
        meters: the most that a position is wrong.
        seed: of the errors.
    """
    rng = np.random.default_rng([seed, 31])
    table = flight.table.copy()
    parts = table["sequence"].fillna("").tolist() if "sequence" in table else [""] * len(table)
    common = {part: _in_disc(rng, 0.8 * meters) for part in dict.fromkeys(parts)}
    for row, part in enumerate(parts):
        x, y = ground.to_meters(float(table["lat"].iloc[row]), float(table["lon"].iloc[row]))
        off = common[part] + _in_disc(rng, 0.2 * meters)
        table.loc[row, ["lat", "lon"]] = ground.to_geographic(x + off[0], y + off[1])
    digest = hashlib.sha256(f"{flight.digest} {meters} {seed}".encode()).hexdigest()
    return replace(flight, table=table, digest=digest)


def _in_disc(rng: np.random.Generator, radius: float) -> np.ndarray:
    angle, reach = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform())
    return reach * np.array([np.cos(angle), np.sin(angle)])


def _pose(row: pd.Series, ground: SemanticMap, size: tuple[int, int]) -> Pose:
    x, y = ground.to_meters(float(row["lat"]), float(row["lon"]))
    return Pose(
        x, y, float(row["altitude"]), float(row["heading"]), float(row["pitch"]), float(row["focal"]), *size
    )


def _with_metadata(table: pd.DataFrame, where: Path) -> pd.DataFrame:
    lacking = [name for name in _NEEDED if name not in table or not table[name].notna().all()]
    if lacking:
        raise CrossbandError(
            f"the flight {where} has no metadata {', '.join(lacking)} for every frame; each needs "
            f"{', '.join(_NEEDED)}"
        )
    table = table.copy()
    if "pitch" not in table:
        table["pitch"] = -90.0
    for name in (*_NEEDED, "pitch"):
        values = pd.to_numeric(table[name], errors="coerce").astype(float)
        if not np.isfinite(values).all():
            raise CrossbandError(f"the flight {where} has a {name} that is not a number")
        table[name] = values
    if not ((table["altitude"] > 0) & (table["focal"] > 0) & (table["pitch"].abs() <= 90)).all():
        raise CrossbandError(
            f"the flight {where} has an altitude or focal length that is not above 0, or a pitch beyond 90 "
            f"degrees"
        )
    return table


def _made(
    table: pd.DataFrame, source: Path, reader: Callable[[int], Image], where: dict[str, list[str]] | None
) -> Flight:
    table = _with_metadata(table.reset_index(drop=True), source)
    rows = _rows_where(table, source, where)
    part = table.iloc[rows].reset_index(drop=True)
    text = part.to_csv(index=False, float_format="%.9g")
    digest = hashlib.sha256(f"{source.resolve()}\n{text}".encode(errors="surrogateescape")).hexdigest()
    return Flight(part, source, lambda row: reader(int(rows[row])), digest)


def _rows_where(table: pd.DataFrame, source: Path, where: dict[str, list[str]] | None) -> np.ndarray:
    """The rows that conditions keep."""
    kept = np.ones(len(table), bool)
    for column, values in (where or {}).items():
        if column not in table:
            raise CrossbandError(f"the flight {source} has no column {column!r}")
        kept &= table[column].isin(values).to_numpy(bool)
    if not kept.any():
        raise CrossbandError(
            f"no frames of the flight {source} are left" + (f" where {where}" if where else "")
        )
    return np.flatnonzero(kept)


def _manifest_flight(path: Path, where: dict[str, list[str]] | None) -> Flight:
    frames = Frames.read(path)
    if not frames.has("tir"):
        raise CrossbandError(f"the flight {path} has no thermal images; its column tir names them")
    frames = frames.select(frames.table["tir"].notna().to_numpy(bool))
    frames = frames.select(_rows_where(frames.table, path, where))
    frames = usable_frames(frames, ["tir"])
    reader = FrameReader(frames)
    table = frames.table.copy()
    table["units"] = [units or "counts" for units in frames.units()]
    source = path.parent if path.name in MANIFESTS else path
    return _made(table, source, lambda row: reader.image(row, "tir"), where)


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
    lacking = [name for name in (*_NEEDED, "pitch") if name not in table]
    if "file" not in table or not lacking or not len(table):
        return table
    told = [{} if leaves_folder(str(name)) else read_exif(folder / str(name)) for name in table["file"]]
    table = table.copy()
    for name in lacking:
        values = [said.get(name) for said in told]
        if None not in values:
            table[name] = values
    return table


def _sequence_flight(folder: Path, where: dict[str, list[str]] | None) -> Flight:
    table = _with_exif(_with_units(_read_table(folder / "flight.csv")), folder)
    if "file" not in table or table["file"].isna().any():
        raise CrossbandError(f"{folder / 'flight.csv'} has rows without a file; fill its column 'file'")
    for name in table["file"]:
        if leaves_folder(name):
            raise CrossbandError(f"images must stay inside the flight's folder; flight.csv has {name!r}")
    table["frame"] = [Path(name).with_suffix("").as_posix() for name in table["file"]]
    return _files_flight(table, folder, where)


def _exif_flight(folder: Path, where: dict[str, list[str]] | None) -> Flight:
    """A folder of images that say themselves where they were taken (EXIF, and DJI's XMP)."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    told = [read_exif(file) for file in files]
    rows = [{"file": file.name, "units": "counts", **said} for file, said in zip(files, told, strict=True)]
    table = pd.DataFrame(rows)
    table["frame"] = [file.stem for file in files]
    lacking = [name for name in _NEEDED if name not in table or not table[name].notna().all()]
    if lacking:
        raise CrossbandError(
            f"the images of {folder} do not all say {', '.join(lacking)} in EXIF or XMP; write "
            f"{folder / 'flight.csv'} with the columns file, {', '.join(_NEEDED)}"
        )
    return _files_flight(table, folder, where)


def _files_flight(table: pd.DataFrame, folder: Path, where: dict[str, list[str]] | None) -> Flight:
    """The flight of a table whose column ``file`` names the images."""
    table = table.iloc[_rows_where(table, folder, where)].reset_index(drop=True)
    images = table[["frame"]].assign(tir=table["file"], tir_units=table["units"])
    frames = usable_frames(Frames(images.astype("string"), folder), ["tir"])
    table = table[table["frame"].isin(frames.names)].reset_index(drop=True)
    reader = FrameReader(frames)
    return _made(table, folder, lambda row: reader.image(row, "tir"), where)


def _video_flight(path: Path, where: dict[str, list[str]] | None) -> Flight:
    beside = path.with_suffix(".csv")
    if not beside.is_file():
        raise CrossbandError(
            f"the video {path} has no metadata; write {beside.name} beside it with the columns frame, "
            f"{', '.join(_NEEDED)}"
        )
    table = _with_units(_read_table(beside))
    if "frame" not in table or not pd.api.types.is_integer_dtype(table["frame"]) or (table["frame"] < 0).any():
        raise CrossbandError(f"{beside} does not number the frames; its column 'frame' holds integers from 0")
    numbers = table["frame"].to_numpy()
    table["frame"] = [f"{number:06d}" for number in numbers]
    source = _Video(path)
    units = [parse_units(name) for name in table["units"]]
    return _made(table, path, lambda row: Image(source.frame(int(numbers[row])), units[row]), where)


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
