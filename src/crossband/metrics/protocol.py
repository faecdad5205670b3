"""Protocols: which gallery items are right for a query, and which do not count.

==============  ===================================================================================
``exact``       right is the query's own frame and nothing else (Pendota and Channappayya, 3.4)
``place``       right is every frame with the query's ``place``
``within:25``   right is every frame at most 25 metres away (``x``, ``y``, or ``lat``, ``lon``)
==============  ===================================================================================

In all of them the query's own image is dropped from the gallery when both are of the same band, and a
query without a right item is dropped and counted. A gallery item without place or position is never right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError, unknown_name
from ..frames import Frames

__all__ = ["PROTOCOLS", "Protocol"]

PROTOCOLS = ("exact", "place", "within:METRES")
_EARTH_RADIUS_M = 6_371_008.8


@dataclass(frozen=True)
class Protocol:
    """A named rule of what is right; see the module's table.

    Example:
        >>> str(Protocol.parse("within:25"))
        'within:25'
    """

    name: str
    metres: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """Read a protocol's name.

        Raises:
            CrossbandError: no such protocol.
        """
        name, _, metres = text.partition(":")
        if name in ("exact", "place") and not metres:
            return cls(name)
        try:
            if name == "within" and float(metres) > 0:
                return cls(name, float(metres))
        except ValueError:
            pass
        raise unknown_name("protocol", text, PROTOCOLS)

    def __str__(self) -> str:
        return f"within:{self.metres:g}" if self.name == "within" else self.name

    def check(self, frames: Frames, same_band: bool) -> None:
        """See that the frames carry what the protocol needs.

        Raises:
            CrossbandError: a column is missing, or each query would only find itself.
        """
        if self.name == "exact" and same_band:
            raise CrossbandError(
                "query and gallery are the same images, so under protocol exact each would only find itself; "
                "choose two bands, or --protocol place"
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
        """What tells the right gallery items of any block of queries."""
        if self.name == "within":
            return PositiveMask(_positions(queries), _positions(gallery), self.metres)
        column = "place" if self.name == "place" else "frame"
        codes: dict[str, int] = {}
        known = [
            np.array([-1 if value is None else codes.setdefault(value, len(codes)) for value in values])
            for values in (_column(queries, column), _column(gallery, column))
        ]
        return PositiveMask(known[0], np.where(known[1] < 0, -2, known[1]), None)


@dataclass(frozen=True)
class PositiveMask:
    """Tells which gallery items are right: equal codes ``(n,)``, or positions ``(n, 2)`` in metres."""

    queries: np.ndarray
    gallery: np.ndarray
    metres: float | None

    def block(self, start: int, stop: int) -> np.ndarray:
        """Boolean ``(stop - start, gallery)``."""
        mine = self.queries[start:stop, None]
        if self.metres is None:
            return mine == self.gallery[None]
        with np.errstate(invalid="ignore"):
            return np.hypot(*np.moveaxis(mine - self.gallery[None], -1, 0)) <= self.metres


def _column(frames: Frames, column: str) -> list[str | None]:
    return [None if value is None or value != value else str(value) for value in _objects(frames, column)]


def _objects(frames: Frames, column: str) -> list[object]:
    values = frames.table[column].astype(object)
    return values.where(values.notna(), None).tolist()


def _positions(frames: Frames) -> np.ndarray:
    """Metres ``(n, 2)``; of latitude and longitude, on a plane tangent near the frames' middle."""
    if frames.has("x") and frames.has("y"):
        return frames.table[["x", "y"]].to_numpy(float)
    lat, lon = np.radians(frames.table[["lat", "lon"]].to_numpy(float)).T
    return np.stack([lon * np.cos(lat), lat], 1) * _EARTH_RADIUS_M
