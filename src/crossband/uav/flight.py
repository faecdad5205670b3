"""A flight: thermal images with what the aircraft knew of itself, as a folder, an image sequence or a video.

==================  ===========================================================================================
images with EXIF    a folder of DJI's or FLIR's radiometric JPEGs, or of others that say position, altitude
                    above take-off, heading, pitch and focal length in EXIF or XMP
manifest            a folder with ``frames.parquet`` or ``.csv`` (or the file itself) with the column ``tir``
image sequence      a folder of images and a table ``flight.csv``, one row per image, named in column ``file``
video               a file, and a table ``NAME.csv`` beside it with the column ``frame``, counted from 0, or
                    DJI's subtitles ``NAME.SRT``; of these a frame a second is taken; 16-bit gray
                    video (FFV1, say) stays 16-bit
==================  ===========================================================================================

Each table has ``lat`` and ``lon`` in degrees (rough: a few tens of meters may be wrong), ``altitude`` in meters
above ground, ``heading`` in degrees clockwise from north, ``pitch`` in degrees above the horizon (-90, straight
down, without the column), ``focal`` in pixels, and ``units`` of thermal pixels (``tir_units`` in a manifest).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..bands import Units, to_kelvin
from ..errors import CrossbandError
from ..frames import Frames, find_manifest
from ..io import IMAGE_SUFFIXES, Image
from ..io.video import read_video
from ..progress import note
from ..streams import VIDEO_SUFFIXES
from .flight_checks import mend
from .flight_files import NEEDED, images_with_exif, kept_where, manifest, numbered_images, video
from .flight_log import join_log
from .projection import Pose
from .semantic_map import SemanticMap
from .terrain import above_ground, read_terrain

__all__ = [
    "LARGEST_ZOOM",
    "VIDEO_SUFFIXES",
    "Beside",
    "Flight",
    "enlargement",
    "meters_a_pixel",
    "open_flight",
    "poses_of",
    "read_video",
    "with_rough_positions",
]

LARGEST_ZOOM = 2.5
"""Of a frame, before a detector reads it."""


@dataclass(frozen=True)
class Beside:
    """What is known of a flight beside its own files.

    Attributes:
        log: a CSV table or GPX track of the aircraft, joined by time.
        clock: seconds to add to the frames' times to get the log's; found where ``None``.
        terrain: an elevation raster; the ground is flat without.
        lens: distortion as OpenCV has it: k1, k2, p1, p2 and perhaps k3.
    """

    log: str | Path | None = None
    clock: float | None = None
    terrain: str | Path | None = None
    lens: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.clock is not None and self.log is None:
            raise CrossbandError("a clock's offset is for a log; give one", parameter="clock")
        if self.lens is not None and not (len(self.lens) in (4, 5) and np.isfinite(self.lens).all()):
            raise CrossbandError("a lens is four or five numbers: k1, k2, p1, p2 and k3", parameter="lens")


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

    def meters_a_pixel(self, row: int) -> float:
        """Return what a pixel in the middle of a frame shows of the ground, across the view."""
        given = self.table.iloc[row]
        return meters_a_pixel(float(given["altitude"]), float(given["pitch"]), float(given["focal"]))

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


def open_flight(
    path: str | Path, where: dict[str, list[str]] | None = None, beside: Beside | None = None
) -> Flight:
    """Open a flight; see the module's table for what it may be.

    Frames without a position, and those that look at the horizon, are left out, and positions that jump are
    mended; each is said.

    Args:
        path: a folder, a manifest, or a video.
        where: column -> values that are kept, as in ``{"sequence": ["flight001"]}``.
        beside: a log, a lens, the terrain.

    Raises:
        CrossbandError: nothing of that kind, or without the metadata that it needs.
    """
    path, beside = Path(path), beside or Beside()
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return _made(*video(path), where, beside)
    if path.is_dir() and (path / "flight.csv").is_file():
        return _made(*numbered_images(path), where, beside)
    listed = find_manifest(path) if path.is_dir() else path
    if listed is not None and listed.is_file() and listed.suffix in (".parquet", ".csv"):
        return _made(*manifest(listed, where), where, beside)
    if path.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
        return _made(*images_with_exif(path, beside.log is not None), where, beside)
    videos = sorted(f for f in path.iterdir() if f.suffix.lower() in VIDEO_SUFFIXES) if path.is_dir() else []
    if len(videos) == 1:
        return _made(*video(videos[0]), where, beside)
    raise CrossbandError(
        f"no flight at {path}: a folder with frames.parquet, flight.csv or the camera's own pictures, or a "
        f"video ({', '.join(sorted(VIDEO_SUFFIXES))}), is expected"
    )


def meters_a_pixel(altitude: float, pitch: float, focal: float) -> float:
    """Return what a pixel in the middle of a frame shows of flat ground, across the view.

    Args:
        altitude: meters above ground.
        pitch: degrees above the horizon; -90 looks straight down.
        focal: pixels.

    Example:
        >>> meters_a_pixel(80.0, -90.0, 400.0)
        0.2
    """
    return altitude / max(float(np.sin(np.radians(-pitch))), 0.2) / focal


def enlargement(zoom: float, finest: float | None, meters: float | None) -> float:
    """Return how much a frame is enlarged before a detector reads it.

    Args:
        zoom: at least.
        finest: meters of ground that a pixel may show; frames that show more are enlarged, up to 2.5 times.
        meters: of ground that a pixel of the frame shows, ``None`` where nobody knows.

    Example:
        >>> enlargement(1.0, 0.25, 0.5), enlargement(1.0, 0.25, 2.0), enlargement(1.0, 0.25, None)
        (2.0, 2.5, 1.0)
    """
    return zoom if finest is None or meters is None else max(zoom, min(meters / finest, LARGEST_ZOOM))


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
    """The table with numbers where numbers belong; frames that lack one are left out, if they are few."""
    whole = [name for name in NEEDED if name in table]
    complete = table[whole].notna().all(axis=1).to_numpy(bool)
    if len(whole) < len(NEEDED) or complete.mean() < 0.5:
        lacking = [name for name in NEEDED if name not in table or not table[name].notna().all()]
        raise CrossbandError(
            f"the flight {where} has no metadata {', '.join(lacking)} for every frame; each needs "
            f"{', '.join(NEEDED)}"
        )
    if not complete.all():
        bare = table[~complete]
        lacking = [name for name in NEEDED if not bare[name].notna().all()]
        note(f"{len(bare)} of {len(table)} frames of {where} have no {', '.join(lacking)}, and are left out")
    table = table[complete].copy()
    if "pitch" not in table:
        table["pitch"] = -90.0
    for name in (*NEEDED, "pitch"):
        values = pd.to_numeric(table[name], errors="coerce").astype(float)
        if not np.isfinite(values).all():
            raise CrossbandError(f"the flight {where} has a {name} that is not a number")
        table[name] = values
    high = (table["altitude"] > 0).to_numpy(bool)
    if high.any() and not high.all():
        note(
            f"{int((~high).sum())} of {len(table)} frames of {where} were taken on the ground, and are left out"
        )
        table = table[high]
    if not ((table["altitude"] > 0) & (table["focal"] > 0) & (table["pitch"].abs() <= 90)).all():
        raise CrossbandError(
            f"the flight {where} has an altitude or focal length that is not above 0, or a pitch beyond 90 "
            f"degrees"
        )
    return table


def _made(
    table: pd.DataFrame,
    source: Path,
    reader: Callable[[int], Image],
    where: dict[str, list[str]] | None,
    beside: Beside,
) -> Flight:
    """A flight of what was read: restricted, joined to its log, checked and mended."""
    table = table.reset_index(drop=True)  # the index names the image, whatever is left out
    table = table[kept_where(table, source, where)]
    if beside.log is not None:
        rows = table.index.to_numpy()
        table = join_log(table, beside.log, beside.clock, lambda row: _plane(reader(int(rows[row])).pixels))
    table = mend(_with_metadata(table, source), source)
    if beside.terrain is not None:
        table = above_ground(table, read_terrain(beside.terrain), source)
    rows = table.index.to_numpy()
    table = table.reset_index(drop=True)
    text = table.to_csv(index=False, float_format="%.9g") + repr(beside.lens)
    digest = hashlib.sha256(f"{source.resolve()}\n{text}".encode(errors="surrogateescape")).hexdigest()
    if beside.lens is None:
        return Flight(table, source, lambda row: reader(int(rows[row])), digest)
    lens, focal = tuple(beside.lens), table["focal"].to_numpy(float)

    def straight(row: int) -> Image:
        image = reader(int(rows[row]))
        return replace(image, pixels=undistorted(_plane(image.pixels), float(focal[row]), lens))

    return Flight(table, source, straight, digest)


def undistorted(pixels: np.ndarray, focal: float, lens: Sequence[float]) -> np.ndarray:
    """Straighten what a lens has bent, of the pixels' type; what it did not show is 0.

    Args:
        pixels: ``(H, W)``.
        focal: pixels.
        lens: k1, k2, p1, p2 and perhaps k3, as OpenCV has them, about the middle of the image.
    """
    import cv2

    height, width = pixels.shape
    camera = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
    maps = cv2.initUndistortRectifyMap(
        camera, np.array(lens, float), np.eye(3), camera, (width, height), cv2.CV_32FC1
    )
    return cv2.remap(pixels, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _plane(pixels: np.ndarray) -> np.ndarray:
    """One channel of an image."""
    return pixels if pixels.ndim == 2 else pixels[..., 0]
