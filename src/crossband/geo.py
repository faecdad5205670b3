"""Meters and degrees on the Earth."""

from __future__ import annotations

__all__ = ["EARTH_RADIUS", "METERS_PER_DEGREE"]

EARTH_RADIUS = 6_371_008.8
"""Mean radius, meters."""

METERS_PER_DEGREE = 111_320.0
"""Of latitude, and of longitude on the equator; with the cosine of the latitude, elsewhere."""
