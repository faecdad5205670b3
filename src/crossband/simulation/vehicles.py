"""Vehicles with an identity: body, color, wheels, load, and the heat their use has left in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .materials import M, column
from .meshes import Kind, Mesh, box, loft, merge, smooth, tube
from .vehicle_bodies import BODIES, MAKES, TAIL_LIGHTS, Body, make_of
from .vehicle_extras import Extra, draw_extras, extra_parts

__all__ = ["COLORS", "Vehicle", "draw_single", "draw_vehicle", "engine_warmth", "vehicle_mesh"]

COLORS: dict[str, tuple[float, float, float]] = {
    "white": (0.72, 0.72, 0.70),
    "silver": (0.42, 0.43, 0.44),
    "gray": (0.13, 0.135, 0.14),
    "black": (0.018, 0.018, 0.02),
    "red": (0.42, 0.025, 0.025),
    "blue": (0.03, 0.075, 0.30),
    "green": (0.03, 0.14, 0.06),
    "yellow": (0.62, 0.43, 0.03),
    "brown": (0.14, 0.075, 0.04),
}


_LOADS: dict[str, tuple[str, ...]] = {
    "sedan": ("none", "none", "roof box", "taxi sign"),
    "hatchback": ("none", "none", "roof box"),
    "suv": ("none", "roof rails", "roof box"),
    "van": ("none", "ladder"),
    "pickup": ("none", "boxes", "pipes"),
    "bus": ("none",),
    "truck": ("box", "tarpaulin", "tank", "boxes"),
}
_WHEELS = ("steel", "alloy", "black")
_SHAPES = MAKES * len(BODIES)


@dataclass(frozen=True)
class Vehicle:
    """One vehicle, the same wherever and whenever it is seen.

    Attributes:
        number: the instance number in the label images.
        identity: its name in manifests.
        body: a key of :data:`~crossband.simulation.vehicle_bodies.BODIES`.
        color: a key of :data:`COLORS`.
        paint: linear reflectance in red, green, blue of this very car.
        nir: reflectance of its paint in the near infrared: black paints differ there.
        wheels: steel, alloy or black.
        load: what it carries.
        stripe: whether a stripe of another color runs along its sides.
        engine_heat: kelvin that its running engine adds to the front of the body.
        exhaust_side: -1 right, 1 left.
        idle_hours: since when the engine has been off when it stands parked, hours.
        make: which make of its type, 0 to :data:`~crossband.simulation.vehicle_bodies.MAKES` - 1.
        extras: what this very vehicle has besides; see :mod:`~crossband.simulation.vehicle_extras`.
    """

    number: int
    identity: str
    body: str
    color: str
    paint: tuple[float, float, float]
    nir: float
    wheels: str
    load: str
    stripe: bool
    engine_heat: float
    exhaust_side: int
    idle_hours: float
    make: int = 0
    extras: tuple[Extra, ...] = ()


def draw_vehicle(rng: np.random.Generator, number: int) -> Vehicle:
    """Draw a random vehicle.

    Cars that were just parked are as frequent as those that stand since yesterday.
    """
    names = list(BODIES)
    share = np.array([BODIES[name].share for name in names])
    body = str(rng.choice(names, p=share / share.sum()))
    color = str(rng.choice(list(COLORS), p=[0.2, 0.18, 0.16, 0.14, 0.1, 0.1, 0.04, 0.04, 0.04]))
    paint = np.clip(np.array(COLORS[color]) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.006, 3), 0.01, 0.85)
    return Vehicle(
        number=number,
        identity=f"vehicle{number:04d}",
        body=body,
        color=color,
        paint=(float(paint[0]), float(paint[1]), float(paint[2])),
        nir=float(np.clip(paint.mean() * rng.uniform(0.7, 1.1) + rng.uniform(0.03, 0.25), 0.04, 0.8)),
        wheels=str(rng.choice(_WHEELS)),
        load=str(rng.choice(_LOADS[body])),
        stripe=bool(rng.random() < 0.15),
        engine_heat=float(rng.uniform(28, 46)),
        exhaust_side=int(rng.choice((-1, 1))),
        idle_hours=float(rng.choice([rng.uniform(0.05, 0.8), rng.uniform(0.8, 3), rng.uniform(6, 40)])),
    )


def draw_single(vehicle: Vehicle, rng: np.random.Generator) -> Vehicle:
    """Draw a make of the vehicle's type, and what tells it from others of the make.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draw_single(draw_vehicle(rng, 7), rng).make in range(MAKES)
        True
    """
    make = int(rng.integers(MAKES))
    return replace(vehicle, make=make, extras=draw_extras(vehicle.body, vehicle.load, rng))


def engine_warmth(idle_hours: float) -> float:
    """Compute the share of a running engine's heat left after it was turned off, 0 to 1.

    Newton's law of cooling with a time constant of 1.3 h, typical of a closed engine bay.

    Example:
        >>> engine_warmth(0.0), round(engine_warmth(1.3), 2)
        (1.0, 0.37)
    """
    return float(np.exp(-idle_hours / 1.3))


def vehicle_mesh(vehicle: Vehicle, *, running: bool, lights: bool = False) -> Mesh:
    """Return the vehicle on the ground at the origin, its front towards x.

    Args:
        vehicle: which.
        running: engine on, tires and brakes warm from driving; else by its ``idle_hours``.
        lights: head and tail lights on; their glass is then :data:`M.HEADLIGHT` and :data:`M.TAILLIGHT`,
            otherwise lamp glass and plastic.
    """
    body = make_of(vehicle.body, vehicle.make)
    parts = [_shell(body), *_wheels(body, vehicle.wheels), *_lamps(body, lights)]
    parts += [
        *_trim(body),
        *_own_trim(vehicle, body),
        *_load(vehicle, body),
        *extra_parts(vehicle.extras, body),
    ]
    mesh = merge(parts)
    own = mesh.color[:, 0] == -1
    nir = np.where(own, np.float32(vehicle.nir), mesh.nir)
    mesh = mesh.painted(vehicle.paint).having(kind=Kind.VEHICLE, instance=vehicle.number, nir=nir)
    warmth = 1.0 if running else engine_warmth(vehicle.idle_hours)
    driven = 1.0 if running else float(np.exp(-vehicle.idle_hours / 0.4))
    return mesh.having(heat=_heat(mesh, vehicle, body, warmth, driven))


_PAINT = (-1.0, 0.0, 0.0)  # a mark for the vehicle's own color; see Mesh.painted


@lru_cache(maxsize=_SHAPES)
def _shell(body: Body) -> Mesh:
    width, height = body.width / 2, body.height
    rings = []
    for x, belt, top, top_width in body.stations:
        zb, zt, wt = belt * height, top * height, top_width * width
        bottom = body.clearance + (0.12 if abs(x) > 0.495 else 0)
        pinch = 0.93 if abs(x) > 0.49 else 1.0
        side = [
            (width * 0.93 * pinch, bottom),
            (width * pinch, bottom + 0.14),
            (width * pinch, max(zb - 0.10, bottom + 0.16)),
            (width * 0.975 * pinch, zb),
            (wt * pinch, zt - 0.05 * (top - belt) / 0.3 - 0.01),
            (wt * 0.84 * pinch, zt),
            (0.0, zt + 0.025),
        ]
        outline = side + [(-y, z) for y, z in side[-2::-1]]
        rings.append([(x * body.length, y, z) for y, z in outline])
    grid = np.array(rings, np.float32)
    skin = loft(grid)
    strips = skin.shape[1]
    material = np.full(skin.shape[:3], M.CAR_PAINT, np.uint8)
    material[:, [0, strips - 1]] = M.PLASTIC
    for begin, end in body.side_glass:
        material[begin:end, [3, strips - 4]] = M.CAR_GLASS
    for station in body.top_glass:
        material[station, 4 : strips - 4] = M.CAR_GLASS
    corners = skin.reshape(-1, 3, 3)
    ends = np.concatenate([_cap(grid[0])[:, ::-1], _cap(grid[-1])])
    corners = np.concatenate([corners, ends])
    materials = np.concatenate([material.reshape(-1), np.full(len(ends), M.CAR_PAINT, np.uint8)])
    mesh = Mesh.make(corners, M.CAR_PAINT, color=_PAINT, normals=smooth(corners))
    return _recolored(mesh, materials)


def _cap(ring: np.ndarray) -> np.ndarray:
    """The end of a loft, seen from the front: a fan from the middle of its bottom edge."""
    center = np.array([ring[0, 0], 0, ring[:, 2].min()], np.float32)
    return np.stack([np.broadcast_to(center, ring[1:].shape), ring[1:], ring[:-1]], axis=1)


def _recolored(mesh: Mesh, material: np.ndarray) -> Mesh:
    own = material == M.CAR_PAINT
    color = np.where(own[:, None], mesh.color, column("rgb")[material])
    nir = np.where(own, mesh.nir, column("nir")[material])
    return mesh.having(material=material, color=color.astype(np.float32), nir=nir.astype(np.float32))


@lru_cache(maxsize=3 * _SHAPES)
def _wheels(body: Body, style: str) -> tuple[Mesh, ...]:
    parts = []
    hub = {"steel": M.STEEL, "alloy": M.CHROME, "black": M.PLASTIC}[style]
    for axle in body.axles:
        x = axle * body.length
        for side in (-1, 1):
            out = side * body.width / 2
            for radius, y0, y1, material, sides in (
                (body.wheel * 1.16, out - side * 0.02, out + side * 0.012, M.PLASTIC, 12),
                (body.wheel, out - side * 0.24, out + side * 0.022, M.RUBBER, 12),
                (body.wheel * 0.62, out - side * 0.02, out + side * 0.030, hub, 10),
                (body.wheel * 0.2, out - side * 0.02, out + side * 0.038, M.PLASTIC, 5),
            ):
                center = body.wheel * (1.04 if sides == 12 and material == M.PLASTIC else 1.0)
                corners, normals = tube((x, y0, center), (x, y1, center), radius, sides=sides)
                seen = slice(None, None) if material == M.RUBBER else slice(2 * sides, 3 * sides)
                parts.append(Mesh.make(corners[seen], material, normals=normals[seen]))
    return tuple(parts)


def _ends(body: Body) -> tuple[float, float, float]:
    """Front, rear and the height of the headlights, meters."""
    return body.length / 2, body.rear * body.length, body.height * (0.30 if body.height > 2 else 0.38)


@lru_cache(maxsize=2 * _SHAPES)
def _lamps(body: Body, lights: bool) -> tuple[Mesh, ...]:
    front, rear, low = _ends(body)
    width, tall = body.width / 2, body.height > 2.0
    lamp, tail = (M.HEADLIGHT, M.TAILLIGHT) if lights else (M.LAMP_GLASS, M.PLASTIC)
    tail_color = None if lights else (0.25, 0.015, 0.015)
    z_tail = body.height * TAIL_LIGHTS[tall]
    inner, outer, high = body.lamps
    tail_inner, tail_outer, tail_high = body.tails
    parts = []
    for side in (-1, 1):
        y0, y1 = sorted((side * width * inner, side * width * outer))
        parts.append(Mesh.make(box((front - 0.16, y0, low), (front + 0.012, y1, low + high)), lamp))
        y0, y1 = sorted((side * width * tail_inner, side * width * tail_outer))
        height = tail_high or (0.30 if tall else 0.13)
        tail_box = box((rear - 0.02, y0, z_tail), (rear + 0.10, y1, z_tail + height))
        parts.append(Mesh.make(tail_box, tail, color=tail_color))
    return tuple(parts)


@lru_cache(maxsize=_SHAPES)
def _trim(body: Body) -> tuple[Mesh, ...]:
    """Mirrors, grille, bumper, plates and underside."""
    front, rear, low = _ends(body)
    width, tall = body.width / 2, body.height > 2.0
    parts = []
    for side in (-1, 1):
        y0, y1 = sorted((side * width * 1.0, side * width * 1.16))
        x = body.length * (0.19 if not tall else 0.40)
        z = body.height * (0.64 if not tall else 0.55)
        parts.append(Mesh.make(box((x - 0.06, y0, z), (x + 0.06, y1, z + 0.13)), M.CAR_PAINT, color=_PAINT))
    wide, high = width * body.grille[0], low + body.grille[1]
    grille = box((front - 0.1, -wide, low - 0.02), (front + 0.008, wide, high))
    bumper = box((front - 0.1, -width * 0.7, low - 0.20), (front + 0.014, width * 0.7, low - 0.10))
    parts += [Mesh.make(grille, M.PLASTIC), Mesh.make(bumper, M.PLASTIC)]
    for x in (front + 0.016, rear - 0.022):
        plate = box((x - 0.02, -0.26, low - 0.09), (x + 0.004, 0.26, low + 0.02))
        parts.append(Mesh.make(plate, M.PLASTIC, color=(0.7, 0.7, 0.66), nir=0.7))
    under = box((rear + 0.3, -width * 0.8, 0.14), (front - 0.3, width * 0.8, 0.24))
    return (*parts, Mesh.make(under, M.PLASTIC))


def _own_trim(vehicle: Vehicle, body: Body) -> list[Mesh]:
    """What differs between vehicles of one type: the exhaust's side, a stripe."""
    _, rear, _ = _ends(body)
    width = body.width / 2
    y = vehicle.exhaust_side * width * 0.6
    corners, normals = tube((rear - 0.05, y, 0.26), (rear + 0.3, y, 0.26), 0.045, sides=6)
    parts = [Mesh.make(corners, M.CHROME, normals=normals)]
    if vehicle.stripe:
        begin, end = sorted((body.stations[0][0] * body.length * 0.8, body.length * 0.4))
        low, high = body.height * 0.40, body.height * 0.46
        for side in (-1, 1):
            y0, y1 = sorted((side * (width + 0.006), side * (width - 0.014)))
            parts.append(
                Mesh.make(box((begin, y0, low), (end, y1, high)), M.CAR_PAINT, color=(0.6, 0.12, 0.05))
            )
    return parts


def _load(vehicle: Vehicle, body: Body) -> list[Mesh]:
    top, width, length = body.height, body.width / 2, body.length
    match vehicle.load:
        case "roof box":
            return [_solid((-0.18 * length, -0.42, top), (0.1 * length, 0.42, top + 0.34), M.PLASTIC)]
        case "roof rails":
            return [
                _solid((-0.35 * length, y - 0.03, top), (0.05 * length, y + 0.03, top + 0.07), M.CHROME)
                for y in (-width * 0.62, width * 0.62)
            ]
        case "taxi sign":
            return [
                Mesh.make(box((-0.1, -0.28, top), (0.1, 0.28, top + 0.17)), M.PLASTIC, color=(0.7, 0.55, 0.05))
            ]
        case "ladder":
            rails = [
                _solid((-0.4 * length, y - 0.03, top + 0.1), (0.2 * length, y + 0.03, top + 0.16), M.STEEL)
                for y in (0.2, 0.6)
            ]
            return rails + [
                _solid((x, 0.2, top + 0.11), (x + 0.05, 0.6, top + 0.15), M.STEEL)
                for x in np.linspace(-0.38, 0.18, 9) * length
            ]
        case "pipes":
            tubes = [tube((-0.48 * length, y, 1.15), (-0.02 * length, y, 1.95), 0.07) for y in (-0.3, 0, 0.3)]
            return [Mesh.make(corners, M.STEEL, normals=normals) for corners, normals in tubes]
        case "boxes" if vehicle.body == "pickup":
            return [
                _solid((-0.46 * length, -0.7, 1.0), (-0.3 * length, 0.5, 1.5), M.WOOD),
                _solid((-0.28 * length, -0.3, 1.0), (-0.16 * length, 0.7, 1.4), M.WOOD),
            ]
    if vehicle.body == "truck":
        return _cargo(vehicle, body)
    return []


def _solid(low: tuple[float, float, float], high: tuple[float, float, float], material: M) -> Mesh:
    return Mesh.make(box(low, high), material)


def _cargo(vehicle: Vehicle, body: Body) -> list[Mesh]:
    length, width = body.length, body.width / 2
    bed = _solid((-0.47 * length, -width * 0.95, 0.85), (0.22 * length, width * 0.95, 1.05), M.PAINTED_STEEL)
    low, high = (-0.47 * length, -width, 1.05), (0.21 * length, width, body.height)
    match vehicle.load:
        case "tarpaulin":
            return [bed, Mesh.make(box(low, high), M.TARPAULIN, color=_PAINT)]
        case "tank":
            radius = width * 0.9
            corners, normals = tube(
                (-0.46 * length, 0, 1.1 + radius), (0.2 * length, 0, 1.1 + radius), radius, sides=16
            )
            return [bed, Mesh.make(corners, M.STEEL, normals=normals)]
        case "boxes":
            crates = [
                _solid((x * length, -width * 0.8, 1.05), ((x + 0.15) * length, width * 0.8, 1.05 + h), M.WOOD)
                for x, h in ((-0.45, 1.1), (-0.28, 0.8), (-0.1, 1.3))
            ]
            return [bed, *crates]
    return [bed, Mesh.make(box(low, high), M.PAINTED_STEEL, color=(0.62, 0.63, 0.64), nir=0.62)]


def _heat(mesh: Mesh, vehicle: Vehicle, body: Body, warmth: float, driven: float) -> np.ndarray:
    """Kelvin above the balance with sun and air, at every corner."""
    x, y, z = mesh.corners[..., 0], mesh.corners[..., 1], mesh.corners[..., 2]
    along = (x - body.engine * body.length) / (0.13 * min(body.length, 5.5))
    across = y / (0.42 * body.width)
    heat = vehicle.engine_heat * warmth * np.exp(-0.5 * (along**2 + across**2))
    heat *= np.clip(1.25 - 0.5 * z / body.height, 0.3, 1)
    material = mesh.material[:, None]
    rear = x < -body.length * 0.49
    heat = np.where(material == M.CAR_GLASS, heat * 0.3 + 3.0 * driven, heat)
    heat = np.where(material == M.RUBBER, heat * 0.2 + 14 * driven, heat)
    wheel = np.min([np.abs(x - a * body.length) for a in body.axles], axis=0) < body.wheel
    brake = wheel & np.isin(material, (M.STEEL, M.CHROME)) & (z < 2.2 * body.wheel)
    heat = np.where(brake, 22 * driven + 4 * warmth, heat)
    exhaust = rear & (material == M.CHROME) & (z < 0.5)
    heat = np.where(exhaust, 0.75 * vehicle.engine_heat * warmth, heat)
    lamp = np.isin(material, (M.HEADLIGHT,))
    return np.where(lamp, heat * 0.5 + 9, heat).astype(np.float32)
