"""How warm every surface is: its balance of heat over the last days.

A slab of one material gains the sun (direct where nothing stood before it, diffuse everywhere), gains and
loses longwave radiation, exchanges heat with the wind, conducts into its depth and stores what is left.
With radiation linearized the balance is linear, so the sun of each past hour adds a warmth of its own: a
surface that was shaded at noon and lies in the sun now is summed from what it really received, and yesterday
evening's shadow of a parked car is still in the asphalt.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .materials import Backing, column
from .radiometry import STEFAN_BOLTZMANN
from .sun import clear_sky, sun_direction
from .weather import Weather

__all__ = [
    "HISTORY_HOURS",
    "ORIENTATIONS",
    "SUN_STEPS",
    "SurfaceTable",
    "albedo",
    "cloth_temperature",
    "irradiance",
    "nearest_orientation",
    "solve",
]

HISTORY_HOURS = (0.0, 0.7, 2.0, 4.0, 8.0, 24.0)
"""Limits, in hours before now, of the spans whose sunlight is kept apart."""

SUN_STEPS = 16
"""Positions of the sun that stand for one span."""

_DIAGONAL = 0.70710678
ORIENTATIONS = np.array(
    [(0, 0, 1), (0, 0, -1)]
    + [(np.sin(a), np.cos(a), 0) for a in np.radians(np.arange(0, 360, 45))]
    + [(_DIAGONAL * np.sin(a), _DIAGONAL * np.cos(a), _DIAGONAL) for a in np.radians(np.arange(0, 360, 45))],
    np.float32,
)
"""Directions, ``(18, 3)``, that a surface's normal is rounded to."""

_NODES = 7
_TIME_STEP = 900.0
_DAYS = 3
_INDOOR = 293.0
_STILL_AIR_GAP = 4.0  # W m-2 K-1, back of a sheet of metal or of a leaf
_WALL_INSULATION = 0.7  # W m-2 K-1, what stands between a facade's skin and the room
_GROUND_REFLECTANCE = 0.2


@dataclass(frozen=True)
class SurfaceTable:
    """Surface temperatures of every material in every orientation at one moment.

    Attributes:
        open: ``(materials, orientations)``, kelvin: never in the direct sun, the sky unobstructed.
        closed: the same where the sky is hidden.
        gain: ``(materials, orientations, spans)``, kelvin that the direct sun of each span of
            :data:`HISTORY_HOURS` adds to a surface that stood in it.
        sun: ``(spans, SUN_STEPS, 3)`` directions of the sun, spread evenly over each span.
    """

    open: np.ndarray
    closed: np.ndarray
    gain: np.ndarray
    sun: np.ndarray

    def lit(self) -> np.ndarray:
        """Return temperatures of surfaces that stood in the sun all day under an open sky; kelvin."""
        return self.open + self.gain.sum(axis=-1)


def nearest_orientation(normals: np.ndarray) -> np.ndarray:
    """Find the entry of :data:`ORIENTATIONS` nearest to each normal ``(n, 3)``; uint8."""
    return np.argmax(normals @ ORIENTATIONS.T, axis=-1).astype(np.uint8)


def cloth_temperature(air: float, skin: float = 306.0, insulation: float = 0.11) -> float:
    """Compute the outer temperature of a clothed body in kelvin, between skin and air.

    Source: Fanger's clothing balance (ISO 7730) with linear films: 8.5 W m-2 K-1 at the surface.

    Args:
        air: kelvin.
        skin: skin temperature, kelvin.
        insulation: of the clothing, m2 K/W (0.155 is one clo).

    Example:
        >>> 283.0 < cloth_temperature(283.0) < 306.0
        True
    """
    film = 1 / 8.5
    return air + (skin - air) * film / (film + insulation)


@lru_cache(maxsize=32)
def solve(weather: Weather, day_of_year: int, hour: float, latitude: float) -> SurfaceTable:
    """Solve the temperatures of all materials and orientations after three days of the same weather.

    Sources: balance of a surface, Oke, Boundary Layer Climates (1987), eq. 1.5; convection
    h = 5.7 + 3.8 v, McAdams, Heat Transmission (1954), eq. 9-48; clouds pass a quarter of the global
    radiation and all of that diffuse, Kasten and Czeplak, Solar Energy 24 (1980).

    Args:
        weather: the weather.
        day_of_year: 1 to 365.
        hour: local solar time, 0 to 24.
        latitude: degrees.
    """
    ages = np.arange(_DAYS * 24 * 3600, -1, -_TIME_STEP) / 3600
    slab = _slabs(weather)
    surface = _surface_forcing(weather, day_of_year, hour, ages, latitude)
    cases = 2 + len(HISTORY_HOURS) - 1
    back = np.zeros((len(ages), len(slab.back), cases))
    air = weather.air(hour - ages)
    room = np.stack([np.full_like(air, weather.air_mean + 1.5), np.full_like(air, _INDOOR), air])
    back[:, :, :2] = (slab.back * room[slab.backing].T)[:, :, None]
    state = np.zeros((len(slab.back), _NODES, len(ORIENTATIONS) * cases))
    state.reshape(*state.shape[:2], -1, cases)[..., :2] = weather.air_mean
    for step in range(len(ages)):
        state *= slab.stored
        state[:, 0] += surface[step].reshape(len(slab.back), -1)
        state[:, -1] += np.tile(back[step], len(ORIENTATIONS))
        state = slab.inverse @ state
    warmth = state[:, 0].reshape(len(slab.back), len(ORIENTATIONS), cases).astype(np.float32)
    # of the longest span the nearer hours count: the warmth of the others is nearly gone
    limits = np.array((*HISTORY_HOURS[:-1], HISTORY_HOURS[-2] + 6))
    moments = limits[:-1, None] + np.diff(limits)[:, None] * (np.arange(SUN_STEPS) + 0.5) / SUN_STEPS
    return SurfaceTable(
        open=warmth[..., 0],
        closed=warmth[..., 1],
        gain=np.maximum(warmth[..., 2:], 0),
        sun=sun_direction(day_of_year, hour - moments, latitude).astype(np.float32),
    )


@dataclass(frozen=True)
class _Slabs:
    """Implicit heat conduction of every material: ``inverse @ (stored * old + forcing)`` is one step."""

    inverse: np.ndarray
    stored: np.ndarray
    back: np.ndarray
    backing: np.ndarray


def _slabs(weather: Weather) -> _Slabs:
    conductivity, capacity = column("conductivity"), column("capacity")
    thickness, backing = column("thickness"), column("backing").astype(int)
    growth = 1.6 ** np.arange(_NODES)  # thin nodes at the surface, where the day's wave is steep
    size = thickness[:, None] * growth / growth.sum()
    between = conductivity[:, None] / ((size[:, 1:] + size[:, :-1]) / 2)
    film = _convection(weather) + column("emissivity") * _radiative_film(weather)
    back = np.array([0.0, _WALL_INSULATION, _STILL_AIR_GAP])[backing]
    back = np.where(backing == Backing.GROUND, conductivity / 0.5, back)
    stored = capacity[:, None] * size / _TIME_STEP
    matrix = np.zeros((len(size), _NODES, _NODES))
    node = np.arange(_NODES)
    matrix[:, node, node] = stored
    matrix[:, node[:-1], node[:-1]] += between
    matrix[:, node[1:], node[1:]] += between
    matrix[:, node[:-1], node[1:]] -= between
    matrix[:, node[1:], node[:-1]] -= between
    matrix[:, 0, 0] += film
    matrix[:, -1, -1] += back
    return _Slabs(np.linalg.inv(matrix), stored[:, :, None], back, backing)


def _surface_forcing(
    weather: Weather, day_of_year: int, hour: float, ages: np.ndarray, latitude: float
) -> np.ndarray:
    """What each surface receives, W m-2: ``(steps, materials, orientations, 2 + spans)``."""
    suns = sun_direction(day_of_year, hour - ages, latitude)
    direct, diffuse = irradiance(weather, suns[:, 2])
    facing = np.maximum(suns @ ORIENTATIONS.T, 0) * direct[:, None]
    sky_view = (1 + ORIENTATIONS[:, 2]) / 2
    total = direct * np.maximum(suns[:, 2], 0) + diffuse
    bounced = _GROUND_REFLECTANCE * total[:, None] * (1 - sky_view)
    # a wet surface spends most of what it gains on evaporation: Bowen ratio about 0.5 (Oke 1987, table 2.2)
    absorbed = (1 - albedo()) * (1 - column("shed")) * (1 - 0.65 * weather.wet)
    air = weather.air(hour - ages)
    mean = _linear_point(weather)
    film, emissivity = _convection(weather), column("emissivity")

    def longwave(radiosity: np.ndarray) -> np.ndarray:
        # sigma T^4 about the mean: what leaves is in the matrix as film * T, the constant part is here
        return emissivity[None, :, None] * (radiosity + 3 * STEFAN_BOLTZMANN * mean**4)[:, None, :]

    hidden = (STEFAN_BOLTZMANN * air**4)[:, None] * np.ones(len(ORIENTATIONS))
    sky = weather.sky_longwave(hour - ages)[:, None] * sky_view + hidden * (1 - sky_view)
    out = np.zeros((len(ages), len(emissivity), len(ORIENTATIONS), 2 + len(HISTORY_HOURS) - 1))
    sun_open = (diffuse[:, None] * sky_view + bounced)[:, None, :] * absorbed[:, None]
    sun_hidden = 0.3 * sun_open
    out[..., 0] = sun_open + longwave(sky) + film * air[:, None, None]
    out[..., 1] = sun_hidden + longwave(hidden) + film * air[:, None, None]
    for span, (start, end) in enumerate(itertools.pairwise(HISTORY_HOURS)):
        # the oldest span takes everything before it too, so that the spans sum to the whole history
        inside = (ages >= start) & ((ages < end) | (span == len(HISTORY_HOURS) - 2))
        out[..., 2 + span] = (facing * inside[:, None])[:, None, :] * absorbed[:, None]
    return out


def irradiance(weather: Weather, sine_elevation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute sun under clouds, W m-2: (direct on a surface facing it, diffuse on the horizontal).

    Source: Kasten and Czeplak, Solar Energy 24 (1980): the global radiation falls by 0.75 N^3.4.
    """
    direct, diffuse = clear_sky(sine_elevation)
    whole = direct * np.maximum(sine_elevation, 0) + diffuse
    passed = direct * (1 - weather.cloud) ** 1.5
    left = whole * (1 - 0.75 * weather.cloud**3.4) - passed * np.maximum(sine_elevation, 0)
    return passed, np.maximum(left, 0)


def albedo() -> np.ndarray:
    """Return solar reflectance of every material: half of the sun's energy is visible, half infrared."""
    return 0.5 * column("rgb").mean(axis=1) + 0.5 * column("nir")


def _linear_point(weather: Weather) -> float:
    return weather.air_mean + 4


def _radiative_film(weather: Weather) -> float:
    return 4 * STEFAN_BOLTZMANN * _linear_point(weather) ** 3


def _convection(weather: Weather) -> float:
    return 5.7 + 3.8 * weather.wind
