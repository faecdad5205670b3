"""Meters and degrees on the Earth, and points on it as GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import write_file

__all__ = ["EARTH_RADIUS", "METERS_PER_DEGREE", "point_feature", "write_points"]

EARTH_RADIUS = 6_371_008.8
"""Mean radius, meters."""

METERS_PER_DEGREE = 111_320.0
"""Of latitude, and of longitude on the equator; with the cosine of the latitude, elsewhere."""


def point_feature(place: tuple[float, float] | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point as a feature of GeoJSON (RFC 7946: longitude first).

    Args:
        place: latitude and longitude, degrees; ``None`` where nobody knows.
        said: its properties.

    Example:
        >>> point_feature((48.5, 9.25), {"class": "car"})["geometry"]
        {'type': 'Point', 'coordinates': [9.25, 48.5]}
    """
    at = None if place is None else {"type": "Point", "coordinates": [round(place[1], 8), round(place[0], 8)]}
    return {"type": "Feature", "geometry": at, "properties": dict(said)}


def write_points(path: Path, features: Sequence[Mapping[str, Any]] | None) -> None:
    """Write features as a file of GeoJSON; where there are none to write, remove what another run left."""
    if features is None:
        path.unlink(missing_ok=True)
        return
    write_file(path, json.dumps({"type": "FeatureCollection", "features": list(features)}))
