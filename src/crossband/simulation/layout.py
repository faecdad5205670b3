"""What the city is collected in while it is laid out: meshes, buildings, lamps and parking spaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bodies import lamp_mesh, tree_mesh
from .buildings import Building
from .materials import M
from .meshes import Kind, Mesh

__all__ = ["CURB_HEIGHT", "ParkingSpace", "Site", "Street"]

CURB_HEIGHT = 0.15  # meters


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


class Site:
    """A city that is being laid out.

    Everything random is drawn from one generator in the order in which it is built.

    Args:
        seed: of the city.
    """

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

    def number(self) -> int:
        """Return the next instance number."""
        self.next_number += 1
        return self.next_number - 1

    def add(self, corners: np.ndarray, material: M, kind: Kind, **options: object) -> None:
        """Add triangles of one material; the options are :meth:`Mesh.make`'s."""
        self.parts.append(Mesh.make(corners, material, kind, **options))  # type: ignore[arg-type]
