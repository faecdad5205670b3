"""Protocols: which gallery items are right for a query, and which do not count.

==============  ===================================================================================
``exact``       right is the query's own frame and nothing else (Pendota and Channappayya, 3.4)
``place``       right is every frame with the query's ``place``
``within:25``   right is every frame at most 25 meters away (``x``, ``y``; or ``lat``, ``lon`` in degrees,
                along a great circle)
``index:2``     right is every frame whose number along its sequence is at most 2 away (the column ``index``;
                without it the order of each sequence's frames), as in walks of one way
==============  ===================================================================================

In all of them the query's own image is dropped from the gallery when both are of the same band, and a
query without a right item is dropped and counted. A gallery item without place or position is never right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from ..geo import EARTH_RADIUS

__all__ = ["PROTOCOLS", "Protocol"]

PROTOCOLS = ("exact", "place", "within:METERS", "index:FRAMES")


@dataclass(frozen=True)
class Protocol:
    """A named rule of what is right; see the module's table.

    ``meters`` are frames where the rule is ``index``.

    Example:
        >>> str(Protocol.parse("within:25"))
        'within:25'
    """

    name: str
    meters: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """Read a protocol's name.

        Raises:
            CrossbandError: no such protocol.
        """
        name, _, meters = text.partition(":")
        if name in ("exact", "place") and not meters:
            return cls(name)
        try:
            if name == "within" and float(meters) > 0:
                return cls(name, float(meters))
            if name == "index" and int(meters) >= 0:
                return cls(name, int(meters))
        except ValueError:
            pass
        raise unknown_name("protocol", text, PROTOCOLS)

    def __str__(self) -> str:
        return f"{self.name}:{self.meters:g}" if self.name in ("within", "index") else self.name

    def check(self, frames: Frames, same_band: bool) -> None:
        """Check that the frames have what the protocol needs.

        Raises:
            CrossbandError: a column is missing, or each query would only find itself.
        """
        if self.name == "exact" and same_band:
            raise CrossbandError(
                "query and gallery are the same images, so under protocol exact each would only find itself; "
                "choose two bands, or the protocol place",
                parameter="protocol",
            )
        if self.name == "place" and not frames.has("place"):
            raise CrossbandError("protocol place needs the column 'place', which these frames lack")
        if self.name == "within" and not any(
            frames.has(a) and frames.has(b) for a, b in (("x", "y"), ("lat", "lon"))
        ):
            raise CrossbandError(
                "protocol within needs the columns x and y, or lat and lon, which these frames lack"
            )

    def positives(self, queries: Frames, gallery: Frames) -> PositiveMask:
        """Return the mask of right gallery items for any block of queries."""
        if self.name == "within":
            return self._near(queries, gallery)
        if self.name == "index":
            return PositiveMask(_index(queries), _index(gallery), self.meters)
        column = "place" if self.name == "place" else "frame"
        codes: dict[str, int] = {}
        known = [
            np.array(
                [-1 if value is None else codes.setdefault(value, len(codes)) for value in values], np.int32
            )
            for values in (_column(queries, column), _column(gallery, column))
        ]
        return PositiveMask(known[0], np.where(known[1] < 0, -2, known[1]), None)

    def _near(self, queries: Frames, gallery: Frames) -> PositiveMask:
        if all(frames.has("x") and frames.has("y") for frames in (queries, gallery)):
            mine, theirs = (frames.table[["x", "y"]].to_numpy(float) for frames in (queries, gallery))
            return PositiveMask(mine, theirs, self.meters)
        # a chord is as good as the arc it cuts off, and needs no plane that is wrong far from its middle
        half_turn = min(self.meters / (2 * EARTH_RADIUS), np.pi / 2)
        return PositiveMask(_on_sphere(queries), _on_sphere(gallery), 2 * EARTH_RADIUS * np.sin(half_turn))


@dataclass(frozen=True)
class PositiveMask:
    """The right gallery items of queries: equal codes ``(n,)``, or positions ``(n, 2 or 3)`` in meters."""

    queries: np.ndarray
    gallery: np.ndarray
    meters: float | None

    def block(self, start: int, stop: int) -> np.ndarray:
        """Return the mask of some queries, boolean ``(stop - start, gallery)``."""
        mine = self.queries[start:stop, None]
        if self.meters is None:
            return mine == self.gallery[None]
        axes = range(mine.shape[-1])
        squared = sum((mine[..., axis] - self.gallery[None, :, axis]) ** 2 for axis in axes)
        return np.sqrt(squared) <= self.meters


def _column(frames: Frames, column: str) -> list[str | None]:
    return [None if value is None or value != value else str(value) for value in _objects(frames, column)]


def _objects(frames: Frames, column: str) -> list[object]:
    values = frames.table[column].astype(object)
    return values.where(values.notna(), None).tolist()


def _index(frames: Frames) -> np.ndarray:
    """The number of each frame along its sequence, ``(n, 1)``."""
    table = frames.table
    if frames.has("index"):
        return pd.to_numeric(table["index"], errors="coerce").to_numpy(float)[:, None]
    if not frames.has("sequence"):
        return np.arange(len(frames), dtype=float)[:, None]
    return table.groupby("sequence", dropna=False, sort=False).cumcount().to_numpy(float)[:, None]


def _on_sphere(frames: Frames) -> np.ndarray:
    """Latitudes and longitudes in degrees as points ``(n, 3)`` of a sphere, meters; not a number without."""
    if not (frames.has("lat") and frames.has("lon")):
        return np.full((len(frames), 3), np.nan)
    lat, lon = np.radians(frames.table[["lat", "lon"]].to_numpy(float)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1) * EARTH_RADIUS
