"""Buildings of several kinds; their windows are drawn on the facades when they are shaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .materials import M
from .meshes import Kind, Mesh, box, merge, quads

__all__ = ["Building", "building_mesh", "draw_building"]

_WALLS: dict[M, tuple[tuple[float, float, float], ...]] = {
    M.BRICK: ((0.30, 0.14, 0.095), (0.36, 0.20, 0.13), (0.22, 0.12, 0.09), (0.42, 0.33, 0.24)),
    M.PLASTER: (
        (0.60, 0.55, 0.45),
        (0.62, 0.50, 0.30),
        (0.50, 0.48, 0.45),
        (0.58, 0.40, 0.32),
        (0.42, 0.48, 0.46),
    ),
    M.CONCRETE: ((0.36, 0.35, 0.33), (0.27, 0.265, 0.255)),
    M.PANEL: ((0.42, 0.43, 0.44), (0.20, 0.22, 0.25), (0.52, 0.50, 0.46)),
}


@dataclass(frozen=True)
class Building:
    """One building, its walls along the axes.

    Attributes:
        number: the instance number in the label images.
        low, high: corners of its ground plan, meters.
        floors: stories.
        floor_height: meters.
        bay: distance between windows along a wall, meters.
        window: width / bay and height / floor height of a window.
        style: 0 single windows, 1 bands of windows, 2 a curtain of glass, 3 windows with balconies.
        shop: whether the ground floor is glazed.
        wall: material of the walls.
        color: linear reflectance of the walls.
        gable: a pitched roof instead of a flat one.
        leak: kelvin by which its facades are warmer than their balance: poor insulation shows at night.
    """

    number: int
    low: tuple[float, float]
    high: tuple[float, float]
    floors: int
    floor_height: float
    bay: float
    window: tuple[float, float]
    style: int
    shop: bool
    wall: M
    color: tuple[float, float, float]
    gable: bool
    leak: float

    @property
    def height(self) -> float:
        """Height of the walls, meters."""
        return self.floors * self.floor_height + 0.3


def draw_building(
    rng: np.random.Generator,
    number: int,
    low: tuple[float, float],
    high: tuple[float, float],
    use: str,
) -> Building:
    """Draw a random building on a plot; ``use`` is house, apartments, shops or office."""
    floors, styles, walls = {
        "house": ((1, 3), (0,), (M.BRICK, M.PLASTER)),
        "apartments": ((4, 7), (0, 0, 3), (M.BRICK, M.PLASTER, M.PLASTER)),
        "shops": ((2, 5), (0, 1), (M.BRICK, M.PLASTER, M.CONCRETE)),
        "office": ((6, 15), (1, 2, 2), (M.PANEL, M.CONCRETE)),
    }[use]
    wall = M(int(rng.choice([int(w) for w in walls])))
    colors = _WALLS[wall]
    color = np.array(colors[rng.integers(len(colors))]) * rng.uniform(0.85, 1.15)
    style = int(rng.choice(styles))
    return Building(
        number=number,
        low=low,
        high=high,
        floors=int(rng.integers(*floors)),
        floor_height=float(rng.uniform(2.8, 3.1) if use != "office" else rng.uniform(3.3, 3.8)),
        bay=float(rng.uniform(2.3, 3.6) if style < 2 else rng.uniform(1.5, 2.4) if style == 2 else 3.4),
        window=(float(rng.uniform(0.38, 0.6)), float(rng.uniform(0.45, 0.6))),
        style=style,
        shop=use in ("shops", "office") or (use == "apartments" and rng.random() < 0.4),
        wall=wall,
        color=(float(color[0]), float(color[1]), float(color[2])),
        gable=use == "house" or (use == "shops" and rng.random() < 0.3),
        leak=float(rng.gamma(1.5, 0.8)),
    )


def building_mesh(building: Building, rng: np.random.Generator) -> Mesh:
    """Build walls, roof, and what stands on the roof."""
    (x0, y0), (x1, y1), top = building.low, building.high, building.height
    ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    walls = quads(
        np.array(
            [
                [(*a, 0.1), (*b, 0.1), (*b, top), (*a, top)]
                for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
            ]
        )
    )
    parts = [Mesh.make(walls, building.wall, color=building.color, facade=True)]
    parts += _gable(building, rng) if building.gable else _flat_roof(building, rng)
    if building.style == 3:
        parts += _balconies(building)
    if building.shop and not building.gable:
        parts.append(_awning(building, rng))
    mesh = merge(parts).having(kind=Kind.BUILDING, instance=building.number)
    heat = np.where(mesh.facade[:, None], building.leak, mesh.heat)
    return mesh.having(heat=heat.astype(np.float32))


def _flat_roof(building: Building, rng: np.random.Generator) -> list[Mesh]:
    (x0, y0), (x1, y1), top = building.low, building.high, building.height
    metal = building.wall == M.PANEL and rng.random() < 0.35
    roof = Mesh.make(
        box((x0 + 0.25, y0 + 0.25, top - 0.3), (x1 - 0.25, y1 - 0.25, top + 0.02)),
        M.ROOF_METAL if metal else M.ROOF_GRAVEL,
    )
    rim = [
        ((x0 - 0.12, y0 - 0.12, top - 0.15), (x1 + 0.12, y0 + 0.3, top + 0.55)),
        ((x0 - 0.12, y1 - 0.3, top - 0.15), (x1 + 0.12, y1 + 0.12, top + 0.55)),
        ((x0 - 0.12, y0 + 0.3, top - 0.15), (x0 + 0.3, y1 - 0.3, top + 0.55)),
        ((x1 - 0.3, y0 + 0.3, top - 0.15), (x1 + 0.12, y1 - 0.3, top + 0.55)),
    ]
    parts = [roof] + [Mesh.make(box(a, b), M.CONCRETE) for a, b in rim]
    for _ in range(int(rng.integers(1, 5))):
        size = rng.uniform((1.0, 1.0, 0.8), (2.6, 2.2, 2.0))
        low = np.array(
            [
                rng.uniform(x0 + 1, max(x1 - 1 - size[0], x0 + 1.1)),
                rng.uniform(y0 + 1, max(y1 - 1 - size[1], y0 + 1.1)),
                top,
            ]
        )
        unit = Mesh.make(box(low, low + size), M.STEEL if rng.random() < 0.5 else M.PANEL)
        # an air conditioner that runs is warm, a staircase is not
        parts.append(unit.having(heat=unit.heat + np.float32(rng.choice([0.0, 6.0, 10.0]))))
    return parts


def _gable(building: Building, rng: np.random.Generator) -> list[Mesh]:
    (x0, y0), (x1, y1), top = building.low, building.high, building.height
    over, along_x = 0.45, (x1 - x0) >= (y1 - y0)
    rise = 0.42 * (min(x1 - x0, y1 - y0) / 2 + over)
    eaves = [
        (x0 - over, y0 - over),
        (x1 + over, y0 - over),
        (x1 + over, y1 + over),
        (x0 - over, y1 + over),
    ]
    if along_x:
        middle = (y0 + y1) / 2
        a, b = (x0 - over, middle, top + rise), (x1 + over, middle, top + rise)
        ends = [
            ((x1, y0, top), (x1, y1, top), (x1, middle, top + rise - 0.2)),
            ((x0, y1, top), (x0, y0, top), (x0, middle, top + rise - 0.2)),
        ]
        slopes = [
            [(*eaves[0], top - 0.15), (*eaves[1], top - 0.15), b, a],
            [(*eaves[2], top - 0.15), (*eaves[3], top - 0.15), a, b],
        ]
    else:
        middle = (x0 + x1) / 2
        a, b = (middle, y0 - over, top + rise), (middle, y1 + over, top + rise)
        ends = [
            ((x0, y0, top), (x1, y0, top), (middle, y0, top + rise - 0.2)),
            ((x1, y1, top), (x0, y1, top), (middle, y1, top + rise - 0.2)),
        ]
        slopes = [
            [(*eaves[1], top - 0.15), (*eaves[2], top - 0.15), b, a],
            [(*eaves[3], top - 0.15), (*eaves[0], top - 0.15), a, b],
        ]
    tone = np.array([(0.25, 0.115, 0.08), (0.17, 0.10, 0.08), (0.12, 0.12, 0.125)])[rng.integers(3)]
    roof = Mesh.make(quads(np.array(slopes)), M.ROOF_TILE, color=tone)
    sides = Mesh.make(np.array(ends, np.float32), building.wall, color=building.color)
    cx, cy = (x0 + (x1 - x0) * 0.3, y0 + (y1 - y0) * 0.42)
    chimney = Mesh.make(box((cx - 0.35, cy - 0.3, top), (cx + 0.35, cy + 0.3, top + rise + 0.9)), M.BRICK)
    warm = chimney.having(heat=chimney.heat + np.float32(rng.choice([0.0, 8.0])))
    return [roof, sides, warm]


def _balconies(building: Building) -> list[Mesh]:
    """On every second bay of the long walls."""
    (x0, y0), (x1, y1) = building.low, building.high
    parts = []
    along_x = (x1 - x0) >= (y1 - y0)
    length = (x1 - x0) if along_x else (y1 - y0)
    for floor in range(1, building.floors):
        z = floor * building.floor_height + 0.15
        for bay in range(1, int(length / building.bay), 2):
            start = bay * building.bay + 0.2
            for out in (-1, 1):
                edge = (y0 if out < 0 else y1) if along_x else (x0 if out < 0 else x1)
                for depth0, depth1, low, high, material in (
                    (0, 1.1, z - 0.12, z + 0.05, M.CONCRETE),
                    (1.04, 1.1, z + 0.05, z + 1.0, M.PAINTED_STEEL),
                ):
                    d0, d1 = sorted((edge + out * depth0, edge + out * depth1))
                    s0, s1 = start, start + building.bay - 0.4
                    corners = (
                        box((x0 + s0, d0, low), (x0 + s1, d1, high))
                        if along_x
                        else box((d0, y0 + s0, low), (d1, y0 + s1, high))
                    )
                    parts.append(Mesh.make(corners, material))
    return parts


def _awning(building: Building, rng: np.random.Generator) -> Mesh:
    (x0, y0), (x1, y1) = building.low, building.high
    z = building.floor_height * 0.95
    color = np.array([(0.35, 0.04, 0.04), (0.04, 0.16, 0.08), (0.05, 0.08, 0.25), (0.4, 0.36, 0.3)])
    rim = box((x0 - 0.9, y0 - 0.9, z), (x1 + 0.9, y1 + 0.9, z + 0.12))
    return Mesh.make(rim, M.TARPAULIN, color=color[rng.integers(4)])
