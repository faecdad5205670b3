"""The streets: lines, repairs, parking at the curb, bumps and crossings."""

from __future__ import annotations

import numpy as np

from .layout import ParkingSpace, Site, Street
from .materials import M
from .meshes import Kind, Mesh, loft, rectangle, tube
from .street_furniture import add_cones

__all__ = ["add_crossings", "add_markings", "draw_street"]


def draw_street(along_x: bool, center: float, width: float) -> Street:
    """Return a street by its width: two lanes each way where it is wide, else one and parked cars."""
    if width > 12:
        return Street(along_x, center, width, (1.75, 5.2), False)
    return Street(along_x, center, width, (1.72,), True)


def add_markings(
    site: Site,
    street: Street,
    across: tuple[list[tuple[float, float]], list[tuple[float, float]], float],
    length: float,
) -> None:
    """Add the lines, repairs, parking, bumps and cones of a street."""
    z = 0.012
    for start, end in across[0]:
        begin, stop = start + 5.5, end - 5.5
        if len(street.lanes) == 2:
            for offset in (-0.16, 0.16):
                _line(site, street, begin, stop, offset, 0.12, z)
            dashes = [-3.5, 3.5]
        else:
            dashes = [0.0]
            for offset in (-street.width / 2 + 2.25, street.width / 2 - 2.25):
                _line(site, street, begin, stop, offset, 0.10, z)
        for offset in dashes:
            for s in np.arange(begin, stop - 3, 6.0):
                _line(site, street, float(s), float(s) + 3.0, offset, 0.13, z)
        for side, at in ((1, begin - 0.6), (-1, stop + 0.3)):
            edge = sorted(
                (
                    0.0,
                    side
                    * (street.width / 2 - (2.3 if street.parking else 0.3))
                    * (1 if street.along_x else -1),
                )
            )
            _line(site, street, at, at + 0.35, (edge[0] + edge[1]) / 2, edge[1] - edge[0], z)
        _repairs(site, street, begin, stop)
        if street.parking:
            _curb_parking(site, street, begin + 3, stop - 3)
        if len(street.lanes) == 1 and site.rng.random() < 0.3:
            _bump(site, street, float(site.rng.uniform(begin + 8, stop - 8)))
        if site.rng.random() < 0.22:
            s = float(site.rng.uniform(begin + 4, stop - 16))
            offset = street.center + float(site.rng.choice((-1, 1))) * (street.width / 2 - 2.9)
            add_cones(site, *((s, offset) if street.along_x else (offset, s)), 6, street.along_x, on_road=True)


def _repairs(site: Site, street: Street, begin: float, stop: float) -> None:
    """Patches of newer asphalt, and manholes, which the sewer warms at night."""
    for _ in range(int(site.rng.integers(1, 4))):
        s, offset = site.rng.uniform(begin, stop - 9), site.rng.uniform(-0.4, 0.25) * street.width
        length, width = site.rng.uniform(1.5, 9), site.rng.uniform(0.6, 2.2)
        a, b = street.center + offset, street.center + offset + width
        corners = (
            rectangle(s, a, s + length, b, 0.005) if street.along_x else rectangle(a, s, b, s + length, 0.005)
        )
        tone = float(site.rng.uniform(0.6, 0.85))
        site.add(corners, M.ASPHALT, Kind.ROAD, color=(0.105 * tone, 0.102 * tone, 0.10 * tone))
    for _ in range(2):
        s, offset = site.rng.uniform(begin, stop), float(site.rng.choice((-1.7, 1.7)))
        x, y = (s, street.center + offset) if street.along_x else (street.center + offset, s)
        corners, _ = tube((x, y, -0.1), (x, y, 0.008), 0.32, sides=14)
        top = corners[2 * 14 : 3 * 14]
        cover = Mesh.make(top, M.ASPHALT, Kind.ROAD, color=(0.05, 0.048, 0.045))
        site.parts.append(cover.having(heat=cover.heat + np.float32(site.rng.uniform(0.5, 3))))


def _line(site: Site, street: Street, start: float, end: float, offset: float, width: float, z: float) -> None:
    a, b = street.center + offset - width / 2, street.center + offset + width / 2
    corners = rectangle(start, a, end, b, z) if street.along_x else rectangle(a, start, b, end, z)
    site.add(corners, M.MARKING, Kind.ROAD)


def _curb_parking(site: Site, street: Street, start: float, end: float) -> None:
    for side in (-1, 1):
        offset = street.center + side * (street.width / 2 - 1.15)
        for s in np.arange(start + 3, end - 3, 6.4):
            x, y = (float(s), offset) if street.along_x else (offset, float(s))
            # cars park in the direction of traffic, on the right
            heading = (
                (0.0 if side < 0 else np.pi) if street.along_x else (np.pi / 2 if side > 0 else -np.pi / 2)
            )
            site.spaces.append(ParkingSpace(x, y, float(heading)))


def _bump(site: Site, street: Street, at: float) -> None:
    half = street.width / 2 - 0.3
    angle = np.linspace(0, np.pi, 9)
    profile = np.stack([at + 0.35 * np.cos(angle), 0.085 * np.sin(angle)], axis=1)
    stations = np.linspace(street.center - half, street.center + half, 13)
    if street.along_x:
        rings = np.array([[(s, y, z) for s, z in profile] for y in stations])
    else:
        rings = np.array([[(x, s, z) for s, z in profile[::-1]] for x in stations])
    skin = loft(rings)
    mesh = Mesh.make(skin.reshape(-1, 3, 3), M.RUBBER, Kind.BUMP)
    stripes = np.repeat(np.arange(skin.shape[0]) % 2, skin.shape[1] * 2)[:, None]
    color = np.where(stripes, (0.55, 0.42, 0.03), (0.03, 0.03, 0.03)).astype(np.float32)
    flip = mesh.normals[:, 0, 2].mean() < 0
    mesh = mesh.having(color=color, normals=-mesh.normals if flip else mesh.normals, instance=site.number())
    site.parts.append(mesh)


def add_crossings(site: Site, columns: list[tuple[float, float]], rows: list[tuple[float, float]]) -> None:
    """Zebra crossings on all four arms of every crossroads."""
    stripes = []
    for cx, wx in columns:
        for cy, wy in rows:
            for side in (-1, 1):
                at = cy + side * (wy / 2 + 2.6)
                for x in np.arange(cx - wx / 2 + 0.5, cx + wx / 2 - 0.5, 1.0):
                    stripes.append(rectangle(x, at - 1.5, x + 0.5, at + 1.5, 0.014))
                at = cx + side * (wx / 2 + 2.6)
                for y in np.arange(cy - wy / 2 + 0.5, cy + wy / 2 - 0.5, 1.0):
                    stripes.append(rectangle(at - 1.5, y, at + 1.5, y + 0.5, 0.014))
    site.add(np.concatenate(stripes), M.MARKING, Kind.ROAD)
