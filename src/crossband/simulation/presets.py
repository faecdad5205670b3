"""What is photographed: one preset for each use, each a list of shots with the manifest's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..registry import Registry
from .blocks import parking_aisles
from .cameras import Camera, Route, drive, look, nadir, plan_route
from .city import LATITUDE, City
from .meshes import rotation
from .raycast import Scene
from .sensor import VIDEO_GAIN
from .sky import Conditions
from .studio import Shot
from .sun import sun_direction
from .traffic import FLEET, USUAL, StreetLife, fleet_vehicle, single_vehicle
from .vehicle_bodies import make_of
from .vehicles import Vehicle

__all__ = ["PRESETS", "Preset", "list_presets", "plan", "register_preset"]

_SPEED, _STROLL = 8.0, 2.5  # meters per second of the car that carries the camera; in a parking lot
_DAY, _NIGHT = (9.5, 16.5), (22.2, 26.4)


@dataclass(frozen=True)
class Preset:
    """One use of the city.

    Attributes:
        name: what the command line calls it.
        about: one line.
        plan: city, number of frames, (height, width) of an image and generator -> the shots.
    """

    name: str
    about: str
    plan: Callable[[City, int, tuple[int, int], np.random.Generator], list[Shot]]


Plan = Callable[[City, int, tuple[int, int], np.random.Generator], list[Shot]]
PRESETS: Registry[Preset] = Registry("preset")


def register_preset(name: str, about: str) -> Callable[[Plan], Plan]:
    """Register the decorated function as a preset; see :class:`Preset`."""
    return PRESETS.register(name, lambda plan: Preset(name, about, plan))


def list_presets() -> list[Preset]:
    """Return every preset, by name."""
    return PRESETS.list()


def plan(name: str, city: City, frames: int, size: tuple[int, int], seed: int) -> list[Shot]:
    """Plan the shots of a preset, always the same for the same arguments.

    Raises:
        CrossbandError: nobody knows the preset; the message names the nearest.
    """
    return PRESETS.get(name).plan(city, frames, size, np.random.default_rng([seed, 5]))


def _hour(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(rng.uniform(*span) % 24)


def _dusk(rng: np.random.Generator, day_of_year: int) -> float:
    """An hour at which the sun stands between 2.5 degrees above the horizon and 4 below."""
    hours = np.arange(16, 22, 0.02)
    height = sun_direction(day_of_year, hours, LATITUDE)[:, 2]
    low = hours[(height > -0.07) & (height < 0.045)]
    return float(rng.choice(low))


def _conditions(
    rng: np.random.Generator, time: str, weather: str, day_of_year: int | None = None
) -> Conditions:
    """A random hour of the day, of dusk or of the night, on a random day from April to September."""
    day_of_year = int(rng.integers(100, 270)) if day_of_year is None else day_of_year
    span = _NIGHT if time == "night" else _DAY
    hour = _dusk(rng, day_of_year) if time == "dusk" else _hour(rng, span)
    return Conditions(hour, weather, day_of_year, LATITUDE)


_BUSY = StreetLife(walkers=520, dogs=0.4, cyclists=260, crossing=60)
"""Of a center at noon: persons, dogs and bicycles are met in every view."""


@register_preset("driving", "street scenes with the pixel labels of MFNet, day and night")
def _driving(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """Short sequences anywhere in the city; every second one by night, the splits 2:1:1 as in MFNet.

    One in five goes through a parking lot, and looks at the spaces and the stops at their heads.
    """
    return _drives(city, frames, size, rng, USUAL)


@register_preset("streets", "as driving, with the people and bicycles of a city's center")
def _streets(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """The same sequences in busier streets: persons are met twice as often, bicycles seven times."""
    return _drives(city, frames, size, rng, _BUSY)


def _drives(
    city: City, frames: int, size: tuple[int, int], rng: np.random.Generator, people: StreetLife
) -> list[Shot]:
    shots: list[Shot] = []
    length = 5
    for sequence in range(-(-frames // length)):
        route = plan_route(city, rng)
        start = float(rng.uniform(5, route.length - 60))
        night = sequence % 2 == 1
        turn = (sequence // 2) % 8
        speed, sway = _SPEED, 0.0
        if sequence // 2 % 5 == 4 and (aisles := _aisles(city)):
            aisle = np.random.default_rng([city.seed, 7, sequence])
            route, start = aisles[aisle.integers(len(aisles))], float(aisle.uniform(0, 20))
            speed, sway = _STROLL, float(aisle.choice((-1, 1)) * aisle.uniform(0.5, 1.1))
        weather = ("clear", "clear", "cloudy", "clear", "rain", "clear", "cloudy", "fog")[turn]
        conditions = _conditions(rng, "night" if night else "dusk" if turn == 3 else "day", weather)
        split = ("train", "val", "train", "test")[(sequence // 2) % 4]
        time = float(rng.uniform(0, 200))
        for step in range(min(length, frames - len(shots))):
            shots.append(
                _ride(
                    route,
                    start + step * 0.8 * speed,
                    size,
                    conditions,
                    time + step * 0.8,
                    sequence,
                    f"{len(shots) + 1:05d}{'N' if night else 'D'}",
                    split=split,
                    sequence=f"drive{sequence:03d}",
                    camera_name="car",
                    people=people,
                    sway=sway,
                    speed=speed,
                    gain=VIDEO_GAIN,
                )
            )
    return shots


def _aisles(city: City) -> list[Route]:
    """The ways between the rows of spaces of the city's parking lots, in both directions."""
    routes = []
    for x0, y0, x1, y1, use in city.blocks:
        if use == "parking":
            for y in parking_aisles(y0, y1):
                along = np.arange(x0 + 6.0, x1 - 6.0, 0.5)
                points = np.stack([along, np.full(len(along), y)], 1)
                routes += [Route(points), Route(points[::-1])]
    return routes


def _ride(
    route: Route,
    distance: float,
    size: tuple[int, int],
    conditions: Conditions,
    time: float,
    day: int,
    frame: str,
    sway: float = 0.0,
    speed: float = _SPEED,
    **columns: Any,
) -> Shot:
    camera = drive(route, distance, size, sway=sway)
    forward = camera.axes[2] * speed
    return Shot(
        frame=frame,
        camera=camera,
        conditions=conditions,
        time=time,
        day=day,
        ego=True,
        illuminator=True,
        velocity=(float(forward[0]), float(forward[1]), 0.0),
        **columns,
    )


@register_preset("retrieval", "RGB-thermal pairs of places, in runs of similar frames, day and night")
def _retrieval(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """Places, each passed by day and by night (some at dusk or in the rain), four frames in a row."""
    shots: list[Shot] = []
    length = 4
    place = 0
    while len(shots) < frames:
        route = plan_route(city, rng)
        start = float(rng.uniform(5, route.length - 30))
        split = ("train", "test", "train", "test", "val")[place % 5]
        again = (
            ("clear", "night"),
            ("clear", "night"),
            ("rain", "day"),
            ("clear", "night"),
            ("clear", "dusk"),
        )
        first = "cloudy" if place % 4 == 2 else "clear"
        for visit, (weather, when) in enumerate(((first, "day"), again[place % len(again)])):
            conditions = _conditions(rng, when, weather)
            time = float(rng.uniform(0, 200))
            shift = float(rng.normal(0, 1.0))
            for step in range(min(length, frames - len(shots))):
                shots.append(
                    _ride(
                        route,
                        start + shift + step * 0.25 * _SPEED,
                        size,
                        conditions,
                        time + step * 0.25,
                        2 * place + visit,
                        f"{len(shots) + 1:06d}",
                        sway=float(rng.normal(0, 0.02)),
                        split=split,
                        place=f"place{place:03d}",
                        camera_name="car",
                        sequence=f"place{place:03d}_{conditions.name}",
                    )
                )
        place += 1
    return shots


@register_preset("places", "one route by day, at dusk, at night and in the rain, with positions")
def _places(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """One route four times: by day (the gallery), at dusk, at night and in the rain (the queries)."""
    route = plan_route(city, rng)
    visits = (("day", "clear"), ("dusk", "clear"), ("night", "clear"), ("rain", "rain"))
    counts = [len(part) for part in np.array_split(np.arange(frames), len(visits))]
    day_of_year = int(rng.integers(120, 260))
    spacing = min(6.0, (route.length - 20) / max(counts))
    shots: list[Shot] = []
    for visit, ((name, weather), count) in enumerate(zip(visits, counts, strict=True)):
        conditions = _conditions(rng, name, weather, day_of_year)
        start = float(rng.uniform(0, 200))
        for step in range(count):
            distance = 5 + step * spacing + float(rng.normal(0, 0.3)) * (visit > 0)
            shots.append(
                _ride(
                    route,
                    distance,
                    size,
                    conditions,
                    start + step * spacing / _SPEED,
                    visit,
                    f"{name}{step + 1:05d}",
                    sway=float(rng.normal(0, 0.025)) * (visit > 0),
                    split="gallery" if visit == 0 else "query",
                    place=f"place{step:04d}",
                    sequence=name,
                    camera_name="car",
                )
            )
    return shots


_VIEWS = 8
_LIGHTS = ("day", "low sun", "cloudy", "dusk", "night", "rain", "black night", "shadow")


@register_preset("vehicles", "identities x street cameras x RGB/NIR/TIR crops, with challenge tags")
def _vehicles(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """The vehicles of the city's streets: seven types, told apart by paint, wheels, load and engine."""
    order = rng.permutation(FLEET)[: _identities(frames)]
    return _portraits(city, [fleet_vehicle(city, int(index)) for index in order], frames, size, rng)


@register_preset("fleet", "as vehicles, of ten makes of each type, with individual extras")
def _fleet(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """Vehicles of ten makes of each type, with sunroofs, bull bars, names on their sides, other doors."""
    order = rng.permutation(FLEET)[: _identities(frames)]
    return _portraits(city, [single_vehicle(city, int(index)) for index in order], frames, size, rng)


def _identities(frames: int) -> int:
    return -(-frames // _per_identity(frames))


def _per_identity(frames: int) -> int:
    return 10 if frames >= 40 else max(frames // 4, 2)


def _portraits(
    city: City, vehicles: list[Vehicle], frames: int, size: tuple[int, int], rng: np.random.Generator
) -> list[Shot]:
    """Every vehicle before up to eight street cameras that share no view; half of them to train on.

    Of the other half one frame in five is a query, as in RGBNT100 (Li et al., AAAI 2020).
    """
    per_identity = _per_identity(frames)
    posts = _street_cameras(city)
    shots: list[Shot] = []
    for number, vehicle in enumerate(vehicles):
        views = rng.permutation(_VIEWS)
        train = number % 2 == 0
        for step in range(min(per_identity, frames - len(shots))):
            view = int(views[step % min(_VIEWS, per_identity)])
            light = _LIGHTS[int(rng.integers(len(_LIGHTS)))]
            shot = _portrait(city, posts[view], view, vehicle, light, size, rng, f"{len(shots) + 1:06d}")
            split = "train" if train else "query" if step % 5 == 0 else "gallery"
            shots.append(Shot(**{**shot.__dict__, "split": split}))
    return shots


_Post = tuple[np.ndarray, np.ndarray, float]


def _street_cameras(city: City) -> list[_Post]:
    """Eight posts in different streets: camera, middle of its view, heading of its lane.

    Each is moved along its street until little but traffic stands before it; at the last two a tree or a
    lamp may hide up to half of a vehicle.
    """
    centers = np.ascontiguousarray(city.mesh.corners[:, 0, :2])
    posts = []
    for view in range(_VIEWS):
        candidates = [_post(city, view, shift) for shift in np.arange(20.0, 52.0, 2.0)]
        near = (np.abs(centers - candidates[8][1][:2]) < 42).all(axis=1)
        scene = Scene(city.mesh.select(near))
        free = [_free_share(scene, post) for post in candidates]
        wanted = 0.95 if view < _VIEWS - 2 else 0.6
        posts.append(candidates[int(np.argmin(np.abs(np.array(free) - wanted)))])
    return posts


def _post(city: City, view: int, shift: float) -> _Post:
    """A camera ``shift`` meters from its crossroads: fronts, rears and flanks, from a mast or lower."""
    columns = [s for s in city.streets if not s.along_x]
    rows = [s for s in city.streets if s.along_x]
    column, row = columns[1 + (view * 2 + view // 4) % 4], rows[1 + (view // 2) % 4]
    east, direction = view % 2 == 0, 1 if view % 4 < 2 else -1
    street, crossed = (row, column) if east else (column, row)
    along, offset = crossed.center + direction * shift, street.lanes[0]
    if east:
        spot = np.array([along, street.center - direction * offset, 0.0])
        side, ahead = np.array([0.0, -direction, 0.0]), np.array([direction, 0.0, 0.0])
    else:
        spot = np.array([street.center + direction * offset, along, 0.0])
        side, ahead = np.array([direction, 0.0, 0.0]), np.array([0.0, direction, 0.0])
    toward = (14.0, -13.0, 9.0, -9.0, 4.0, -5.0, 16.0, -16.0)[view]
    height = (5.5, 5.5, 4.0, 4.0, 3.2, 3.2, 7.5, 7.5)[view]
    eye = spot + ahead * toward + side * 5.6 + np.array([0, 0, height])
    return eye, spot, float(np.arctan2(ahead[1], ahead[0]))


def _free_share(scene: Scene, post: _Post) -> float:
    """Share of a vehicle at the post's spot that nothing hides."""
    eye, spot, heading = post
    grid = np.stack(np.meshgrid(np.linspace(-2.3, 2.3, 9), np.linspace(-0.9, 0.9, 4), (0.4, 1.0, 1.5)), axis=-1)
    points = grid.reshape(-1, 3) @ rotation(heading).T + spot
    rays = points - eye
    reach = np.linalg.norm(rays, axis=1)
    start = np.broadcast_to(eye, rays.shape).astype(np.float32)
    return float(
        1 - scene.blocked(start.copy(), (rays / reach[:, None]).astype(np.float32), reach - 0.3).mean()
    )


def _portrait(
    city: City,
    post: _Post,
    view: int,
    vehicle: Vehicle,
    light: str,
    size: tuple[int, int],
    rng: np.random.Generator,
    frame: str,
) -> Shot:
    """A vehicle as a detector would cut it out of a street camera's image."""
    eye, spot, heading = post
    day_of_year = int(rng.integers(130, 230))
    hour, weather = {
        "day": (_hour(rng, (10, 15)), "clear"),
        "low sun": (_hour(rng, (17.6, 18.3)), "clear"),
        "cloudy": (_hour(rng, _DAY), "cloudy"),
        "dusk": (_dusk(rng, day_of_year), "clear"),
        "night": (_hour(rng, _NIGHT), "clear"),
        "rain": (_hour(rng, _DAY), "rain"),
        "black night": (_hour(rng, _NIGHT), "clear"),
        "shadow": (_hour(rng, (7.0, 8.5)), "clear"),
    }[light]
    conditions = Conditions(hour, weather, day_of_year, LATITUDE, blackout=light == "black night")
    along = float(rng.normal(0, 2.0))
    at = spot + np.array([np.cos(heading), np.sin(heading), 0]) * along
    body = make_of(vehicle.body, vehicle.make)
    middle = at + np.array([0, 0, body.height / 2])
    pose = (float(at[0]), float(at[1]), 0.0, heading + float(rng.normal(0, 0.02)))
    camera = _framed(look(eye, middle, size, 40.0), body.length, body.width, body.height, pose, rng)
    tags = {"low sun": ("AL",), "dusk": ("LI",), "night": ("LI",), "black night": ("BN",)}.get(light, ())
    return Shot(
        frame=frame,
        camera=camera,
        conditions=conditions,
        time=float(rng.uniform(0, 200)),
        day=view,
        camera_name=f"camera{view + 1}",
        identity=vehicle.identity,
        sequence=f"{vehicle.identity}_camera{view + 1}",
        illuminator=True,
        subject=(vehicle, pose),
        tags=tags,
    )


def _framed(
    camera: Camera,
    length: float,
    width: float,
    height: float,
    pose: tuple[float, float, float, float],
    rng: np.random.Generator,
) -> Camera:
    """The part of a camera's image that a vehicle fills, with a margin of a few percent."""
    cos, sin = np.cos(pose[3]), np.sin(pose[3])
    corners = np.array(
        [
            (pose[0] + sx * cos - sy * sin, pose[1] + sx * sin + sy * cos, z)
            for sx in (-length / 2, length / 2)
            for sy in (-width / 2, width / 2)
            for z in (0.0, height)
        ]
    )
    x, y, _ = camera.project(corners)
    margin = float(rng.uniform(1.06, 1.25))
    scale = min(camera.width / (np.ptp(x) * margin), camera.height / (np.ptp(y) * margin))
    middle = ((x.max() + x.min()) / 2 - camera.width / 2, (y.max() + y.min()) / 2 - camera.height / 2)
    jitter = rng.normal(0, 0.015, 2) * (camera.width, camera.height)
    center = (float(-middle[0] * scale + jitter[0]), float(-middle[1] * scale + jitter[1]))
    return Camera(camera.position, camera.axes, camera.focal * scale, camera.height, camera.width, center)


@register_preset("uav", "flights with map tiles, probe images and boxes")
def _uav(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """Flights straight over the city, looking down and ahead by turns; half by day, half by night."""
    shots: list[Shot] = []
    width, height = city.extent
    length = 10
    flight = 0
    while len(shots) < frames:
        split = ("train", "test", "train", "val")[flight % 4] if frames > length else "test"
        night = (flight // 2 + flight // 4) % 2 == 1  # by turns within each split
        conditions = _conditions(rng, "night" if night else "day", "clear")
        start = rng.uniform((0.12 * width, 0.12 * height), (0.88 * width, 0.88 * height))
        goal = np.array([width - start[0], height - start[1]])
        course = (goal - start) / max(float(np.linalg.norm(goal - start)), 1.0)
        altitude = float(rng.uniform(32, 60))
        compass = float(np.degrees(np.arctan2(course[0], course[1])))
        oblique = flight % 3 == 2
        time = float(rng.uniform(0, 200))
        for step in range(min(length, frames - len(shots))):
            at = start + course * step * 9.0
            eye = np.array([*at, altitude])
            target = np.array([*(at + course * altitude), 0.0])
            camera = look(eye, target, size, 50.0) if oblique else nadir(eye, compass, size, 50.0)
            shots.append(
                Shot(
                    frame=f"{len(shots) + 1:06d}",
                    camera=camera,
                    conditions=conditions,
                    time=time + step,
                    day=flight,
                    split=split,
                    sequence=f"flight{flight:03d}",
                    camera_name="oblique" if oblique else "nadir",
                    velocity=(float(course[0] * 9), float(course[1] * 9), 0.0),
                )
            )
        flight += 1
    return shots


_SEASONS = (  # weather by turns, and the days of the year it may fall on
    (("clear", (80, 150)), ("heat", (165, 240)), ("cloudy", (245, 320)), ("frost", (330, 415)))
)
_FLIGHT, _PROBES = 10, 2  # frames of a flight, and of the photographs taken of its ground


@register_preset("flight", "flights at 40 to 120 m in four seasons, and photographs of their ground by day")
def _flight(city: City, frames: int, size: tuple[int, int], rng: np.random.Generator) -> list[Shot]:
    """Straight flights, by turns by day and by night and looking down and ahead.

    Ten frames are the flight; two more, of the sequence ``probeNNN``, are taken lower over the same ground
    on the same day, at another hour by day: what is parked is still there.
    """
    shots: list[Shot] = []
    flight = 0
    while len(shots) < frames:
        weather, days = _SEASONS[flight % 4]
        day_of_year = (int(rng.integers(*days)) - 1) % 365 + 1
        night = (flight + flight // 4) % 2 == 1
        when = _conditions(rng, "night" if night else "day", weather, day_of_year)
        by_day = _conditions(rng, "day", weather, day_of_year)
        altitude, start, course = _leg(city, rng)
        oblique = bool(rng.random() < 0.4)
        time = float(rng.uniform(0, 200))
        for step in range(_FLIGHT + _PROBES):
            probe = step >= _FLIGHT
            at = start + course * 9.0 * (step if not probe else 3 + 4 * (step - _FLIGHT))
            height = float(rng.uniform(24, 36)) if probe else altitude
            shots.append(
                Shot(
                    frame=f"{len(shots) + 1:06d}",
                    camera=_downward(at, height, course, oblique and not probe, size),
                    conditions=by_day if probe else when,
                    time=time + step,
                    day=flight,
                    split="train",
                    sequence=f"{'probe' if probe else 'flight'}{flight:03d}",
                    camera_name="probe" if probe else "oblique" if oblique else "nadir",
                    velocity=(float(course[0] * 9), float(course[1] * 9), 0.0),
                    people=_BUSY,
                )
            )
        flight += 1
    return shots[:frames]


def _leg(city: City, rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    """Altitude, first position and direction of a straight flight that stays over the city."""
    extent = np.array(city.extent)
    start = rng.uniform(0.12 * extent, 0.88 * extent)
    across = extent - 2 * start + rng.normal(0, 0.15, 2) * extent
    return float(rng.uniform(40, 120)), start, across / max(float(np.linalg.norm(across)), 1.0)


def _downward(
    at: np.ndarray, height: float, course: np.ndarray, oblique: bool, size: tuple[int, int]
) -> Camera:
    """A camera that looks straight down, or 45 degrees ahead."""
    eye, field_of_view = np.array([*at, height]), 36.0
    if oblique:
        return look(eye, np.array([*(at + course * height), 0.0]), size, field_of_view)
    return nadir(eye, float(np.degrees(np.arctan2(course[0], course[1]))), size, field_of_view)
