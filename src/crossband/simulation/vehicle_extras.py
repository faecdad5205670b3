"""What single vehicles have besides: roof, bumpers and sides tell one van from the next of its make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .materials import M
from .meshes import Mesh, box, tube
from .vehicle_bodies import Body

__all__ = ["Extra", "draw_extras", "extra_parts"]

_CARS = ("sedan", "hatchback", "suv")
_WORK = ("van", "pickup", "truck")
_ROOF = ("sunroof", "roof bars", "light bar", "fan")
_WITHOUT: dict[str, tuple[str, ...]] = {
    "roof box": _ROOF,
    "taxi sign": ("sunroof", "roof bars"),
    "ladder": _ROOF,
    "boxes": ("panel",),
    "tank": ("panel",),
}
"""What a load leaves no room for."""

_HAVE: dict[str, tuple[float, tuple[str, ...]]] = {
    "sunroof": (0.25, _CARS),
    "spoiler": (0.25, _CARS),
    "roof bars": (0.2, (*_CARS, "van")),
    "bull bar": (0.25, ("suv", "van", "pickup", "truck")),
    "side steps": (0.3, ("suv", "van", "pickup")),
    "spare wheel": (0.3, ("suv",)),
    "light bar": (0.25, _WORK),
    "fan": (0.5, ("van", "bus")),
    "panel": (0.6, ("van", "bus", "truck")),
    "patch": (0.3, (*_CARS, "pickup", "van")),
    "visor": (0.4, ("truck", "bus")),
}
"""How often a type of vehicle has it, and which types can."""


@dataclass(frozen=True)
class Extra:
    """Something a single vehicle has.

    Attributes:
        name: what.
        place: where it sits and how large it is, two numbers from 0 to 1.
        color: linear reflectance in red, green, blue, where it is painted.
    """

    name: str
    place: tuple[float, float]
    color: tuple[float, float, float]


def draw_extras(body: str, load: str, rng: np.random.Generator) -> tuple[Extra, ...]:
    """Draw what a vehicle of a type has beside its load.

    Example:
        >>> [one.name for one in draw_extras("suv", "none", np.random.default_rng(5))]
        ['spoiler']
    """
    drawn = []
    for name, (share, bodies) in _HAVE.items():
        has, place = rng.random() < share, rng.random(2)
        color = rng.uniform(0.02, 0.7) * rng.uniform(0.6, 1.4, 3)
        if has and body in bodies and name not in _WITHOUT.get(load, ()):
            drawn.append(Extra(name, (float(place[0]), float(place[1])), tuple(color.tolist())))
    return tuple(drawn)


def extra_parts(extras: tuple[Extra, ...], body: Body) -> list[Mesh]:
    """Return the meshes of what a vehicle has, on its body at the origin."""
    return [part for extra in extras for part in _PARTS[extra.name](extra, body)]


def _roof(body: Body) -> tuple[float, float, float, float]:
    """Rear and front end of the roof, half of its width and its height, meters."""
    high = [row for row in body.stations if row[2] > 0.95]
    return (
        high[0][0] * body.length,
        high[-1][0] * body.length,
        min(row[3] for row in high) * body.width / 2,
        body.height,
    )


def _sunroof(extra: Extra, body: Body) -> list[Mesh]:
    rear, front, half, top = _roof(body)
    middle, reach = front - (0.3 + 0.3 * extra.place[0]) * (front - rear), 0.25 + 0.35 * extra.place[1]
    low = (max(middle - reach, rear), -half * 0.7, top)
    return [Mesh.make(box(low, (middle + reach, half * 0.7, top + 0.035)), M.CAR_GLASS)]


def _spoiler(extra: Extra, body: Body) -> list[Mesh]:
    """A blade behind the roof, or on a sedan's trunk, on two feet."""
    rear, _, half, top = _roof(body)
    on_trunk = body.stations[2][2] < 0.9
    x, z = (body.stations[2][0] * body.length, body.stations[2][2] * body.height) if on_trunk else (rear, top)
    depth, rise = 0.12 + 0.18 * extra.place[0], 0.04 + 0.14 * extra.place[1]
    blade = box((x - depth, -half, z + rise - 0.03), (x + 0.08, half, z + rise))
    feet = [
        box((x, side * half * 0.8 - 0.03, z - 0.08), (x + 0.08, side * half * 0.8 + 0.03, z + rise - 0.03))
        for side in (-1, 1)
    ]
    return [Mesh.make(part, M.PLASTIC) for part in (blade, *feet)]


def _roof_bars(extra: Extra, body: Body) -> list[Mesh]:
    rear, front, half, top = _roof(body)
    count = 2 if body.length < 5 else 3 + int(extra.place[0] * 2)
    return [
        Mesh.make(box((x - 0.03, -half * 0.95, top + 0.04), (x + 0.03, half * 0.95, top + 0.09)), M.CHROME)
        for x in np.linspace(rear * 0.8 + front * 0.2, rear * 0.2 + front * 0.8, count)
    ]


def _bull_bar(extra: Extra, body: Body) -> list[Mesh]:
    x, half, low = body.length / 2 + 0.09, body.width / 2 * (0.5 + 0.35 * extra.place[0]), 0.35
    high = body.height * 0.28 + 0.25 * extra.place[1]
    bars = [tube((x, -half, z), (x, half, z), 0.04, sides=6) for z in (low, (low + high) / 2, high)]
    bars += [tube((x, y, low - 0.05), (x, y, high + 0.05), 0.045, sides=6) for y in (-half, half)]
    return [Mesh.make(corners, M.STEEL, normals=normals) for corners, normals in bars]


def _side_steps(extra: Extra, body: Body) -> list[Mesh]:
    rear, front = (
        body.axles[0] * body.length + body.wheel * 1.3,
        body.axles[-1] * body.length - body.wheel * 1.3,
    )
    parts = []
    for y in (-body.width / 2 - 0.05, body.width / 2 + 0.05):
        corners, normals = tube((rear, y, 0.32), (front, y, 0.32), 0.035 + 0.03 * extra.place[0], sides=6)
        parts.append(Mesh.make(corners, M.CHROME, normals=normals))
    return parts


def _spare_wheel(extra: Extra, body: Body) -> list[Mesh]:
    x, y, z = body.rear * body.length, (extra.place[0] - 0.5) * 0.5, body.height * 0.5
    tire, tire_normals = tube((x + 0.05, y, z), (x - 0.2, y, z), body.wheel * 0.95, sides=14)
    cover, cover_normals = tube((x, y, z), (x - 0.215, y, z), body.wheel * 0.6, sides=12)
    painted = Mesh.make(cover, M.PAINTED_STEEL, color=extra.color, normals=cover_normals)
    return [Mesh.make(tire, M.PLASTIC, normals=tire_normals), painted]


def _light_bar(extra: Extra, body: Body) -> list[Mesh]:
    _, front, half, top = _cab(body) if body.carries else _roof(body)
    x, tall = front - 0.15 - 0.5 * extra.place[0], 0.10 + 0.1 * extra.place[1]
    bar = box((x - 0.14, -half * 0.8, top), (x + 0.14, half * 0.8, top + tall))
    return [Mesh.make(bar, M.PLASTIC, color=(0.75, 0.32, 0.02), nir=0.6)]


def _cab(body: Body) -> tuple[float, float, float, float]:
    """As :func:`_roof`, of a truck's cab."""
    high = max(row[2] for row in body.stations)
    rows = [row for row in body.stations if row[2] > high - 0.03]
    half = rows[0][3] * body.width / 2
    return rows[0][0] * body.length, rows[-1][0] * body.length, half, high * body.height


def _fan(extra: Extra, body: Body) -> list[Mesh]:
    rear, front, half, top = _roof(body)
    long, x = 0.5 + 0.9 * extra.place[0], rear + (front - rear) * (0.2 + 0.5 * extra.place[1])
    low, high = (x - long / 2, -half * 0.5, top), (x + long / 2, half * 0.5, top + 0.24)
    return [Mesh.make(box(low, high), M.PANEL)]


def _between_axles(body: Body) -> tuple[float, float]:
    """Rear and front end of the sides between the wheels, meters."""
    clear = 1.25 * body.wheel
    return body.axles[-2] * body.length + clear, body.axles[-1] * body.length - clear


def _below_belt(body: Body) -> float:
    """How high the sides are up to the glass, meters."""
    return body.height * min(row[1] for row in body.stations[2:-2]) - 0.10


def _on_side(side: int, body: Body, x: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """A plate on a side, the right (-1) or the left (1)."""
    low, high = sorted((side * (body.width / 2 + 0.01), side * body.width / 2 * 0.96))
    return box((x[0], low, z[0]), (x[1], high, z[1]))


def _panel(extra: Extra, body: Body) -> list[Mesh]:
    """A maker's or firm's name on both sides: a vinyl of another color."""
    rear, front = (-0.45 * body.length, 0.19 * body.length) if body.carries else _between_axles(body)
    low, high = (0.42 * body.height, 0.94 * body.height) if body.carries else (0.55, _below_belt(body))
    long, tall = (front - rear) * (0.35 + 0.55 * extra.place[0]), (high - low) * (0.4 + 0.5 * extra.place[1])
    x, z = rear + (front - rear - long) * extra.place[1], low + (high - low - tall) * extra.place[0]
    return [
        Mesh.make(
            _on_side(side, body, (x, x + long), (z, z + tall)),
            M.TARPAULIN,
            color=extra.color,
            nir=float(np.mean(extra.color)),
        )
        for side in (-1, 1)
    ]


def _patch(extra: Extra, body: Body) -> list[Mesh]:
    """A door that came from another car, on one side: the first, the second or between them."""
    rear, front = _between_axles(body)
    long = min(0.9, (front - rear) / 2)
    x = rear + (front - rear - long) * int(extra.place[1] * 2.99) / 2
    side = 1 if extra.place[0] < 0.5 else -1
    door = _on_side(side, body, (x, x + long), (body.clearance + 0.16, _below_belt(body)))
    return [Mesh.make(door, M.PAINTED_STEEL, color=extra.color, nir=float(np.mean(extra.color)))]


def _visor(extra: Extra, body: Body) -> list[Mesh]:
    _, front, half, top = _cab(body)
    depth = 0.2 + 0.25 * extra.place[0]
    low, high = (front - 0.05, -half * 0.9, top - 0.10), (front + depth, half * 0.9, top - 0.03)
    return [Mesh.make(box(low, high), M.PLASTIC)]


_PARTS = {
    "sunroof": _sunroof,
    "spoiler": _spoiler,
    "roof bars": _roof_bars,
    "bull bar": _bull_bar,
    "side steps": _side_steps,
    "spare wheel": _spare_wheel,
    "light bar": _light_bar,
    "fan": _fan,
    "panel": _panel,
    "patch": _patch,
    "visor": _visor,
}
