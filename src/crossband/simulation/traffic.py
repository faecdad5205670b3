"""Who is in the streets at a time of a day: parked and moving vehicles, persons, cyclists, dogs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from .bodies import Person, bicycle_mesh, dog_mesh, draw_person, person_mesh
from .city import City, Street
from .materials import M
from .meshes import Mesh, merge
from .vehicles import Vehicle, draw_single, draw_vehicle, vehicle_mesh

__all__ = [
    "FLEET",
    "USUAL",
    "Actor",
    "Pose",
    "StreetLife",
    "Traffic",
    "fleet_vehicle",
    "make_traffic",
    "single_vehicle",
]

FLEET = 1200
"""How many vehicles belong to a city; their numbers follow those of its structures."""

Pose = tuple[float, float, float, float]
"""x, y, z in meters and heading in radians counterclockwise from east."""

_STRIDE = 1.45  # meters of one full cycle of both legs
_PHASES = 16


@dataclass(frozen=True)
class Actor:
    """Something that stands or moves in the streets.

    Attributes:
        number: its instance number.
        pose: time in seconds -> :data:`Pose`.
        shape: time in seconds and whether lights are on -> its mesh at the origin.
        vehicle: the vehicle it is, if it is one.
        running: whether its engine runs.
    """

    number: int
    pose: Callable[[float], Pose]
    shape: Callable[[float, bool], Mesh]
    vehicle: Vehicle | None = None
    running: bool = False

    def mesh(self, time: float, lights: bool) -> Mesh:
        """Return the actor's mesh at a time; the same triangles in the same order at any time."""
        x, y, z, heading = self.pose(time)
        return self.shape(time, lights).placed(x, y, z, heading)


@dataclass(frozen=True)
class StreetLife:
    """How many are about on foot and by bicycle in a city at once.

    Attributes:
        walkers: persons on the pavements.
        dogs: share of the walkers with a dog beside them.
        cyclists: persons on bicycles.
        crossing: persons on the zebra crossings.
    """

    walkers: int = 260
    dogs: float = 0.12
    cyclists: int = 36
    crossing: int = 40


USUAL = StreetLife()
"""Who is about where nothing else is said."""


@dataclass(frozen=True)
class Traffic:
    """All actors of one day."""

    actors: tuple[Actor, ...]
    vehicles: dict[int, Vehicle] = field(default_factory=dict)

    def near(
        self, point: np.ndarray, time: float, vehicles: float = 130.0, others: float = 75.0, clear: float = 0.0
    ) -> list[Actor]:
        """Return actors within so many meters of a point on the ground, in a fixed order.

        Args:
            point: ``(2,)`` or ``(3,)``, meters.
            time: seconds.
            vehicles: range for vehicles.
            others: range for everybody else.
            clear: nobody nearer than this, so that a camera's own car drives into nothing.
        """
        chosen = []
        for actor in self.actors:
            x, y, *_ = actor.pose(time)
            distance = float(np.hypot(x - point[0], y - point[1]))
            if clear < distance < (vehicles if actor.vehicle else others):
                chosen.append(actor)
        return chosen


def fleet_vehicle(city: City, index: int) -> Vehicle:
    """Return the vehicle ``index`` (0 to :data:`FLEET` - 1) of a city: the same every day."""
    return _drawn_vehicle(city.seed, index, city.first_free + index)


def single_vehicle(city: City, index: int) -> Vehicle:
    """Return the vehicle of :func:`fleet_vehicle` as one of its make, with its extras."""
    return draw_single(fleet_vehicle(city, index), np.random.default_rng([city.seed, 5, index]))


@lru_cache(maxsize=4 * FLEET)
def _drawn_vehicle(seed: int, index: int, number: int) -> Vehicle:
    return draw_vehicle(np.random.default_rng([seed, 2, index]), number)


def make_traffic(city: City, day: int, density: float = 1.0, people: StreetLife = USUAL) -> Traffic:
    """Make the traffic of a day of a city.

    Args:
        city: the city.
        day: any number from 0; another day has other cars parked and other people about.
        density: 1 is usual, 0 nobody.
        people: how many are about on foot and by bicycle, at a density of 1.
    """
    rng = np.random.default_rng([city.seed, 3, day])
    order = rng.permutation(FLEET)
    moving_count = min(round(70 * density), FLEET // 3)
    actors = [_parked(city, i, space_index) for i, space_index in _parking_plan(city, rng, order, density)]
    actors += _moving(city, rng, order[-moving_count:] if moving_count else order[:0])
    actors += _walkers(city, rng, density, people)
    vehicles = {a.number: a.vehicle for a in actors if a.vehicle}
    return Traffic(tuple(actors), vehicles)


def _parking_plan(
    city: City, rng: np.random.Generator, order: np.ndarray, density: float
) -> list[tuple[int, int]]:
    taken = np.flatnonzero(rng.random(len(city.spaces)) < 0.62 * min(density, 1.5))
    return list(zip(order[: FLEET * 2 // 3].tolist(), taken.tolist(), strict=False))


@lru_cache(maxsize=512)
def _vehicle_shape(vehicle: Vehicle, running: bool, lights: bool) -> Mesh:
    return vehicle_mesh(vehicle, running=running, lights=lights and running)


def vehicle_actor(vehicle: Vehicle, pose: Callable[[float], Pose], running: bool) -> Actor:
    """Return a vehicle as an actor."""
    return Actor(
        vehicle.number, pose, lambda time, lights: _vehicle_shape(vehicle, running, lights), vehicle, running
    )


def _parked(city: City, index: int, space_index: int) -> Actor:
    space = city.spaces[space_index]
    vehicle = fleet_vehicle(city, index)
    rng = np.random.default_rng([city.seed, 4, index, space_index])
    raised = any(x0 < space.x < x1 and y0 < space.y < y1 for x0, y0, x1, y1, _ in city.blocks)
    dx, dy = rng.normal(0, 0.08, 2)
    pose = (space.x + dx, space.y + dy, 0.165 if raised else 0.0, space.heading + rng.normal(0, 0.02))
    return vehicle_actor(vehicle, lambda time: pose, running=False)


def _moving(city: City, rng: np.random.Generator, indices: np.ndarray) -> list[Actor]:
    """Vehicles that follow a lane from one end of the city to the other; a lane has one speed."""
    lanes = [
        (street, offset, direction)
        for street in city.streets
        for offset in street.lanes
        for direction in (1, -1)
    ]
    speeds = rng.uniform(6.5, 11.5, len(lanes))
    taken: dict[int, list[float]] = {}
    actors = []
    for index in indices.tolist():
        lane = int(rng.integers(len(lanes)))
        start = float(rng.uniform(0, 1))
        extent = city.extent[0] if lanes[lane][0].along_x else city.extent[1]
        if any(abs((start - other + 0.5) % 1 - 0.5) * extent < 17 for other in taken.get(lane, [])):
            continue
        taken.setdefault(lane, []).append(start)
        vehicle = fleet_vehicle(city, index)
        actors.append(
            vehicle_actor(vehicle, lane_pose(*lanes[lane], extent, start * extent, float(speeds[lane])), True)
        )
    return actors


def lane_pose(
    street: Street, offset: float, direction: int, extent: float, start: float, speed: float
) -> Callable[[float], Pose]:
    """Compute the pose of steady driving along one lane, on the right; it starts over at the end."""

    def pose(time: float) -> Pose:
        along = (start + speed * time) % extent
        along = along if direction > 0 else extent - along
        if street.along_x:
            return along, street.center - direction * offset, 0.0, 0.0 if direction > 0 else np.pi
        return street.center + direction * offset, along, 0.0, direction * np.pi / 2

    return pose


def _walkers(city: City, rng: np.random.Generator, density: float, people: StreetLife) -> list[Actor]:
    number = city.first_free + FLEET
    actors: list[Actor] = []
    for _ in range(round(people.walkers * density)):
        person = draw_person(rng, number)
        number += 1
        block = city.blocks[rng.integers(len(city.blocks))]
        speed = float(rng.choice([0.0, 1.0, 1.3, 1.5], p=[0.15, 0.2, 0.4, 0.25]))
        pose = _around(
            block, float(rng.uniform(1.7, 3.2)), speed, float(rng.uniform(0, 1)), int(rng.choice((-1, 1)))
        )
        actors.append(Actor(person.number, pose, _walking(person, speed)))
        if rng.random() < people.dogs:
            fur = tuple(np.array([(0.2, 0.14, 0.09), (0.04, 0.035, 0.03), (0.5, 0.45, 0.36)])[rng.integers(3)])
            actors.append(Actor(number, _beside(pose), _trotting(number, fur, speed)))
            number += 1
    for _ in range(round(people.cyclists * density)):
        street = city.streets[rng.integers(len(city.streets))]
        offset = street.width / 2 - (3.2 if street.parking else 0.9)
        extent = city.extent[0] if street.along_x else city.extent[1]
        speed = float(rng.uniform(3.5, 5.5))
        start = float(rng.uniform(0, extent))
        pose = lane_pose(street, offset, int(rng.choice((-1, 1))), extent, start, speed)
        person = draw_person(rng, number)
        color = tuple(rng.uniform(0.02, 0.4, 3))
        actors.append(Actor(number, pose, _cycling(person, number + 1, color, speed)))
        number += 2
    for _ in range(round(people.crossing * density)):
        person = draw_person(rng, number)
        number += 1
        pose = _crossing(city, rng)
        actors.append(Actor(person.number, pose, _walking(person, 1.3)))
    return actors


def _around(
    block: tuple[float, float, float, float, str], inset: float, speed: float, start: float, direction: int
) -> Callable[[float], Pose]:
    """A walk around a block on its pavement."""
    x0, y0, x1, y1 = block[0] + inset, block[1] + inset, block[2] - inset, block[3] - inset
    sides = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
    ends = np.cumsum(sides)

    def pose(time: float) -> Pose:
        along = (start * ends[-1] + direction * speed * time) % ends[-1]
        side = int(np.searchsorted(ends, along, side="right"))
        rest = along - (ends[side] - sides[side])
        x, y = ((x0 + rest, y0), (x1, y0 + rest), (x1 - rest, y1), (x0, y1 - rest))[side]
        return float(x), float(y), 0.15, side * np.pi / 2 + (0 if direction > 0 else np.pi)

    return pose


def _crossing(city: City, rng: np.random.Generator) -> Callable[[float], Pose]:
    """To and fro over a zebra crossing."""
    columns = [s for s in city.streets if not s.along_x]
    rows = [s for s in city.streets if s.along_x]
    column, row = columns[rng.integers(len(columns))], rows[rng.integers(len(rows))]
    over_x = bool(rng.random() < 0.5)
    side, start = int(rng.choice((-1, 1))), float(rng.uniform(0, 1))
    shift = float(rng.uniform(-1.1, 1.1))
    width = (column.width if over_x else row.width) + 2.0

    def pose(time: float) -> Pose:
        along = (start * 2 * width + 1.3 * time) % (2 * width)
        forth = along < width
        across = (along if forth else 2 * width - along) - width / 2
        z = 0.0 if abs(across) < width / 2 - 1 else 0.15
        if over_x:
            y = row.center + side * (row.width / 2 + 2.6) + shift
            return column.center + across, y, z, 0.0 if forth else np.pi
        x = column.center + side * (column.width / 2 + 2.6) + shift
        return x, row.center + across, z, np.pi / 2 if forth else -np.pi / 2

    return pose


def _beside(pose: Callable[[float], Pose]) -> Callable[[float], Pose]:
    def beside(time: float) -> Pose:
        x, y, z, heading = pose(time)
        return x + 0.9 * np.cos(heading + 0.6), y + 0.9 * np.sin(heading + 0.6), z, heading

    return beside


def _phase(time: float, speed: float, stride: float) -> int:
    return round(time * speed / stride * _PHASES) % _PHASES


@lru_cache(maxsize=2048)
def _person_shape(person: Person, phase: int, riding: bool) -> Mesh:
    mesh = person_mesh(person, 2 * np.pi * phase / _PHASES, riding=riding)
    # thicker clothes are colder outside, by Fanger's balance about 20 K for a clo at 10 degrees
    colder = np.float32((0.11 - person.insulation) * 22)
    return mesh.having(heat=mesh.heat + np.where(mesh.material == M.CLOTH, colder, np.float32(0))[:, None])


def _walking(person: Person, speed: float) -> Callable[[float, bool], Mesh]:
    return lambda time, lights: _person_shape(person, _phase(time, speed, _STRIDE) if speed else 2, False)


@lru_cache(maxsize=256)
def _dog_shape(number: int, phase: int, fur: tuple[float, float, float]) -> Mesh:
    return dog_mesh(number, 2 * np.pi * phase / _PHASES, fur)


def _trotting(number: int, fur: tuple[float, float, float], speed: float) -> Callable[[float, bool], Mesh]:
    return lambda time, lights: _dog_shape(number, _phase(time, speed, 0.7), fur)


@lru_cache(maxsize=256)
def _bicycle_shape(number: int, color: tuple[float, float, float]) -> Mesh:
    return bicycle_mesh(number, color)


def _cycling(
    person: Person, number: int, color: tuple[float, float, float], speed: float
) -> Callable[[float, bool], Mesh]:
    def shape(time: float, lights: bool) -> Mesh:
        rider = _person_shape(person, _phase(time, speed, 5.0), True)
        return merge([rider, _bicycle_shape(number, color)])

    return shape
