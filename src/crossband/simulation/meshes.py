"""Triangle meshes: boxes, tubes and lofts, and the bodies built of them.

Lengths in meters; x east (a vehicle's front), y north (its left side), z up; bodies stand on z = 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from .materials import M, column

__all__ = ["Kind", "Mesh", "box", "ellipsoid", "loft", "merge", "quads", "tube"]


class Kind(IntEnum):
    """The classes of the city, as the semantic maps hold them."""

    SKY = 0
    ROAD = 1
    PAVEMENT = 2
    GRASS = 3
    BUILDING = 4
    TREE = 5
    VEHICLE = 6
    PERSON = 7
    BICYCLE = 8
    DOG = 9
    CURB = 10
    CAR_STOP = 11
    GUARDRAIL = 12
    CONE = 13
    BUMP = 14
    FURNITURE = 15
    BACKPACK = 16


@dataclass(frozen=True)
class Mesh:
    """Triangles and what each is.

    Attributes:
        corners: ``(n, 3, 3)`` float32, meters.
        normals: ``(n, 3, 3)`` float32, unit normals at the corners.
        material: ``(n,)`` uint8, :class:`~crossband.simulation.materials.M`.
        kind: ``(n,)`` uint8, :class:`Kind`.
        instance: ``(n,)`` int32, 0 where a surface belongs to no object.
        color: ``(n, 3)`` float32 reflectance in red, green, blue, linear.
        nir: ``(n,)`` float32 reflectance.
        heat: ``(n, 3)`` float32, kelvin above the balance of heat, at the corners.
        facade: ``(n,)`` bool, walls that carry windows.
    """

    corners: np.ndarray
    normals: np.ndarray
    material: np.ndarray
    kind: np.ndarray
    instance: np.ndarray
    color: np.ndarray
    nir: np.ndarray
    heat: np.ndarray
    facade: np.ndarray

    def __len__(self) -> int:
        return len(self.corners)

    @classmethod
    def make(
        cls,
        corners: np.ndarray,
        material: M,
        kind: Kind = Kind.FURNITURE,
        *,
        color: Sequence[float] | np.ndarray | None = None,
        nir: float | None = None,
        normals: np.ndarray | None = None,
        facade: bool = False,
    ) -> Mesh:
        """Make triangles of one material; without ``normals`` each is flat, by the right-hand rule."""
        n = len(corners)
        corners = np.asarray(corners, np.float32)
        if normals is None:
            flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
            normals = np.repeat(flat[:, None], 3, axis=1)
        rgb = column("rgb")[material] if color is None else np.asarray(color, np.float32)
        infrared = column("nir")[material] if nir is None else nir
        return cls(
            corners,
            np.asarray(normals, np.float32),
            np.full(n, material, np.uint8),
            np.full(n, kind, np.uint8),
            np.zeros(n, np.int32),
            np.tile(np.asarray(rgb, np.float32), (n, 1)),
            np.full(n, infrared, np.float32),
            np.zeros((n, 3), np.float32),
            np.full(n, facade),
        )

    def placed(self, x: float, y: float, z: float = 0.0, heading: float = 0.0, scale: float = 1.0) -> Mesh:
        """Return the mesh turned counterclockwise by ``heading`` radians, scaled, and moved."""
        turn = rotation(heading)
        corners = (self.corners * np.float32(scale)) @ turn.T + np.array([x, y, z], np.float32)
        return self.having(corners=corners.astype(np.float32), normals=(self.normals @ turn.T))

    def select(self, rows: np.ndarray) -> Mesh:
        """Return the triangles of a mask or of positions."""
        return Mesh(*(getattr(self, field.name)[rows] for field in fields(self)))

    def painted(self, *colors: Sequence[float]) -> Mesh:
        """Return the mesh with colors in place of the marks.

        The mark ``(-1, 0, 0)`` becomes the first color, ``(-2, 0, 0)`` the second, and so on.
        """
        color = self.color.copy()
        for number, paint in enumerate(colors, start=1):
            color[self.color[:, 0] == -number] = np.asarray(paint, np.float32)
        return self.having(color=color)

    def having(self, **values: object) -> Mesh:
        """Return a copy with other arrays; a single instance number is repeated."""
        if isinstance(values.get("instance"), int):
            values["instance"] = np.full(len(self), values["instance"], np.int32)
        if isinstance(values.get("kind"), Kind):
            values["kind"] = np.full(len(self), values["kind"], np.uint8)
        merged = {field.name: getattr(self, field.name) for field in fields(self)}
        return Mesh(**{**merged, **values})


def rotation(heading: float) -> np.ndarray:
    """Return the rotation about the vertical, ``(3, 3)`` float32; counterclockwise radians."""
    cos, sin = np.cos(heading), np.sin(heading)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Merge meshes into one."""
    return Mesh(*(np.concatenate([getattr(mesh, f.name) for mesh in meshes]) for f in fields(Mesh)))


def quads(corners: np.ndarray) -> np.ndarray:
    """Split ``(n, 4, 3)`` quadrilaterals into ``(2n, 3, 3)`` triangles.

    They are counterclockwise seen from outside.
    """
    corners = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    return corners[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3)


def rectangle(x0: float, y0: float, x1: float, y1: float, z: float) -> np.ndarray:
    """Make a level rectangle facing up, ``(2, 3, 3)``."""
    return quads(np.array([[(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]]))


_BOX = np.array(
    [
        [(0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)],
        [(0, 1, 0), (1, 1, 0), (1, 0, 0), (0, 0, 0)],
        [(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)],
        [(1, 1, 0), (0, 1, 0), (0, 1, 1), (1, 1, 1)],
        [(0, 1, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1)],
        [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)],
    ],
    np.float32,
)


def box(low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray) -> np.ndarray:
    """Make a box between two corners, ``(12, 3, 3)``: two triangles each of top, bottom and four sides."""
    lower, upper = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return quads(lower + _BOX * (upper - lower))


def tube(
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    end_radius: float | None = None,
    sides: int = 8,
    caps: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Make a round bar from point to point: (corners, normals), each ``(n, 3, 3)``, smooth around."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    side = np.cross(axis, (0, 0, 1) if abs(axis[2]) < 0.9 else (1, 0, 0))
    side /= np.linalg.norm(side)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(axis, side)
    low, high = a + ring * radius, b + ring * (radius if end_radius is None else end_radius)
    corners = quads(np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1))
    normals = quads(np.stack([ring[:-1], ring[1:], ring[1:], ring[:-1]], axis=1))
    if caps:
        middle = np.broadcast_to(b, (sides, 3))
        cap = np.stack([high[:-1], high[1:], middle], axis=1)
        bottom = np.stack([low[1:], low[:-1], np.broadcast_to(a, (sides, 3))], axis=1)
        corners = np.concatenate([corners, cap, bottom])
        normals = np.concatenate([normals, np.broadcast_to(axis, cap.shape), np.broadcast_to(-axis, cap.shape)])
    return corners.astype(np.float32), normals.astype(np.float32)


def ellipsoid(
    center: Sequence[float], radii: Sequence[float], rings: int = 6, sides: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Make an ellipsoid: (corners, normals), each ``(n, 3, 3)``."""
    theta = np.linspace(0, np.pi, rings + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, sides + 1)[None]
    unit = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], axis=-1
    )
    grid = unit * np.asarray(radii) + np.asarray(center)
    normal = unit / np.asarray(radii)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)

    def faces(values: np.ndarray) -> np.ndarray:
        cells = np.stack([values[1:, :-1], values[1:, 1:], values[:-1, 1:], values[:-1, :-1]], axis=2)
        return quads(cells.reshape(-1, 4, 3))

    return faces(grid), faces(normal).astype(np.float32)


def loft(rings: np.ndarray) -> np.ndarray:
    """Stretch a skin over cross-sections ``(stations, points, 3)``.

    The triangles are ``(stations - 1, points - 1, 2, 3, 3)``, so that a caller can give each strip a material.
    They face outward when the points turn counterclockwise seen against the direction of the stations.
    """
    cells = np.stack([rings[:-1, :-1], rings[:-1, 1:], rings[1:, 1:], rings[1:, :-1]], axis=2)
    return quads(cells.reshape(-1, 4, 3)).reshape(len(rings) - 1, rings.shape[1] - 1, 2, 3, 3)


def smooth(corners: np.ndarray, crease: float = 0.6) -> np.ndarray:
    """Average corner normals over the faces that meet within a crease angle (cosine)."""
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    unit = flat / area
    keys = np.round(corners.reshape(-1, 3) * 1000).astype(np.int64)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    owner = np.repeat(np.arange(len(corners)), 3)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 2))
    out = np.repeat(unit[:, None], 3, axis=1).reshape(-1, 3)
    for begin, end in itertools.pairwise(starts):
        members = order[begin:end]
        own = unit[owner[members]]
        near = own @ own.T > crease
        total = near @ flat[owner[members]]
        out[members] = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return out.reshape(-1, 3, 3).astype(np.float32)
