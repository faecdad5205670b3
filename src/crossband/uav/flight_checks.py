"""What is wrong in a flight's table, and can be mended or left out; all of it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import CrossbandError
from ..geo import METERS_PER_DEGREE
from ..progress import note

__all__ = ["mend"]

_JUMP = 100.0  # meters from the middle of its neighbors, beyond which a position is none
_STEPS = 6.0  # and as many usual distances between two frames
_AROUND = 3  # frames before and after
_HORIZON = -10.0  # degrees: above it, a frame shows hardly any ground


def mend(table: pd.DataFrame, source: Path) -> pd.DataFrame:
    """Mend positions that jump, and leave out frames that look at the horizon.

    Args:
        table: with all that a flight needs; its index stays that of the frames kept.
        source: what the frames are of.

    Raises:
        CrossbandError: no frame looks at the ground.
    """
    level = (table["pitch"] > _HORIZON).to_numpy(bool)
    if level.all():
        raise CrossbandError(
            f"all frames of {source} look at the horizon or above (pitch above {_HORIZON:g} degrees), where no "
            "place on the ground can be told; is the pitch right? straight down is -90"
        )
    if level.any():
        first = table["frame"].to_numpy()[level][0]
        note(f"{int(level.sum())} of {len(table)} frames look at the horizon, first {first}, and are left out")
        table = table[~level]
    return _mend_jumps(table.copy(), source)


def _mend_jumps(table: pd.DataFrame, source: Path) -> pd.DataFrame:
    parts = table["sequence"].fillna("").astype(str) if "sequence" in table else pd.Series("", table.index)
    jumped: list[tuple[str, float]] = []
    for part in parts.unique():
        where = np.flatnonzero((parts == part).to_numpy(bool))
        at = table[["lat", "lon"]].to_numpy(float)[where]
        scale = METERS_PER_DEGREE * np.array([1.0, np.cos(np.radians(at[:, 0].mean()))])
        off = _off(at * scale)
        bad = off > _limit(at * scale)
        if not bad.any() or bad.mean() > 0.3:
            continue
        for column, name in enumerate(("lat", "lon")):
            values = table[name].to_numpy(float).copy()
            values[where[bad]] = np.interp(np.flatnonzero(bad), np.flatnonzero(~bad), at[~bad, column])
            table[name] = values
        names = table["frame"].to_numpy()[where[bad]]
        jumped += list(zip(names.tolist(), off[bad].tolist(), strict=True))
    if jumped:
        name, meters = jumped[0]
        note(
            f"the positions of {len(jumped)} of {len(table)} frames of {source} jump, first {name} by "
            f"{meters:.0f} m; theirs are taken from their neighbors"
        )
    return table


def _off(at: np.ndarray) -> np.ndarray:
    """Meters of each position from the median of those around it."""
    middle = [np.median(at[max(i - _AROUND, 0) : i + _AROUND + 1], axis=0) for i in range(len(at))]
    return np.hypot(*(at - np.array(middle)).T)


def _limit(at: np.ndarray) -> float:
    step = float(np.median(np.hypot(*np.diff(at, axis=0).T))) if len(at) > 1 else 0.0
    return max(_JUMP, _STEPS * step)
