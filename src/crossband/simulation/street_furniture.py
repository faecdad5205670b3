"""What stands along the curbs: trees, lamps, rails, bicycles, bins, signals, benches and cones."""

from __future__ import annotations

import numpy as np

from .bodies import bicycle_mesh
from .layout import CURB_HEIGHT, Site
from .materials import M
from .meshes import Kind, Mesh, box, merge, tube

__all__ = ["add_bench", "add_cones", "add_street_furniture", "add_tree", "scatter_trees"]


def add_bench(site: Site, x: float, y: float) -> None:
    """Add a bench."""
    site.add(box((x - 0.9, y - 0.2, 0.55), (x + 0.9, y + 0.25, 0.62)), M.WOOD, Kind.FURNITURE)
    site.add(box((x - 0.9, y + 0.2, 0.62), (x + 0.9, y + 0.26, 1.0)), M.WOOD, Kind.FURNITURE)
    for leg in (-0.7, 0.7):
        site.add(box((x + leg - 0.04, y - 0.15, 0.1), (x + leg + 0.04, y + 0.2, 0.55)), M.STEEL, Kind.FURNITURE)


def add_cones(site: Site, x: float, y: float, n: int, along_x: bool, on_road: bool) -> None:
    """Add a row of traffic cones."""
    for i in range(n):
        dx, dy = (i * 2.2, 0.25 * i) if along_x else (0.25 * i, i * 2.2)
        cx, cy = x + dx, y + dy
        z = 0.0 if on_road else CURB_HEIGHT
        parts = []
        for low, high, r0, r1, color in (
            (0.03, 0.30, 0.17, 0.11, (0.60, 0.13, 0.02)),
            (0.30, 0.48, 0.11, 0.075, (0.7, 0.7, 0.68)),
            (0.48, 0.72, 0.075, 0.025, (0.60, 0.13, 0.02)),
        ):
            corners, normals = tube((cx, cy, z + low), (cx, cy, z + high), r0, r1, sides=10)
            parts.append(Mesh.make(corners, M.PLASTIC, Kind.CONE, normals=normals, color=color, nir=0.6))
        base = box((cx - 0.2, cy - 0.2, z), (cx + 0.2, cy + 0.2, z + 0.04))
        parts.append(Mesh.make(base, M.RUBBER, Kind.CONE))
        site.parts.append(merge(parts).having(instance=site.number()))


def scatter_trees(
    site: Site,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    n: int,
    avoid: tuple[float, float, float] | None = None,
) -> None:
    """Add trees at random places of a rectangle, none near a circle ``(x, y, radius)`` to avoid."""
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    for _ in range(n):
        x, y = float(site.rng.uniform(x0, x1)), float(site.rng.uniform(y0, y1))
        if avoid and min(abs(x - avoid[0]), abs(y - avoid[1])) < avoid[2]:
            continue
        add_tree(site, x, y, float(site.rng.uniform(0.7, 1.15)))


def add_tree(site: Site, x: float, y: float, scale: float) -> None:
    """Add a tree."""
    tree = site.trees[site.rng.integers(len(site.trees))]
    heading = float(site.rng.uniform(0, 2 * np.pi))
    site.parts.append(tree.placed(x, y, 0.15, heading, scale).having(instance=site.number()))


def add_street_furniture(site: Site, x0: float, y0: float, x1: float, y1: float) -> None:
    """Add what stands along the four curbs of a block."""
    for side in range(4):
        start, end = (x0, x1) if side < 2 else (y0, y1)
        edge = (y0, y1, x0, x1)[side]
        inward = 1 if side in (0, 2) else -1
        _lamps_along(site, start, end, edge + inward * 0.7, side)
        choice = site.rng.random()
        if choice < 0.5:
            for s in np.arange(start + 12, end - 10, float(site.rng.uniform(9, 14))):
                p = (float(s), edge + inward * 1.3) if side < 2 else (edge + inward * 1.3, float(s))
                add_tree(site, *p, float(site.rng.uniform(0.62, 0.85)))
        elif choice < 0.75:
            _guardrail(site, start + 9, end - 9, edge + inward * 0.42, side < 2)
        if site.rng.random() < 0.4:
            _bicycles(site, float(site.rng.uniform(start + 10, end - 16)), edge + inward * 2.6, side < 2)
        _bin(site, float(site.rng.uniform(start + 6, end - 6)), edge + inward * 2.9, side < 2)
    for x, y, heading in ((x0 + 0.8, y0 + 0.8, 3.9), (x1 - 0.8, y1 - 0.8, 0.8)):
        _signal(site, x, y, heading)


def _lamps_along(site: Site, start: float, end: float, edge: float, side: int) -> None:
    heading = (-np.pi / 2, np.pi / 2, np.pi, 0.0)[side]
    offset = 8.0 if side in (0, 2) else 20.0
    for s in np.arange(start + offset, end - 4, 27.0):
        x, y = (float(s), edge) if side < 2 else (edge, float(s))
        number = site.number()
        site.parts.append(site.lamp.placed(x, y, CURB_HEIGHT, heading).having(instance=number))
        site.lamps.append((x + 1.42 * np.cos(heading), y + 1.42 * np.sin(heading), CURB_HEIGHT + 6.9))


def _guardrail(site: Site, start: float, end: float, edge: float, along_x: bool) -> None:
    if end - start < 6:
        return
    parts = []
    for z0, z1 in ((0.55, 0.72), (0.95, 1.03)):
        low, high = (start, edge - 0.04, z0), (end, edge + 0.04, z1)
        parts.append(_swapped(low, high, along_x))
    for s in np.arange(start, end, 2.0):
        parts.append(_swapped((s, edge - 0.04, 0.1), (s + 0.08, edge + 0.04, 1.0), along_x))
    mesh = Mesh.make(np.concatenate(parts), M.STEEL, Kind.GUARDRAIL, color=(0.45, 0.45, 0.44))
    site.parts.append(mesh.having(instance=site.number()))


def _bicycles(site: Site, start: float, edge: float, along_x: bool) -> None:
    for i in range(int(site.rng.integers(2, 5))):
        s = start + 0.7 * i
        x, y = (s, edge) if along_x else (edge, s)
        color = np.array([(0.4, 0.03, 0.03), (0.03, 0.08, 0.3), (0.02, 0.02, 0.02), (0.4, 0.4, 0.4)])
        bicycle = bicycle_mesh(site.number(), tuple(color[site.rng.integers(4)]))
        heading = (np.pi / 2 if along_x else 0.0) + float(site.rng.normal(0, 0.06))
        site.parts.append(bicycle.placed(x, y, CURB_HEIGHT, heading))


def _bin(site: Site, s: float, edge: float, along_x: bool) -> None:
    x, y = (s, edge) if along_x else (edge, s)
    corners, normals = tube((x, y, 0.1), (x, y, 1.1), 0.28, sides=10)
    mesh = Mesh.make(corners, M.PAINTED_STEEL, Kind.FURNITURE, normals=normals, color=(0.05, 0.10, 0.06))
    site.parts.append(mesh.having(instance=site.number()))


def _signal(site: Site, x: float, y: float, heading: float) -> None:
    corners, normals = tube((x, y, 0), (x, y, 3.4), 0.06)
    pole = Mesh.make(corners, M.PAINTED_STEEL, normals=normals)
    head = Mesh.make(box((0.05, -0.14, 2.5), (0.30, 0.14, 3.4)), M.PLASTIC).placed(x, y, 0, heading)
    lights = [
        Mesh.make(box((0.29, -0.09, z), (0.32, 0.09, z + 0.18)), M.LAMP_GLASS, color=c).placed(x, y, 0, heading)
        for z, c in ((3.15, (0.6, 0.03, 0.02)), (2.85, (0.5, 0.3, 0.02)), (2.56, (0.02, 0.4, 0.15)))
    ]
    site.parts.append(merge([pole, head, *lights]).having(instance=site.number()))


def _swapped(low: tuple, high: tuple, along_x: bool) -> np.ndarray:
    """A box given along x, laid along y where the street runs that way."""
    if along_x:
        return box(low, high)
    return box((low[1], low[0], low[2]), (high[1], high[0], high[2]))
