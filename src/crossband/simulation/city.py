"""The city: streets, blocks and what stands in them, all from one seed.

A grid of streets runs along the axes; x is east, y is north, in meters from the city's south-west corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bodies import bicycle_mesh, lamp_mesh, tree_mesh
from .buildings import Building, building_mesh, draw_building
from .materials import M
from .meshes import Kind, Mesh, box, loft, merge, rectangle, tube

__all__ = ["LATITUDE", "LONGITUDE", "City", "ParkingSpace", "Street", "build_city", "geographic"]

LATITUDE, LONGITUDE = 48.70, 9.10
"""Where the city's origin lies on the Earth, degrees."""

_METERS_PER_DEGREE = 111_320.0
_CURB_HEIGHT = 0.15
_PAVEMENT = 3.6
_BLOCKS = 5


@dataclass(frozen=True)
class Street:
    """A straight street through the whole city.

    Attributes:
        along_x: runs east-west; else north-south.
        center: y of its middle where it runs east-west, else x.
        width: between the curbs, meters.
        lanes: offsets of the middles of its lanes to the right of the middle, one direction, meters.
        parking: whether cars park along both curbs.
    """

    along_x: bool
    center: float
    width: float
    lanes: tuple[float, ...]
    parking: bool


@dataclass(frozen=True)
class ParkingSpace:
    """A place for one car: middle, and heading in radians counterclockwise from east."""

    x: float
    y: float
    heading: float


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
    latitude = LATITUDE + np.asarray(y) / _METERS_PER_DEGREE
    return latitude, LONGITUDE + np.asarray(x) / (_METERS_PER_DEGREE * np.cos(np.radians(LATITUDE)))


def build_city(seed: int) -> City:
    """Build the city of a seed; the same seed gives the same triangles.

    Example:
        >>> city = build_city(0)
        >>> len(city.buildings) > 20 and len(city.lamps) > 50
        True
    """
    return _Builder(seed).build()


class _Builder:
    """Collects meshes, lamps and parking spaces while the city is laid out."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = np.random.default_rng([seed, 1])
        self.parts: list[Mesh] = []
        self.buildings: list[Building] = []
        self.lamps: list[tuple[float, float, float]] = []
        self.spaces: list[ParkingSpace] = []
        self.next_number = 1
        self.trees = [tree_mesh(self.rng, conifer=i % 5 == 4) for i in range(10)]
        self.lamp = lamp_mesh()

    def build(self) -> City:
        columns, rows = self._spans(), self._spans()
        streets = tuple(
            [_street(False, c, w) for c, w in columns[1]] + [_street(True, c, w) for c, w in rows[1]]
        )
        width, height = columns[2], rows[2]
        blocks = self._blocks(columns[0], rows[0])
        self._ground(width, height)
        for block in blocks:
            self._block(*block)
        self._outskirts(width, height)
        for street in streets:
            self._markings(
                street, rows if not street.along_x else columns, height if not street.along_x else width
            )
        self._crossings(columns[1], rows[1])
        return City(
            self.seed,
            (width, height),
            streets,
            tuple(blocks),
            tuple(self.buildings),
            merge(self.parts),
            np.array(self.lamps, np.float32),
            tuple(self.spaces),
            self.next_number,
        )

    def number(self) -> int:
        self.next_number += 1
        return self.next_number - 1

    def add(self, corners: np.ndarray, material: M, kind: Kind, **options: object) -> None:
        self.parts.append(Mesh.make(corners, material, kind, **options))  # type: ignore[arg-type]

    def _spans(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]], float]:
        """Spans of the blocks, (middle, width) of the streets, and the whole extent along one axis."""
        position, blocks, streets = 0.0, [], []
        for i in range(_BLOCKS + 1):
            width = 14.0 if i in (1, 4) else 11.4
            streets.append((position + width / 2, width))
            position += width
            if i < _BLOCKS:
                size = float(self.rng.uniform(54, 82))
                blocks.append((position, position + size))
                position += size
        return blocks, streets, position

    def _blocks(
        self, columns: list[tuple[float, float]], rows: list[tuple[float, float]]
    ) -> list[tuple[float, float, float, float, str]]:
        uses = (
            ["apartments"] * 8
            + ["shops"] * 6
            + ["office"] * 4
            + ["houses"] * 3
            + ["park"] * 2
            + ["parking"] * 2
        )
        order = self.rng.permutation(uses)
        cells = [(x0, y0, x1, y1) for x0, x1 in columns for y0, y1 in rows]
        return [(*cell, str(use)) for cell, use in zip(cells, order, strict=True)]

    def _ground(self, width: float, height: float) -> None:
        self.add(rectangle(-60, -60, width + 60, height + 60, 0.0), M.ASPHALT, Kind.ROAD)
        self.add(rectangle(-3000, -3000, width + 3000, height + 3000, -0.3), M.GRASS, Kind.GRASS)

    def _block(self, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
        self._pavement(x0, y0, x1, y1)
        inner = (x0 + _PAVEMENT, y0 + _PAVEMENT, x1 - _PAVEMENT, y1 - _PAVEMENT)
        floor = {"office": M.PAVING, "shops": M.CONCRETE, "parking": M.ASPHALT}.get(use, M.GRASS)
        kind = {M.GRASS: Kind.GRASS, M.ASPHALT: Kind.ROAD}.get(floor, Kind.PAVEMENT)
        self.add(rectangle(*inner, _CURB_HEIGHT + 0.015), floor, kind)
        {
            "houses": self._houses,
            "apartments": self._perimeter,
            "shops": self._perimeter,
            "office": self._offices,
            "park": self._park,
            "parking": self._parking,
        }[use](*inner, use)
        self._street_furniture(x0, y0, x1, y1)

    def _pavement(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.add(rectangle(x0, y0, x1, y1, _CURB_HEIGHT), M.PAVING, Kind.PAVEMENT)
        w, h = 0.28, _CURB_HEIGHT + 0.012
        for low, high in (
            ((x0, y0, -0.1), (x1, y0 + w, h)),
            ((x0, y1 - w, -0.1), (x1, y1, h)),
            ((x0, y0 + w, -0.1), (x0 + w, y1 - w, h)),
            ((x1 - w, y0 + w, -0.1), (x1, y1 - w, h)),
        ):
            self.add(box(low, high), M.CURB, Kind.CURB)

    def _building(self, low: tuple[float, float], high: tuple[float, float], use: str) -> None:
        building = draw_building(self.rng, self.number(), low, high, use)
        self.buildings.append(building)
        self.parts.append(building_mesh(building, self.rng))

    def _perimeter(self, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
        """Buildings wall to wall around a yard, with a gap here and there."""
        depth = float(self.rng.uniform(10.5, 13))
        for y, far in ((y0, y0 + depth), (y1 - depth, y1)):
            x = x0
            while x < x1 - 8:
                width = float(min(self.rng.uniform(13, 24), x1 - x))
                width = x1 - x if x1 - (x + width) < 9 else width
                if self.rng.random() > 0.10:
                    self._building((x, y), (x + width, far), use)
                x += width
        for x, far in ((x0, x0 + depth), (x1 - depth, x1)):
            y, end = y0 + depth + 3, y1 - depth - 3
            if end - y > 9 and self.rng.random() < 0.75:
                self._building((x, y), (far, end), use)
        self._scatter_trees(x0 + depth + 3, y0 + depth + 3, x1 - depth - 3, y1 - depth - 3, 6)

    def _houses(self, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
        columns = max(int((x1 - x0) / 17), 1)
        for i in range(columns):
            for row in range(2):
                wx, wy = self.rng.uniform(8.5, 11.5), self.rng.uniform(8, 10.5)
                cx = x0 + (i + 0.5) * (x1 - x0) / columns
                cy = y0 + 4 + wy / 2 if row == 0 else y1 - 4 - wy / 2
                self._building((cx - wx / 2, cy - wy / 2), (cx + wx / 2, cy + wy / 2), "house")
        self._scatter_trees(x0 + 2, (y0 + y1) / 2 - 7, x1 - 2, (y0 + y1) / 2 + 7, 9)
        for y in (y0 + 0.4, y1 - 0.4):
            for begin, end in ((x0 + 1, (x0 + x1) / 2 - 2), ((x0 + x1) / 2 + 2, x1 - 1)):
                self._hedge(begin, y - 0.4, end, y + 0.4)

    def _hedge(self, x0: float, y0: float, x1: float, y1: float) -> None:
        n = int((x1 - x0) * 14)
        centers = self.rng.uniform((x0, y0, 0.25), (x1, y1, 1.15), (n, 3))
        corners = centers[:, None] + self.rng.normal(0, 0.20, (n, 3, 3))
        mesh = Mesh.make(corners, M.LEAVES, Kind.TREE)
        shade = self.rng.uniform(0.6, 1.1, n).astype(np.float32)[:, None]
        self.parts.append(mesh.having(color=mesh.color * shade))
        self.add(
            box((x0, y0 + 0.1, 0.1), (x1, y1 - 0.1, 1.05)), M.LEAVES, Kind.TREE, color=(0.02, 0.045, 0.012)
        )

    def _offices(self, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
        split = x0 + (x1 - x0) * float(self.rng.uniform(0.42, 0.58))
        for a, b in ((x0 + 2, split - 5), (split + 5, x1 - 2)):
            self._building(
                (a, y0 + 2 + self.rng.uniform(0, 5)), (b, y1 - 2 - self.rng.uniform(0, 12)), "office"
            )
        for y in np.arange(y0 + 6, y1 - 4, 9.0):
            self._tree(split, float(y), 0.75)

    def _park(self, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        for rect in ((x0, cy - 1.4, x1, cy + 1.4), (cx - 1.4, y0, cx + 1.4, y1)):
            self.add(rectangle(*rect, _CURB_HEIGHT + 0.03), M.PAVING, Kind.PAVEMENT)
        self._scatter_trees(x0 + 3, y0 + 3, x1 - 3, y1 - 3, 26, avoid=(cx, cy, 3.2))
        for side in (-1, 1):
            for x in np.linspace(x0 + 8, x1 - 8, 4):
                self._bench(float(x), cy + side * 2.1)

    def _bench(self, x: float, y: float) -> None:
        self.add(box((x - 0.9, y - 0.2, 0.55), (x + 0.9, y + 0.25, 0.62)), M.WOOD, Kind.FURNITURE)
        self.add(box((x - 0.9, y + 0.2, 0.62), (x + 0.9, y + 0.26, 1.0)), M.WOOD, Kind.FURNITURE)
        for leg in (-0.7, 0.7):
            self.add(
                box((x + leg - 0.04, y - 0.15, 0.1), (x + leg + 0.04, y + 0.2, 0.55)), M.STEEL, Kind.FURNITURE
            )

    def _parking(self, x0: float, y0: float, x1: float, y1: float, use: str) -> None:
        z = _CURB_HEIGHT + 0.028
        for y in np.arange(y0 + 6, y1 - 8, 16.0):
            for x in np.arange(x0 + 4, x1 - 4, 2.7):
                for side in (-1, 1):
                    begin = float(y) + side * 0.4
                    low, high = sorted((begin, begin + side * 5.0))
                    self.add(rectangle(float(x) - 0.06, low, float(x) + 0.06, high, z), M.MARKING, Kind.ROAD)
                    if float(x) + 2.7 < x1 - 4:
                        middle = float(x) + 1.35
                        stop = begin + side * 0.35
                        corners = box((middle - 0.85, stop - 0.09, 0.1), (middle + 0.85, stop + 0.09, z + 0.12))
                        self.add(corners, M.CONCRETE, Kind.CAR_STOP, color=(0.5, 0.48, 0.40))
                        heading = -side * np.pi / 2
                        self.spaces.append(ParkingSpace(middle, begin + side * 3.0, float(heading)))
        self._cones((x0 + x1) / 2, y1 - 5, 5, along_x=True, on_road=False)

    def _cones(self, x: float, y: float, n: int, along_x: bool, on_road: bool) -> None:
        for i in range(n):
            dx, dy = (i * 2.2, 0.25 * i) if along_x else (0.25 * i, i * 2.2)
            cx, cy = x + dx, y + dy
            z = 0.0 if on_road else _CURB_HEIGHT
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
            self.parts.append(merge(parts).having(instance=self.number()))

    def _scatter_trees(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        n: int,
        avoid: tuple[float, float, float] | None = None,
    ) -> None:
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        for _ in range(n):
            x, y = float(self.rng.uniform(x0, x1)), float(self.rng.uniform(y0, y1))
            if avoid and min(abs(x - avoid[0]), abs(y - avoid[1])) < avoid[2]:
                continue
            self._tree(x, y, float(self.rng.uniform(0.7, 1.15)))

    def _tree(self, x: float, y: float, scale: float) -> None:
        tree = self.trees[self.rng.integers(len(self.trees))]
        heading = float(self.rng.uniform(0, 2 * np.pi))
        self.parts.append(tree.placed(x, y, 0.15, heading, scale).having(instance=self.number()))

    def _street_furniture(self, x0: float, y0: float, x1: float, y1: float) -> None:
        for side in range(4):
            start, end = (x0, x1) if side < 2 else (y0, y1)
            edge = (y0, y1, x0, x1)[side]
            inward = 1 if side in (0, 2) else -1
            self._lamps_along(start, end, edge + inward * 0.7, side)
            choice = self.rng.random()
            if choice < 0.5:
                for s in np.arange(start + 12, end - 10, float(self.rng.uniform(9, 14))):
                    p = (float(s), edge + inward * 1.3) if side < 2 else (edge + inward * 1.3, float(s))
                    self._tree(*p, float(self.rng.uniform(0.62, 0.85)))
            elif choice < 0.75:
                self._guardrail(start + 9, end - 9, edge + inward * 0.42, side < 2)
            if self.rng.random() < 0.4:
                self._bicycles(float(self.rng.uniform(start + 10, end - 16)), edge + inward * 2.6, side < 2)
            self._bin(float(self.rng.uniform(start + 6, end - 6)), edge + inward * 2.9, side < 2)
        for x, y, heading in ((x0 + 0.8, y0 + 0.8, 3.9), (x1 - 0.8, y1 - 0.8, 0.8)):
            self._signal(x, y, heading)

    def _lamps_along(self, start: float, end: float, edge: float, side: int) -> None:
        heading = (-np.pi / 2, np.pi / 2, np.pi, 0.0)[side]
        offset = 8.0 if side in (0, 2) else 20.0
        for s in np.arange(start + offset, end - 4, 27.0):
            x, y = (float(s), edge) if side < 2 else (edge, float(s))
            number = self.number()
            self.parts.append(self.lamp.placed(x, y, _CURB_HEIGHT, heading).having(instance=number))
            self.lamps.append((x + 1.42 * np.cos(heading), y + 1.42 * np.sin(heading), _CURB_HEIGHT + 6.9))

    def _guardrail(self, start: float, end: float, edge: float, along_x: bool) -> None:
        if end - start < 6:
            return
        parts = []
        for z0, z1 in ((0.55, 0.72), (0.95, 1.03)):
            low, high = (start, edge - 0.04, z0), (end, edge + 0.04, z1)
            parts.append(_swapped(low, high, along_x))
        for s in np.arange(start, end, 2.0):
            parts.append(_swapped((s, edge - 0.04, 0.1), (s + 0.08, edge + 0.04, 1.0), along_x))
        mesh = Mesh.make(np.concatenate(parts), M.STEEL, Kind.GUARDRAIL, color=(0.45, 0.45, 0.44))
        self.parts.append(mesh.having(instance=self.number()))

    def _bicycles(self, start: float, edge: float, along_x: bool) -> None:
        for i in range(int(self.rng.integers(2, 5))):
            s = start + 0.7 * i
            x, y = (s, edge) if along_x else (edge, s)
            color = np.array([(0.4, 0.03, 0.03), (0.03, 0.08, 0.3), (0.02, 0.02, 0.02), (0.4, 0.4, 0.4)])
            bicycle = bicycle_mesh(self.number(), tuple(color[self.rng.integers(4)]))
            heading = (np.pi / 2 if along_x else 0.0) + float(self.rng.normal(0, 0.06))
            self.parts.append(bicycle.placed(x, y, _CURB_HEIGHT, heading))

    def _bin(self, s: float, edge: float, along_x: bool) -> None:
        x, y = (s, edge) if along_x else (edge, s)
        corners, normals = tube((x, y, 0.1), (x, y, 1.1), 0.28, sides=10)
        mesh = Mesh.make(corners, M.PAINTED_STEEL, Kind.FURNITURE, normals=normals, color=(0.05, 0.10, 0.06))
        self.parts.append(mesh.having(instance=self.number()))

    def _signal(self, x: float, y: float, heading: float) -> None:
        corners, normals = tube((x, y, 0), (x, y, 3.4), 0.06)
        pole = Mesh.make(corners, M.PAINTED_STEEL, normals=normals)
        head = Mesh.make(box((0.05, -0.14, 2.5), (0.30, 0.14, 3.4)), M.PLASTIC).placed(x, y, 0, heading)
        lights = [
            Mesh.make(box((0.29, -0.09, z), (0.32, 0.09, z + 0.18)), M.LAMP_GLASS, color=c).placed(
                x, y, 0, heading
            )
            for z, c in ((3.15, (0.6, 0.03, 0.02)), (2.85, (0.5, 0.3, 0.02)), (2.56, (0.02, 0.4, 0.15)))
        ]
        self.parts.append(merge([pole, head, *lights]).having(instance=self.number()))

    def _outskirts(self, width: float, height: float) -> None:
        """Buildings around the city, so that no street ends in the void."""
        for side in range(4):
            s, extent = -40.0, (width if side < 2 else height) + 40.0
            while s < extent:
                length = float(self.rng.uniform(16, 30))
                gap, depth = float(self.rng.uniform(5, 9)), float(self.rng.uniform(12, 18))
                near = (-gap - depth, height + gap, -gap - depth, width + gap)[side]
                low, high = ((s, near), (s + length, near + depth))
                low, high = (low, high) if side < 2 else (low[::-1], high[::-1])
                self._building(low, high, str(self.rng.choice(["apartments", "apartments", "shops", "office"])))
                s += length + float(self.rng.choice([0.0, 0.0, 7.0]))

    def _markings(
        self,
        street: Street,
        across: tuple[list[tuple[float, float]], list[tuple[float, float]], float],
        length: float,
    ) -> None:
        z = 0.012
        for start, end in across[0]:
            begin, stop = start + 5.5, end - 5.5
            if len(street.lanes) == 2:
                for offset in (-0.16, 0.16):
                    self._line(street, begin, stop, offset, 0.12, z)
                dashes = [-3.5, 3.5]
            else:
                dashes = [0.0]
                for offset in (-street.width / 2 + 2.25, street.width / 2 - 2.25):
                    self._line(street, begin, stop, offset, 0.10, z)
            for offset in dashes:
                for s in np.arange(begin, stop - 3, 6.0):
                    self._line(street, float(s), float(s) + 3.0, offset, 0.13, z)
            for side, at in ((1, begin - 0.6), (-1, stop + 0.3)):
                edge = sorted(
                    (
                        0.0,
                        side
                        * (street.width / 2 - (2.3 if street.parking else 0.3))
                        * (1 if street.along_x else -1),
                    )
                )
                self._line(street, at, at + 0.35, (edge[0] + edge[1]) / 2, edge[1] - edge[0], z)
            self._repairs(street, begin, stop)
            if street.parking:
                self._curb_parking(street, begin + 3, stop - 3)
            if len(street.lanes) == 1 and self.rng.random() < 0.3:
                self._bump(street, float(self.rng.uniform(begin + 8, stop - 8)))
            if self.rng.random() < 0.22:
                s = float(self.rng.uniform(begin + 4, stop - 16))
                offset = street.center + float(self.rng.choice((-1, 1))) * (street.width / 2 - 2.9)
                self._cones(*((s, offset) if street.along_x else (offset, s)), 6, street.along_x, on_road=True)

    def _repairs(self, street: Street, begin: float, stop: float) -> None:
        """Patches of newer asphalt, and manholes, which the sewer warms at night."""
        for _ in range(int(self.rng.integers(1, 4))):
            s, offset = self.rng.uniform(begin, stop - 9), self.rng.uniform(-0.4, 0.25) * street.width
            length, width = self.rng.uniform(1.5, 9), self.rng.uniform(0.6, 2.2)
            a, b = street.center + offset, street.center + offset + width
            corners = (
                rectangle(s, a, s + length, b, 0.005)
                if street.along_x
                else rectangle(a, s, b, s + length, 0.005)
            )
            tone = float(self.rng.uniform(0.6, 0.85))
            self.add(corners, M.ASPHALT, Kind.ROAD, color=(0.105 * tone, 0.102 * tone, 0.10 * tone))
        for _ in range(2):
            s, offset = self.rng.uniform(begin, stop), float(self.rng.choice((-1.7, 1.7)))
            x, y = (s, street.center + offset) if street.along_x else (street.center + offset, s)
            corners, _ = tube((x, y, -0.1), (x, y, 0.008), 0.32, sides=14)
            top = corners[2 * 14 : 3 * 14]
            cover = Mesh.make(top, M.ASPHALT, Kind.ROAD, color=(0.05, 0.048, 0.045))
            self.parts.append(cover.having(heat=cover.heat + np.float32(self.rng.uniform(0.5, 3))))

    def _line(self, street: Street, start: float, end: float, offset: float, width: float, z: float) -> None:
        a, b = street.center + offset - width / 2, street.center + offset + width / 2
        corners = rectangle(start, a, end, b, z) if street.along_x else rectangle(a, start, b, end, z)
        self.add(corners, M.MARKING, Kind.ROAD)

    def _curb_parking(self, street: Street, start: float, end: float) -> None:
        for side in (-1, 1):
            offset = street.center + side * (street.width / 2 - 1.15)
            for s in np.arange(start + 3, end - 3, 6.4):
                x, y = (float(s), offset) if street.along_x else (offset, float(s))
                # cars park in the direction of traffic, on the right
                heading = (
                    (0.0 if side < 0 else np.pi) if street.along_x else (np.pi / 2 if side > 0 else -np.pi / 2)
                )
                self.spaces.append(ParkingSpace(x, y, float(heading)))

    def _bump(self, street: Street, at: float) -> None:
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
        mesh = mesh.having(color=color, normals=-mesh.normals if flip else mesh.normals, instance=self.number())
        self.parts.append(mesh)

    def _crossings(self, columns: list[tuple[float, float]], rows: list[tuple[float, float]]) -> None:
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
        self.add(np.concatenate(stripes), M.MARKING, Kind.ROAD)


def _street(along_x: bool, center: float, width: float) -> Street:
    if width > 12:
        return Street(along_x, center, width, (1.75, 5.2), False)
    return Street(along_x, center, width, (1.72,), True)


def _swapped(low: tuple, high: tuple, along_x: bool) -> np.ndarray:
    """A box given along x, laid along y where the street runs that way."""
    if along_x:
        return box(low, high)
    return box((low[1], low[0], low[2]), (high[1], high[0], high[2]))
