"""The blocks between the streets: buildings by use, yards, parks and parking."""

from __future__ import annotations

import numpy as np

from .buildings import building_mesh, draw_building
from .layout import CURB_HEIGHT, ParkingSpace, Site
from .materials import M
from .meshes import Kind, Mesh, box, rectangle
from .street_furniture import add_bench, add_cones, add_street_furniture, add_tree, scatter_trees

__all__ = ["add_block", "add_outskirts", "parking_aisles"]

_PAVEMENT = 3.6  # meters


def add_block(site: Site, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
    """Add a block: its pavement, what its use puts on it, and what stands along its curbs."""
    _pavement(site, x0, y0, x1, y1)
    inner = (x0 + _PAVEMENT, y0 + _PAVEMENT, x1 - _PAVEMENT, y1 - _PAVEMENT)
    floor = {"office": M.PAVING, "shops": M.CONCRETE, "parking": M.ASPHALT}.get(use, M.GRASS)
    kind = {M.GRASS: Kind.GRASS, M.ASPHALT: Kind.ROAD}.get(floor, Kind.PAVEMENT)
    site.add(rectangle(*inner, CURB_HEIGHT + 0.015), floor, kind)
    {
        "houses": _houses,
        "apartments": _perimeter,
        "shops": _perimeter,
        "office": _offices,
        "park": _park,
        "parking": _parking,
    }[use](site, *inner, use)
    add_street_furniture(site, x0, y0, x1, y1)


def _pavement(site: Site, x0: float, y0: float, x1: float, y1: float) -> None:
    site.add(rectangle(x0, y0, x1, y1, CURB_HEIGHT), M.PAVING, Kind.PAVEMENT)
    w, h = 0.28, CURB_HEIGHT + 0.012
    for low, high in (
        ((x0, y0, -0.1), (x1, y0 + w, h)),
        ((x0, y1 - w, -0.1), (x1, y1, h)),
        ((x0, y0 + w, -0.1), (x0 + w, y1 - w, h)),
        ((x1 - w, y0 + w, -0.1), (x1, y1 - w, h)),
    ):
        site.add(box(low, high), M.CURB, Kind.CURB)


def _building(site: Site, low: tuple[float, float], high: tuple[float, float], use: str) -> None:
    building = draw_building(site.rng, site.number(), low, high, use)
    site.buildings.append(building)
    site.parts.append(building_mesh(building, site.rng))


def _perimeter(site: Site, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
    """Buildings wall to wall around a yard, with a gap here and there."""
    depth = float(site.rng.uniform(10.5, 13))
    for y, far in ((y0, y0 + depth), (y1 - depth, y1)):
        x = x0
        while x < x1 - 8:
            width = float(min(site.rng.uniform(13, 24), x1 - x))
            width = x1 - x if x1 - (x + width) < 9 else width
            if site.rng.random() > 0.10:
                _building(site, (x, y), (x + width, far), use)
            x += width
    for x, far in ((x0, x0 + depth), (x1 - depth, x1)):
        y, end = y0 + depth + 3, y1 - depth - 3
        if end - y > 9 and site.rng.random() < 0.75:
            _building(site, (x, y), (far, end), use)
    scatter_trees(site, x0 + depth + 3, y0 + depth + 3, x1 - depth - 3, y1 - depth - 3, 6)


def _houses(site: Site, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
    columns = max(int((x1 - x0) / 17), 1)
    for i in range(columns):
        for row in range(2):
            wx, wy = site.rng.uniform(8.5, 11.5), site.rng.uniform(8, 10.5)
            cx = x0 + (i + 0.5) * (x1 - x0) / columns
            cy = y0 + 4 + wy / 2 if row == 0 else y1 - 4 - wy / 2
            _building(site, (cx - wx / 2, cy - wy / 2), (cx + wx / 2, cy + wy / 2), "house")
    scatter_trees(site, x0 + 2, (y0 + y1) / 2 - 7, x1 - 2, (y0 + y1) / 2 + 7, 9)
    for y in (y0 + 0.4, y1 - 0.4):
        for begin, end in ((x0 + 1, (x0 + x1) / 2 - 2), ((x0 + x1) / 2 + 2, x1 - 1)):
            _hedge(site, begin, y - 0.4, end, y + 0.4)


def _hedge(site: Site, x0: float, y0: float, x1: float, y1: float) -> None:
    n = int((x1 - x0) * 14)
    centers = site.rng.uniform((x0, y0, 0.25), (x1, y1, 1.15), (n, 3))
    corners = centers[:, None] + site.rng.normal(0, 0.20, (n, 3, 3))
    mesh = Mesh.make(corners, M.LEAVES, Kind.TREE)
    shade = site.rng.uniform(0.6, 1.1, n).astype(np.float32)[:, None]
    site.parts.append(mesh.having(color=mesh.color * shade))
    site.add(box((x0, y0 + 0.1, 0.1), (x1, y1 - 0.1, 1.05)), M.LEAVES, Kind.TREE, color=(0.02, 0.045, 0.012))


def _offices(site: Site, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
    split = x0 + (x1 - x0) * float(site.rng.uniform(0.42, 0.58))
    for a, b in ((x0 + 2, split - 5), (split + 5, x1 - 2)):
        _building(site, (a, y0 + 2 + site.rng.uniform(0, 5)), (b, y1 - 2 - site.rng.uniform(0, 12)), "office")
    for y in np.arange(y0 + 6, y1 - 4, 9.0):
        add_tree(site, split, float(y), 0.75)


def _park(site: Site, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    for rect in ((x0, cy - 1.4, x1, cy + 1.4), (cx - 1.4, y0, cx + 1.4, y1)):
        site.add(rectangle(*rect, CURB_HEIGHT + 0.03), M.PAVING, Kind.PAVEMENT)
    scatter_trees(site, x0 + 3, y0 + 3, x1 - 3, y1 - 3, 26, avoid=(cx, cy, 3.2))
    for side in (-1, 1):
        for x in np.linspace(x0 + 8, x1 - 8, 4):
            add_bench(site, float(x), cy + side * 2.1)


_SPACE, _CONES = (
    5.4,
    5.0,
)  # meters: from the middle of a row to the ends of its spaces; of the cones from the end
_CAR = 1.3  # meters on each side of the middle of a car


def _parking_rows(y0: float, y1: float) -> np.ndarray:
    """Where spaces meet head to head."""
    return np.arange(y0 + 6, y1 - 8, 16.0)


def parking_aisles(y0: float, y1: float) -> list[float]:
    """Return where ways along x pass behind a parking lot's spaces, y in meters.

    Those between whose cars and cones another car does not fit are left out.

    Args:
        y0, y1: of the block, curb to curb.

    Example:
        >>> [round(y, 1) for y in parking_aisles(0.0, 50.0)]
        [17.6, 33.6]
    """
    low, high = y0 + _PAVEMENT, y1 - _PAVEMENT
    aisles = [(float(row), min(float(row) + 8.0, high - 2.6)) for row in _parking_rows(low, high)]
    return [y for row, y in aisles if y - row > _SPACE + _CAR and abs(y - (high - _CONES)) > _CAR + 0.2]


def _parking(site: Site, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
    z = CURB_HEIGHT + 0.028
    for y in _parking_rows(y0, y1):
        for x in np.arange(x0 + 4, x1 - 4, 2.7):
            for side in (-1, 1):
                begin = float(y) + side * 0.4
                low, high = sorted((begin, begin + side * 5.0))
                site.add(rectangle(float(x) - 0.06, low, float(x) + 0.06, high, z), M.MARKING, Kind.ROAD)
                if float(x) + 2.7 < x1 - 4:
                    middle = float(x) + 1.35
                    stop = begin + side * 0.35
                    corners = box((middle - 0.85, stop - 0.09, 0.1), (middle + 0.85, stop + 0.09, z + 0.12))
                    site.add(corners, M.CONCRETE, Kind.CAR_STOP, color=(0.5, 0.48, 0.40))
                    heading = -side * np.pi / 2
                    site.spaces.append(ParkingSpace(middle, begin + side * 3.0, float(heading)))
    add_cones(site, (x0 + x1) / 2, y1 - _CONES, 5, along_x=True, on_road=False)


def add_outskirts(site: Site, width: float, height: float) -> None:
    """Add buildings around the city, so that no street ends in the void."""
    for side in range(4):
        s, extent = -40.0, (width if side < 2 else height) + 40.0
        while s < extent:
            length = float(site.rng.uniform(16, 30))
            gap, depth = float(site.rng.uniform(5, 9)), float(site.rng.uniform(12, 18))
            near = (-gap - depth, height + gap, -gap - depth, width + gap)[side]
            low, high = ((s, near), (s + length, near + depth))
            low, high = (low, high) if side < 2 else (low[::-1], high[::-1])
            _building(site, low, high, str(site.rng.choice(["apartments", "apartments", "shops", "office"])))
            s += length + float(site.rng.choice([0.0, 0.0, 7.0]))
