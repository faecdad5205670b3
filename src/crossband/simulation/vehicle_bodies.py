"""The types of vehicle: their outlines, glass, wheels and engines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

__all__ = ["BODIES", "MAKES", "TAIL_LIGHTS", "Body", "make_of"]

MAKES = 10
"""How many makes there are of each type."""

TAIL_LIGHTS = (0.46, 0.35)
"""The lower edge of tail lights over the height, of cars and of what is higher than 2 m."""


@dataclass(frozen=True)
class Body:
    """A type of vehicle.

    Attributes:
        length, width, height: meters.
        stations: outline of the side, rows of (x / length, belt / height, top / height, top width / width).
        side_glass: pairs of stations between which the side above the belt is glass.
        top_glass: stations after which the top is glass (windshield and rear window).
        wheel: radius of the wheels, meters.
        axles: positions of the axles, x / length.
        engine: where the engine is, x / length.
        share: how many of all vehicles are of this type.
        rear: where the tail is, x / length.
        clearance: meters between the shell and the ground.
        grille: its width over the vehicle's, and how far it reaches above the headlights' lower edge, meters.
        lamps: inner and outer edge of a headlight over half of the width, and its height in meters.
        tails: the same of a tail light; a height of 0 is the usual one.
    """

    length: float
    width: float
    height: float
    stations: tuple[tuple[float, float, float, float], ...]
    side_glass: tuple[tuple[int, int], ...]
    top_glass: tuple[int, ...]
    wheel: float = 0.32
    axles: tuple[float, ...] = (-0.30, 0.31)
    engine: float = 0.37
    share: float = 1.0
    rear: float = -0.5
    clearance: float = 0.18
    grille: tuple[float, float] = (0.45, 0.11)
    lamps: tuple[float, float, float] = (0.52, 0.86, 0.13)
    tails: tuple[float, float, float] = (0.62, 0.90, 0.0)

    @property
    def carries(self) -> bool:
        """Whether the shell is a cab, and what it carries lies behind it."""
        return self.rear < self.stations[0][0]


BODIES: dict[str, Body] = {
    "sedan": Body(
        4.6,
        1.80,
        1.45,
        (
            (-0.50, 0.50, 0.58, 0.90),
            (-0.485, 0.62, 0.69, 0.90),
            (-0.34, 0.64, 0.72, 0.86),
            (-0.21, 0.645, 0.965, 0.70),
            (-0.185, 0.645, 0.97, 0.70),
            (-0.02, 0.64, 1.0, 0.70),
            (0.00, 0.64, 1.0, 0.70),
            (0.09, 0.635, 0.975, 0.70),
            (0.25, 0.625, 0.69, 0.84),
            (0.38, 0.585, 0.645, 0.86),
            (0.475, 0.52, 0.575, 0.82),
            (0.50, 0.40, 0.44, 0.80),
        ),
        ((3, 5), (6, 8)),
        (2, 7),
        share=4.0,
    ),
    "hatchback": Body(
        3.95,
        1.72,
        1.48,
        (
            (-0.50, 0.48, 0.55, 0.88),
            (-0.485, 0.63, 0.69, 0.86),
            (-0.41, 0.64, 0.94, 0.72),
            (-0.38, 0.64, 0.96, 0.70),
            (-0.12, 0.64, 1.0, 0.70),
            (-0.10, 0.64, 1.0, 0.70),
            (0.06, 0.63, 0.98, 0.70),
            (0.25, 0.62, 0.69, 0.84),
            (0.39, 0.58, 0.635, 0.84),
            (0.475, 0.52, 0.57, 0.80),
            (0.50, 0.38, 0.43, 0.78),
        ),
        ((3, 4), (5, 7)),
        (1, 6),
        share=3.0,
    ),
    "suv": Body(
        4.65,
        1.90,
        1.72,
        (
            (-0.50, 0.50, 0.56, 0.90),
            (-0.487, 0.62, 0.68, 0.88),
            (-0.43, 0.63, 0.95, 0.76),
            (-0.40, 0.63, 0.97, 0.75),
            (-0.16, 0.63, 1.0, 0.75),
            (-0.14, 0.63, 1.0, 0.75),
            (0.07, 0.625, 0.985, 0.75),
            (0.23, 0.62, 0.68, 0.86),
            (0.40, 0.59, 0.64, 0.88),
            (0.48, 0.55, 0.60, 0.86),
            (0.50, 0.40, 0.45, 0.84),
        ),
        ((3, 4), (5, 7)),
        (1, 6),
        wheel=0.38,
        share=3.0,
    ),
    "van": Body(
        5.3,
        2.0,
        2.35,
        (
            (-0.50, 0.42, 0.95, 0.88),
            (-0.495, 0.50, 0.985, 0.86),
            (-0.10, 0.50, 1.0, 0.86),
            (0.13, 0.50, 1.0, 0.86),
            (0.15, 0.50, 1.0, 0.86),
            (0.27, 0.50, 0.97, 0.84),
            (0.40, 0.48, 0.54, 0.86),
            (0.48, 0.42, 0.46, 0.84),
            (0.50, 0.30, 0.33, 0.82),
        ),
        ((4, 6),),
        (5,),
        wheel=0.34,
        axles=(-0.30, 0.33),
        engine=0.42,
        share=1.2,
    ),
    "pickup": Body(
        5.2,
        1.88,
        1.78,
        (
            (-0.50, 0.52, 0.575, 0.94),
            (-0.495, 0.54, 0.58, 0.94),
            (-0.13, 0.545, 0.585, 0.94),
            (-0.12, 0.56, 0.965, 0.74),
            (-0.10, 0.56, 0.98, 0.74),
            (0.00, 0.56, 1.0, 0.74),
            (0.015, 0.56, 1.0, 0.74),
            (0.09, 0.56, 0.98, 0.74),
            (0.21, 0.56, 0.625, 0.86),
            (0.40, 0.54, 0.60, 0.88),
            (0.485, 0.50, 0.55, 0.86),
            (0.50, 0.38, 0.42, 0.84),
        ),
        ((4, 5), (6, 8)),
        (7,),
        wheel=0.39,
        axles=(-0.31, 0.33),
        share=1.0,
    ),
    "bus": Body(
        11.2,
        2.5,
        3.05,
        (
            (-0.50, 0.42, 0.93, 0.92),
            (-0.495, 0.42, 0.98, 0.92),
            (-0.46, 0.42, 1.0, 0.92),
            (-0.30, 0.42, 1.0, 0.92),
            (-0.29, 0.42, 1.0, 0.92),
            (-0.10, 0.42, 1.0, 0.92),
            (-0.09, 0.42, 1.0, 0.92),
            (0.10, 0.42, 1.0, 0.92),
            (0.11, 0.42, 1.0, 0.92),
            (0.30, 0.42, 1.0, 0.92),
            (0.31, 0.42, 1.0, 0.92),
            (0.48, 0.40, 0.99, 0.92),
            (0.50, 0.34, 0.94, 0.92),
        ),
        ((2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
        (11,),
        wheel=0.48,
        axles=(-0.27, 0.30),
        engine=-0.44,
        share=0.5,
        clearance=0.30,
    ),
    "truck": Body(
        7.4,
        2.4,
        3.1,
        (
            (0.235, 0.45, 0.80, 0.90),
            (0.24, 0.45, 0.84, 0.90),
            (0.33, 0.45, 0.85, 0.90),
            (0.345, 0.45, 0.85, 0.90),
            (0.44, 0.44, 0.83, 0.90),
            (0.495, 0.42, 0.46, 0.94),
            (0.50, 0.24, 0.27, 0.94),
        ),
        ((3, 5),),
        (4,),
        wheel=0.46,
        axles=(-0.33, -0.20, 0.36),
        engine=0.38,
        share=0.8,
        rear=-0.47,
        clearance=0.30,
    ),
}


@lru_cache(maxsize=128)
def make_of(name: str, make: int) -> Body:
    """Return the body of a make of a type: its size, proportions, wheels, lamps and grille.

    The makes are the same in every city, as they are in the world.

    Args:
        name: a key of :data:`BODIES`.
        make: 0 to :data:`MAKES` - 1; 0 is the type itself.

    Example:
        >>> make_of("van", 0) == BODIES["van"], make_of("van", 3).length != BODIES["van"].length
        (True, True)
    """
    body = BODIES[name]
    if make == 0:
        return body
    rng = np.random.default_rng([61, list(BODIES).index(name), make])
    wheel, lamp, tail = rng.uniform(0.90, 1.12), rng.uniform(0.38, 0.62), rng.uniform(0.30, 0.68)
    made = replace(
        body,
        length=body.length * rng.uniform(0.90, 1.10),
        width=body.width * rng.uniform(0.96, 1.05),
        height=body.height * rng.uniform(0.94, 1.08),
        wheel=body.wheel * wheel,
        axles=tuple(axle + float(rng.uniform(-0.02, 0.02)) for axle in body.axles),
        stations=_reshaped(body, rng),
        grille=(float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.05, 0.2))),
        lamps=(lamp, lamp + float(rng.uniform(0.22, 0.34)), float(rng.uniform(0.08, 0.2))),
        tails=(tail, 0.92, float(rng.uniform(0.08, 0.36))),
    )
    return replace(made, tails=(*made.tails[:2], min(made.tails[2], _highest_tail(made))))


def _highest_tail(body: Body) -> float:
    """Meters that a tail light may be high without reaching above the tail."""
    if body.carries:  # they are the cargo's
        return 0.36
    return (body.stations[0][2] - TAIL_LIGHTS[body.height > 2.0]) * body.height - 0.03


def _reshaped(body: Body, rng: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
    """The outline with its pillars, belt, hood, tail and roof moved."""
    stations = np.array(body.stations)
    knots = np.array([-0.50, -0.33, -0.15, 0.08, 0.27, 0.50])
    moved = knots + np.concatenate([[0], rng.uniform(-0.035, 0.035, 4), [0]])
    x, belt, top, width = stations.T
    roof = top > 0.9
    belt = belt * np.where(np.abs(x) < 0.49, rng.uniform(0.93, 1.07), 1.0)
    low = top * np.where(x > 0, rng.uniform(0.95, 1.08), rng.uniform(0.93, 1.12))
    top = np.where(roof, top, np.minimum(low, 0.97))
    width = np.clip(width + np.where(roof, rng.uniform(-0.05, 0.07), rng.uniform(-0.03, 0.03)), 0.6, 0.95)
    belt = np.minimum(belt, top - 0.03)
    rows = np.stack([np.interp(x, knots, moved), belt, top, width], axis=1)
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows)
