"""Pairs by time: names that are time stamps, EXIF's time, and the running numbers of DJI's files."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ..io.exif import read_exif
from ..progress import track
from ._registry import images_by_stem

__all__ = ["guess_dji", "pair_by_time", "pair_dji", "with_positions"]

TOLERANCE = 0.05  # seconds
_STAMP = re.compile(r"(\d{9,10})[._](\d{1,9})|(\d{13}|\d{16}|\d{19})")
_DJI = re.compile(r"DJI_(?:(\d{14})_)?(\d{4,})_([WVTZS])(?:_.*)?", re.IGNORECASE)
_LOOK_AT = 8


def seconds_of(stem: str) -> float | None:
    """Return seconds since 1970 of a name that is a time stamp, ``None`` where it is none.

    Example:
        >>> seconds_of("1628000000.040000"), seconds_of("1628000000040"), seconds_of("0001")
        (1628000000.04, 1628000000.04, None)
    """
    match = _STAMP.fullmatch(stem)
    if match is None:
        return None
    if match[1]:
        return float(f"{match[1]}.{match[2]}")
    return int(match[3]) / 10 ** (len(match[3]) - 10)


def moments(images: Mapping[str, Path]) -> dict[str, float] | None:
    """Tell when each image was taken, seconds: by its name, or by EXIF where no name says.

    ``None`` where neither says it of all but a few.
    """
    named = {key: seconds_of(Path(key).name) for key in images}
    known = {key: value for key, value in named.items() if value is not None}
    if len(known) >= 0.8 * len(images) > 0:
        return known
    if not any("time" in read_exif(path) for path in list(images.values())[:_LOOK_AT]):
        return None
    told = {key: read_exif(path).get("time") for key, path in images.items()}
    return {
        key: datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()
        for key, text in told.items()
        if text
    } or None


def pair_by_time(
    images: Mapping[Band, Mapping[str, Path]], tolerance: float
) -> tuple[dict[Band, dict[str, Path]], dict[str, str]] | None:
    """Pair images by time: the nearest first, each once, never further apart than the tolerance.

    Returns the same images under common keys, and the time of each key, ISO 8601; ``None`` where times are not
    known.

    The keys are those of the first band; an image without partner keeps its own.
    """
    times = {band: moments(found) for band, found in images.items()}
    if any(value is None for value in times.values()):
        return None
    first, *others = images
    paired: dict[Band, dict[str, Path]] = {first: dict(images[first])}
    when = dict(times[first] or {})
    for band in others:
        ours, theirs = times[first] or {}, times[band] or {}
        near = sorted(_near(ours, theirs, tolerance))
        partner: dict[str, str] = {}
        used: set[str] = set()
        for _, mine, other in near:
            if other not in partner and mine not in used:
                partner[other] = mine
                used.add(mine)
        paired[band] = {partner.get(key, _free(key, images[first])): path for key, path in images[band].items()}
        for key, value in theirs.items():
            when.setdefault(partner.get(key, _free(key, images[first])), value)
    stamps = {
        key: datetime.datetime.fromtimestamp(value, datetime.UTC).replace(tzinfo=None).isoformat()
        for key, value in when.items()
    }
    return paired, stamps


def _near(
    ours: Mapping[str, float], theirs: Mapping[str, float], tolerance: float
) -> list[tuple[float, str, str]]:
    """Pairs within the tolerance, by a sweep over both in order."""
    mine, other = sorted(ours, key=ours.__getitem__), sorted(theirs, key=theirs.__getitem__)
    found, start = [], 0
    slack = tolerance + 1e-6  # of a time stamp in a float
    for key in mine:
        while start < len(other) and theirs[other[start]] < ours[key] - slack:
            start += 1
        place = start
        while place < len(other) and theirs[other[place]] <= ours[key] + slack:
            found.append((abs(theirs[other[place]] - ours[key]), key, other[place]))
            place += 1
    return found


def _free(key: str, taken: Mapping[str, Path]) -> str:
    return f"{key}~" if key in taken else key


def guess_dji(root: Path) -> bool:
    """Tell whether files below ``root`` are named as DJI's cameras name wide (or visual) and thermal ones."""
    kinds = {match[3].upper() for key in images_by_stem(root, recursive=True) if (match := _dji(key))}
    return "T" in kinds and bool(kinds & {"W", "V"})


def pair_dji(root: Path) -> tuple[dict[Band, dict[str, Path]], int]:
    """Pair the color and the thermal images of DJI's names, and count those of other cameras (zoom).

    A pair shares its running number, with clocks at most two seconds apart; or, where the camera counts both,
    the thermal image has the number behind the color one's.
    """
    color: dict[tuple[str, int], tuple[str, Path, float | None]] = {}
    thermal: dict[tuple[str, int], tuple[str, Path, float | None]] = {}
    others = 0
    for key, path in images_by_stem(root, recursive=True).items():
        match = _dji(key)
        if match is None or match[3].upper() not in "WVT":
            others += match is not None
            continue
        folder = Path(key).parent.as_posix()
        side = thermal if match[3].upper() == "T" else color
        side.setdefault((folder, int(match[2])), (key, path, _clock(match[1])))
    found: dict[Band, dict[str, Path]] = {Band.RGB: {}, Band.TIR: {}}
    used = set()
    for (folder, number), (key, path, clock) in color.items():
        name = re.sub(r"_[WV](?=$|_)", "", key, flags=re.IGNORECASE)
        found[Band.RGB][name] = path
        for step in (0, 1):
            partner = thermal.get((folder, number + step))
            if (
                partner is None
                or (folder, number + step) in used
                or (step and (folder, number + step) in color)
            ):
                continue
            if clock is None or partner[2] is None or abs(clock - partner[2]) <= 2:
                used.add((folder, number + step))
                found[Band.TIR][name] = partner[1]
                break
    for where, (key, path, _) in thermal.items():
        if where not in used:
            found[Band.TIR][re.sub(r"_T(?=$|_)", "", key, flags=re.IGNORECASE) + "~T"] = path
    return found, others


def _dji(key: str) -> re.Match[str] | None:
    return _DJI.fullmatch(Path(key).name)


def _clock(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.datetime.strptime(text, "%Y%m%d%H%M%S").timestamp()
    except ValueError:
        return None


def with_positions(frames: Frames) -> Frames:
    """Fill in positions, times, altitude, heading and pitch by the images' EXIF and DJI's XMP.

    ``lat``, ``lon``, ``time``, ``altitude``, ``heading`` and ``pitch``, where the frames do not have these
    columns and the first images say so.
    """
    bands = [(band, frames.paths(band)) for band in reversed(frames.bands)]  # thermal files say most
    first = [path for _, paths in bands for path in paths[:_LOOK_AT] if path is not None]
    if not any(read_exif(path) for path in first):
        return frames
    rows = []
    for row in track(range(len(frames)), len(frames), "reading EXIF", "frames"):
        told: dict[str, object] = {}
        for _, paths in bands:
            if (path := paths[row]) is not None:
                told = {**read_exif(path), **told}
        rows.append(told)
    columns = ("time", "lat", "lon", "altitude", "heading", "pitch")
    new = {name: [row.get(name) for row in rows] for name in columns if not frames.has(name)}
    return frames.assign(**{name: values for name, values in new.items() if any(v is not None for v in values)})


def check_tolerance(tolerance: float) -> float:
    """Check a tolerance and return it, seconds.

    Raises:
        CrossbandError: it is not above 0.
    """
    if not 0 < tolerance < 1e6:
        raise CrossbandError(f"a tolerance is seconds above 0, not {tolerance:g}", parameter="tolerance")
    return tolerance
