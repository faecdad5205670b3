"""Logs of a flight or a drive, joined to frames by time: CSV tables and GPX tracks."""

from __future__ import annotations

import csv
import datetime
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import CrossbandError, need_package
from ..frames import Frames
from ..progress import note
from ._moments import seconds_of

__all__ = ["join_log", "read_log", "seconds_of_times"]

_LARGEST = 1 << 26  # bytes
_NAMES = {
    "time": ("time", "timestamp", "datetime", "utc", "date_time", "gps_time"),
    "lat": ("lat", "latitude", "gps_lat"),
    "lon": ("lon", "lng", "long", "longitude", "gps_lon"),
    "altitude": ("altitude", "alt", "height", "ele", "elevation", "relative_altitude"),
    "heading": ("heading", "yaw", "course", "gimbal_yaw"),
    "pitch": ("pitch", "gimbal_pitch"),
    "focal": ("focal",),
}
_ANGLES = {"lon": 360.0, "heading": 360.0}
_UNIT = re.compile(r"\s*[\[(].*[\])]\s*$")
_SCALES = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # numbers this large count ns, us, ms
_FORBIDDEN = ("<!doctype", "<!entity")


def read_log(path: str | Path) -> pd.DataFrame:
    """Read a log: ``time`` in seconds since 1970, and what it has of positions, altitude and angles.

    Args:
        path: a GPX track, or a CSV table with a column of times (ISO 8601, or seconds or a part of them since
            1970) and others called ``lat``, ``longitude``, ``alt``, ``yaw`` and the like.

    Returns:
        float64, in order of time, each time once.

    Raises:
        CrossbandError: missing, too large, no log, or nothing in it that a frame could take.
    """
    path = Path(path)
    if not path.is_file():
        raise CrossbandError(f"no log at {path}; give a .csv or .gpx file", parameter="log")
    if path.stat().st_size > _LARGEST:
        raise CrossbandError(f"{path} has more than {_LARGEST >> 20} MB; split the log", parameter="log")
    table = _read_gpx(path) if path.suffix.lower() == ".gpx" else _read_csv(path)
    table = table[np.isfinite(table["time"].astype(float))].drop_duplicates("time").sort_values("time")
    if not len(table) or len(table.columns) < 2:
        raise CrossbandError(
            f"{path} has no times with anything that frames could take: {', '.join(_NAMES)}", parameter="log"
        )
    return table.reset_index(drop=True)


def join_log(frames: Frames, log: str | Path, tolerance: float = 1.0, offset: float = 0.0) -> Frames:
    """Give frames what a log says at their time; how many have no entry near enough is said.

    Between two entries that are both near enough it is interpolated, else the nearest counts. What the log says
    takes the place of what the frames had.

    Args:
        frames: with the column ``time``, or names that are time stamps.
        log: see :func:`read_log`.
        tolerance: seconds that an entry may be away.
        offset: seconds to add to the frames' times to get the log's.

    Raises:
        CrossbandError: frames without times, no log, or no entry near any frame.
    """
    if not 0 < tolerance < 1e6 or not abs(offset) < 1e9:
        raise CrossbandError("a tolerance is seconds above 0, an offset a number of seconds", parameter="log")
    own = _times_of(frames)
    if not np.isfinite(own).any():
        raise CrossbandError(
            "these frames have no times (by name, EXIF or the column time), so no log can be joined",
            parameter="log",
        )
    table = read_log(log)
    mine, times = own + offset, table["time"].to_numpy()
    after = np.clip(np.searchsorted(times, mine), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    gaps = np.stack([np.abs(times[before] - mine), np.abs(times[after] - mine)])
    nearest = np.where(gaps[0] <= gaps[1], before, after)
    known = np.isfinite(mine)
    joined = known & (gaps.min(0) <= tolerance)
    if not joined.any():
        raise CrossbandError(_nothing(log, mine[known], times, tolerance), parameter="log_offset")
    both = joined & (gaps.max(0) <= tolerance) & (times[before] <= mine) & (mine <= times[after])
    span = np.where(both, np.maximum(times[after] - times[before], 1e-9), 1.0)
    share = np.where(both, (mine - times[before]) / span, 0.0)
    columns = {}
    for name in table.columns.drop("time"):
        values = table[name].to_numpy()
        step = values[after] - values[before]
        if name in _ANGLES:
            step = (step + _ANGLES[name] / 2) % _ANGLES[name] - _ANGLES[name] / 2
        found = np.where(both, values[before] + share * step, values[nearest])
        if name == "heading":
            found = found % 360
        columns[name] = np.where(joined, found, np.nan)
    if not joined.all():
        first = int(np.flatnonzero(~joined)[0])
        away = f"{gaps[:, first].min():.1f} s away" if known[first] else "it has no time"
        note(
            f"{int((~joined).sum())} of {len(frames)} frames have no entry of {log} within {tolerance:g} s, "
            f"first {frames.names[first]} ({away})"
        )
    return frames.assign(**columns)


def seconds_of_times(times: pd.Series) -> np.ndarray:
    """Return times as seconds since 1970, float64; NaN where a text is none. No zone counts as UTC.

    Example:
        >>> seconds_of_times(pd.Series(["1970-01-01T00:01:00.5", "90", "1600000000000", "soon"])).tolist()
        [60.5, 90.0, 1600000000.0, nan]
    """
    numbers = pd.to_numeric(times, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    for least, scale in _SCALES:
        numbers = np.where(np.abs(numbers) >= least, numbers / scale, numbers)
    dates = pd.to_datetime(times.astype("string"), errors="coerce", utc=True, format="ISO8601")
    zero = pd.Timestamp(0, tz="UTC")
    seconds = ((dates - zero) / pd.Timedelta(1, "s")).to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, seconds)


def _times_of(frames: Frames) -> np.ndarray:
    """Seconds of each frame, by its column ``time`` or its name; NaN where neither says them."""
    named = [seconds_of(Path(name).name) for name in frames.names]
    by_name = np.array([np.nan if value is None else value for value in named], float)
    if not frames.has("time"):
        return by_name
    told = seconds_of_times(frames.table["time"])
    return np.where(np.isfinite(told), told, by_name)


def _nothing(log: str | Path, mine: np.ndarray, times: np.ndarray, tolerance: float) -> str:
    def moment(seconds: float) -> str:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")

    if not len(mine):
        return "no time of these frames can be read; write them as ISO 8601"
    away = float(times[0] - mine.min())
    return (
        f"no entry of {log} is within {tolerance:g} s of a frame: the frames begin at {moment(mine.min())}, "
        f"the log at {moment(times[0])}; if they began together, the offset is {away:+.0f} s"
    )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", sep=None, engine="python", dtype="string", comment="#")
    except (ValueError, UnicodeDecodeError, OverflowError, csv.Error) as error:
        reason = " ".join(str(error).split())[:100]
        raise CrossbandError(f"{path} is no table: {reason}", parameter="log") from None
    plain = {_UNIT.sub("", str(name)).strip().lower().replace(" ", "_"): name for name in table.columns}
    found = {}
    for name, known in _NAMES.items():
        column = next((plain[alias] for alias in known if alias in plain), None)
        if column is not None:
            found[name] = table[column]
    if "time" not in found:
        raise CrossbandError(f"{path} has no column of times; call it time", parameter="log")
    rest = [str(name) for name in table.columns if not any(table[name] is v for v in found.values())]
    taken = {_UNIT.sub("", str(s.name)) for s in found.values()}
    if others := [name for name in rest if _UNIT.sub("", name) not in taken]:
        note(f"columns of {path} that no frame takes: {', '.join(others[:8])}")
    values = {
        name: seconds_of_times(series)
        if name == "time"
        else pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        for name, series in found.items()
    }
    return _plausible(pd.DataFrame(values))


def _read_gpx(path: Path) -> pd.DataFrame:
    need_package("gpxpy", "a GPX log", "uav")
    import gpxpy
    import gpxpy.gpx

    try:
        text = path.read_text(encoding="utf-8-sig")
        if any(word in text.lower() for word in _FORBIDDEN):  # entities would be expanded
            raise ValueError("it declares a document type, which no track needs")
        track = gpxpy.parse(text)
    except (gpxpy.gpx.GPXException, ValueError, RecursionError, OverflowError) as error:
        raise CrossbandError(
            f"{path} is no GPX: {' '.join(str(error).split())[:100]}", parameter="log"
        ) from None
    points = [
        *track.walk(only_points=True),
        *track.waypoints,
        *(p for route in track.routes for p in route.points),
    ]
    rows = [
        {
            "time": p.time.timestamp() if p.time.tzinfo else p.time.replace(tzinfo=datetime.UTC).timestamp(),
            "lat": p.latitude,
            "lon": p.longitude,
            "altitude": p.elevation,
        }
        for p in points
        if p.time is not None
    ]
    return _plausible(pd.DataFrame(rows, columns=["time", "lat", "lon", "altitude"]).astype(float))


def _plausible(table: pd.DataFrame) -> pd.DataFrame:
    """Without entries that are off the Earth, and columns that hold nothing."""
    for name, most in (("lat", 90), ("lon", 180)):
        if name in table:
            table = table[table[name].isna() | (table[name].abs() <= most)]
    return table.dropna(axis=1, how="all").reindex(
        columns=[name for name in table.columns if name == "time" or table[name].notna().any()]
    )
