"""What DJI's cameras say of each moment of a video, in the subtitles (SRT) beside it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pandas as pd

from ..errors import CrossbandError

__all__ = ["read_subtitles"]

_LARGEST = 1 << 27
_WHEN = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->")
_CLOCK = re.compile(r"(\d{4})[-.](\d\d)[-.](\d\d) (\d\d):(\d\d):(\d\d)(?:[.,:](\d{1,3}))?")
_NUMBER = r"\s*[:=]\s*([-+]?\d+(?:\.\d+)?)"
_VALUES = {
    "lat": re.compile(r"latitude" + _NUMBER, re.IGNORECASE),
    "lon": re.compile(r"long(?:i|it)tude" + _NUMBER, re.IGNORECASE),
    "altitude": re.compile(r"(?:rel_alt|barometer)" + _NUMBER, re.IGNORECASE),
    "heading": re.compile(r"(?:gb|gimbal|camera)_yaw" + _NUMBER, re.IGNORECASE),
    "pitch": re.compile(r"(?:gb|gimbal|camera)_pitch" + _NUMBER, re.IGNORECASE),
    "focal_35": re.compile(r"focal_len" + _NUMBER, re.IGNORECASE),
}
_OLD = re.compile(r"GPS\s*\(\s*([-+]?[\d.]+)\s*,\s*([-+]?[\d.]+)")  # longitude first


def read_subtitles(path: str | Path) -> pd.DataFrame:
    """Read the subtitles of a DJI video.

    Returns:
        a row an entry, in order: ``start`` (seconds since the video's first frame), ``time`` (seconds since
        1970, by the aircraft's clock as if it were UTC), ``lat``, ``lon``, ``altitude`` (meters above
        take-off), ``heading``, ``pitch`` (degrees) and ``focal_35`` (millimeters, as of a film 36 mm wide);
        float64, NaN where an entry does not say it.

    Raises:
        CrossbandError: missing, too large, or no subtitles with positions.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise CrossbandError(f"{path} has more than {_LARGEST >> 20} MB; split it")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise CrossbandError(f"no subtitles at {path} ({error.strerror})") from None
    rows = [row for block in re.split(r"\r?\n\s*\r?\n", text) if (row := _entry(block)) is not None]
    columns = ["start", "time", *_VALUES]
    table = pd.DataFrame(rows, columns=columns).astype(float).sort_values("start", ignore_index=True)
    table.loc[(table["lat"] == 0) & (table["lon"] == 0), ["lat", "lon"]] = float("nan")  # no fix
    if not table["lat"].notna().any():
        raise CrossbandError(f"{path} has no positions; it is not what a DJI camera writes beside a video")
    return table


def _entry(block: str) -> dict[str, float] | None:
    """What one entry says."""
    when = _WHEN.search(block)
    if when is None:
        return None
    hours, minutes, seconds = (int(value) for value in when.groups()[:3])
    found = {"start": hours * 3600 + minutes * 60 + seconds + float(f"0.{when[4]}")}
    for name, pattern in _VALUES.items():
        if (match := pattern.search(block)) is not None:
            found[name] = float(match[1])
    if (old := _OLD.search(block)) is not None and "lat" not in found:
        found["lon"], found["lat"] = float(old[1]), float(old[2])
    if (clock := _CLOCK.search(block)) is not None:
        parts = [int(value) for value in clock.groups()[:6]]
        try:
            moment = datetime.datetime(*parts, tzinfo=datetime.UTC)  # type: ignore[arg-type,misc]
        except ValueError:
            return found
        found["time"] = moment.timestamp() + float(f"0.{clock[7] or 0}")
    return found
