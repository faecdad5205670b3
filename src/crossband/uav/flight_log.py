"""A log joined to a flight by time: where the aircraft was when each frame was taken.

The clock of the camera and that of the log are seldom one. Where the frames say roughly where they were taken,
the offset is the one that brings them nearest to the log's track; otherwise what moves in the images is
compared with the log's speed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..datasets._logs import read_log, seconds_of_times
from ..errors import CrossbandError
from ..geo import METERS_PER_DEGREE
from ..progress import note

__all__ = ["clock_offset", "image_speeds", "join_log"]

_FILLED = ("lat", "lon", "altitude", "heading", "pitch", "focal")
_TOLERANCE = 2.0  # seconds between two entries of a log, or beyond its ends, that are bridged
_SEARCHED = 120  # seconds around each whole half hour of an offset
_ALIKE = 0.5  # correlation of speeds, at least
_STEADY = 0.3  # meters a second: a speed that changes less tells nothing
_APART, _NEAR = 0.05, 5.0  # by how much it exceeds those of offsets more seconds away
_MOST = 200  # frames that an offset is found by


def join_log(
    table: pd.DataFrame, log: str | Path, clock: float | None, pixels: Callable[[int], np.ndarray]
) -> pd.DataFrame:
    """Give the frames of a flight what a log says at their times; frames beyond it are left out.

    Args:
        table: with ``time`` (ISO 8601, or seconds), and ``lat`` and ``lon`` where the frames say them.
        log: a CSV table or a GPX track; see :func:`crossband.datasets._logs.read_log`.
        clock: seconds to add to the frames' times to get the log's; found where ``None``.
        pixels: gives the image of a row.

    Raises:
        CrossbandError: no times, or no frame within the log.
    """
    own = seconds_of_times(table["time"].astype("string")) if "time" in table else np.full(len(table), np.nan)
    if not np.isfinite(own).all():
        raise CrossbandError(
            "not every frame has a time (EXIF, or the column time) to join a log by", parameter="log"
        )
    said = read_log(log)
    if clock is None:
        clock = clock_offset(table, own, said, pixels)
        if abs(clock) >= 0.5:
            note(f"the log's clock is {clock:+.1f} s from that of the frames; give the offset if it is another")
    mine, times = own + clock, said["time"].to_numpy()
    after = np.clip(np.searchsorted(times, mine), 1, max(len(times) - 1, 1))
    gap = times[np.minimum(after, len(times) - 1)] - times[after - 1]
    inside = (
        (mine >= times[0] - _TOLERANCE)
        & (mine <= times[-1] + _TOLERANCE)
        & (gap <= max(_TOLERANCE, 3 * _step(times)))
    )
    if not inside.any():
        raise CrossbandError(
            f"no frame lies within the log {log}: the frames begin {mine.min() - times[0]:+.0f} s from its "
            "begin, with the offset; give another offset",
            parameter="clock",
        )
    if not inside.all():
        note(f"{int((~inside).sum())} of {len(table)} frames are beyond the log {log}, and are left out")
    table = table.copy()
    for name in _FILLED:
        if name in said:
            table[name] = _at(said, name, mine)
    return table[inside]


def clock_offset(
    table: pd.DataFrame, times: np.ndarray, log: pd.DataFrame, pixels: Callable[[int], np.ndarray]
) -> float:
    """Find the seconds to add to the frames' times to get the log's; what cannot be told is 0, and said.

    Args:
        table: of the frames.
        times: of the frames, seconds.
        log: of :func:`read_log`.
        pixels: gives the image of a row.
    """
    stamps = log["time"].to_numpy()
    candidates = _candidates(times, stamps)
    if {"lat", "lon"} <= set(table.columns) & set(log.columns) and table["lat"].notna().all():
        chosen = np.unique(np.linspace(0, len(times) - 1, _MOST).astype(int))
        lat, lon = (table[name].to_numpy(float)[chosen] for name in ("lat", "lon"))
        scale = METERS_PER_DEGREE * np.array([1.0, np.cos(np.radians(lat.mean()))])

        def away(offset: float) -> float:
            at = times[chosen] + offset
            north, east = (lat - _at(log, "lat", at)) * scale[0], (lon - _at(log, "lon", at)) * scale[1]
            outside = (at < stamps[0] - 1) | (at > stamps[-1] + 1)
            return float(np.mean(np.minimum(np.hypot(north, east), 200)) + 200 * outside.mean())

        best = min(candidates, key=lambda offset: (round(away(offset), 3), abs(offset)))
        fine = best + np.arange(-10, 11) / 10
        return float(min(fine, key=lambda offset: (round(away(offset), 3), abs(offset - best))))
    return _by_motion(times, log, pixels, candidates)


def _candidates(times: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """Offsets by the second: about whole half hours of time zones, and those by which both overlap."""
    zones = (np.arange(-28, 29)[:, None] * 1800 + np.arange(-_SEARCHED, _SEARCHED + 1)).ravel()
    low, high = stamps[0] - times[-1], stamps[-1] - times[0]
    overlap = np.arange(np.floor(low), np.ceil(high) + 1) if high - low < 20_000 else np.zeros(0)
    found = np.unique(np.concatenate([zones, overlap]))
    half = (times[-1] - times[0]) / 2
    kept = found[(found >= low + half) & (found <= high - half)]
    return kept if len(kept) else np.zeros(1)


def _by_motion(
    times: np.ndarray, log: pd.DataFrame, pixels: Callable[[int], np.ndarray], candidates: np.ndarray
) -> float:
    """The offset at which the log's speed goes with how fast the ground moves through the images."""
    rows = np.arange(min(len(times), _MOST))
    between = (times[rows][1:] + times[rows][:-1]) / 2
    seen = image_speeds([pixels(int(row)) for row in rows], times[rows])
    stamps, alike = log["time"].to_numpy(), np.zeros(len(candidates))
    for place, offset in enumerate(candidates.tolist() if {"lat", "lon"} <= set(log.columns) else ()):
        at = between + offset
        inside = (at >= stamps[0] + 0.5) & (at <= stamps[-1] - 0.5)
        speed = _log_speed(log, at[inside])
        if inside.sum() >= max(5, len(at) / 2) and speed.std() > _STEADY and seen[inside].std() > 0:
            alike[place] = np.corrcoef(seen[inside], speed)[0, 1]
    best = int(alike.argmax())
    others = alike[np.abs(candidates - candidates[best]) > _NEAR]
    if alike[best] < _ALIKE or (len(others) and others.max() > alike[best] - _APART):
        note("how far the log's clock is from that of the frames cannot be told; it is taken as 0, or give it")
        return 0.0
    return float(candidates[best])


def image_speeds(images: list[np.ndarray], times: np.ndarray) -> np.ndarray:
    """Return how fast the ground moves through consecutive images, pixels a second, float64 ``(n - 1,)``."""
    import cv2

    flat = [image.astype(np.float32) - np.float32(np.median(image)) for image in images]
    window = cv2.createHanningWindow((flat[0].shape[1], flat[0].shape[0]), cv2.CV_32F)
    moved = [np.hypot(*cv2.phaseCorrelate(first, second, window)[0]) for first, second in pairwise(flat)]
    return np.array(moved) / np.maximum(np.diff(times), 1e-3)


def _log_speed(log: pd.DataFrame, at: np.ndarray) -> np.ndarray:
    ahead, behind = at + 0.5, at - 0.5
    north = (_at(log, "lat", ahead) - _at(log, "lat", behind)) * METERS_PER_DEGREE
    scale = METERS_PER_DEGREE * np.cos(np.radians(log["lat"].mean()))
    return np.hypot(north, (_at(log, "lon", ahead) - _at(log, "lon", behind)) * scale)


def _at(log: pd.DataFrame, name: str, times: np.ndarray) -> np.ndarray:
    """A column of the log at some times; angles go the shorter way around."""
    known = log[log[name].notna()]
    values = known[name].to_numpy(float)
    if name == "heading":
        return np.interp(times, known["time"], np.unwrap(values, period=360)) % 360
    return np.interp(times, known["time"], values)


def _step(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0
