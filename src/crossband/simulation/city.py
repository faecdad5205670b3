"""The city: streets, blocks and what stands in them, all from one seed.

A grid of streets runs along the axes; x is east, y is north, in meters from the city's south-west corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geo import METERS_PER_DEGREE
from .blocks import add_block, add_outskirts
from .buildings import Building
from .layout import ParkingSpace, Site, Street
from .materials import M
from .meshes import Kind, Mesh, merge, rectangle
from .streets import add_crossings, add_markings, draw_street

__all__ = ["LATITUDE", "LONGITUDE", "City", "ParkingSpace", "Street", "build_city", "geographic"]

LATITUDE, LONGITUDE = 48.70, 9.10
"""Where the city's origin lies on the Earth, degrees."""

_BLOCKS = 5


@dataclass(frozen=True)
class City:
    """Everything that does not move.

    Attributes:
        seed: what it was made from.
        extent: meters, east and north; the city lies in ``[0, extent]``.
        streets: all streets.
        blocks: ``(x0, y0, x1, y1, use)`` of each block, to the curbs.
        buildings: all buildings, by number from 1.
        mesh: the triangles.
        lamps: ``(n, 3)`` positions of the lights of the street lamps, meters.
        spaces: where cars may park.
        first_free: the first instance number that nothing of the city has.
    """

    seed: int
    extent: tuple[float, float]
    streets: tuple[Street, ...]
    blocks: tuple[tuple[float, float, float, float, str], ...]
    buildings: tuple[Building, ...]
    mesh: Mesh
    lamps: np.ndarray
    spaces: tuple[ParkingSpace, ...]
    first_free: int


def geographic(x: np.ndarray | float, y: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Convert positions in the city to latitude and longitude in degrees.

    The projection is equirectangular about the city's corner.

    Example:
        >>> latitude, longitude = geographic(0.0, 0.0)
        >>> float(latitude), float(longitude)
        (48.7, 9.1)
    """
    latitude = LATITUDE + np.asarray(y) / METERS_PER_DEGREE
    return latitude, LONGITUDE + np.asarray(x) / (METERS_PER_DEGREE * np.cos(np.radians(LATITUDE)))


def build_city(seed: int) -> City:
    """Build the city of a seed; the same seed gives the same triangles.

    Example:
        >>> city = build_city(0)
        >>> len(city.buildings) > 20 and len(city.lamps) > 50
        True
    """
    site = Site(seed)
    columns, rows = _spans(site), _spans(site)
    streets = tuple(
        [draw_street(False, c, w) for c, w in columns[1]] + [draw_street(True, c, w) for c, w in rows[1]]
    )
    width, height = columns[2], rows[2]
    blocks = _block_uses(site, columns[0], rows[0])
    _ground(site, width, height)
    for block in blocks:
        add_block(site, *block)
    add_outskirts(site, width, height)
    for street in streets:
        add_markings(
            site, street, rows if not street.along_x else columns, height if not street.along_x else width
        )
    add_crossings(site, columns[1], rows[1])
    return City(
        site.seed,
        (width, height),
        streets,
        tuple(blocks),
        tuple(site.buildings),
        merge(site.parts),
        np.array(site.lamps, np.float32),
        tuple(site.spaces),
        site.next_number,
    )


def _spans(site: Site) -> tuple[list[tuple[float, float]], list[tuple[float, float]], float]:
    """Spans of the blocks, (middle, width) of the streets, and the whole extent along one axis."""
    position, blocks, streets = 0.0, [], []
    for i in range(_BLOCKS + 1):
        width = 14.0 if i in (1, 4) else 11.4
        streets.append((position + width / 2, width))
        position += width
        if i < _BLOCKS:
            size = float(site.rng.uniform(54, 82))
            blocks.append((position, position + size))
            position += size
    return blocks, streets, position


def _block_uses(
    site: Site, columns: list[tuple[float, float]], rows: list[tuple[float, float]]
) -> list[tuple[float, float, float, float, str]]:
    uses = ["apartments"] * 8 + ["shops"] * 6 + ["office"] * 4 + ["houses"] * 3 + ["park"] * 2 + ["parking"] * 2
    order = site.rng.permutation(uses)
    cells = [(x0, y0, x1, y1) for x0, x1 in columns for y0, y1 in rows]
    return [(*cell, str(use)) for cell, use in zip(cells, order, strict=True)]


def _ground(site: Site, width: float, height: float) -> None:
    site.add(rectangle(-60, -60, width + 60, height + 60, 0.0), M.ASPHALT, Kind.ROAD)
    site.add(rectangle(-3000, -3000, width + 3000, height + 3000, -0.3), M.GRASS, Kind.GRASS)
