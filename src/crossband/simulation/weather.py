"""Weather: what the air and the sky do to every band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import unknown_name
from .radiometry import STEFAN_BOLTZMANN

__all__ = ["WEATHERS", "Weather", "sky_emissivity", "sky_window_radiance_share", "weather"]


@dataclass(frozen=True)
class Weather:
    """The weather of one day.

    Attributes:
        name: clear, cloudy, rain, fog, frost or heat.
        cloud: covered share of the sky, 0 to 1.
        visibility: meteorological range in the visible, meters.
        thermal_visibility: the same in 8-14 um: haze passes long waves, thick fog does not.
        air_mean: mean air temperature of the day, kelvin.
        air_swing: half of the difference between the warmest and the coldest hour, kelvin.
        dew_point: dew point, kelvin.
        wind: wind speed at the surfaces, m/s.
        wet: share of upward surfaces that carry a film of water, 0 to 1.
    """

    name: str
    cloud: float
    visibility: float
    thermal_visibility: float
    air_mean: float
    air_swing: float
    dew_point: float
    wind: float
    wet: float

    def air(self, hour: np.ndarray | float) -> np.ndarray:
        """Compute air temperature in kelvin: a cosine with its maximum at 15 h (Oke 1987, section 2.2)."""
        return self.air_mean + self.air_swing * np.cos(2 * np.pi * (np.asarray(hour) - 15) / 24)

    def sky_longwave(self, hour: np.ndarray | float) -> np.ndarray:
        """Compute the downward longwave irradiance on open horizontal ground, W m-2."""
        return sky_emissivity(self.dew_point, self.cloud) * STEFAN_BOLTZMANN * self.air(hour) ** 4


WEATHERS: dict[str, Weather] = {
    w.name: w
    for w in (
        Weather("clear", 0.05, 20000, 15000, 289.0, 6.5, 281.0, 1.5, 0.0),
        Weather("cloudy", 0.85, 12000, 10000, 287.0, 3.0, 282.0, 2.5, 0.0),
        Weather("rain", 1.0, 1600, 2500, 285.0, 1.5, 284.0, 3.5, 1.0),
        Weather("fog", 0.95, 130, 320, 281.0, 1.5, 280.5, 0.8, 0.5),
        Weather("frost", 0.05, 20000, 15000, 271.0, 4.5, 266.0, 1.5, 0.0),
        Weather("heat", 0.05, 15000, 12000, 299.0, 7.5, 287.0, 1.2, 0.0),
    )
}


def weather(name: str) -> Weather:
    """Return the weather called ``name``.

    Raises:
        CrossbandError: for any other name.
    """
    if name not in WEATHERS:
        raise unknown_name("weather", name, WEATHERS)
    return WEATHERS[name]


def sky_emissivity(dew_point: float, cloud: float) -> float:
    """Compute the emissivity of the whole sky over all wavelengths, 0 to 1.

    Source: clear sky, Martin and Berdahl, Solar Energy 33 (1984), eq. 3; clouds, Unsworth and Monteith,
    Q. J. R. Meteorol. Soc. 101 (1975), eq. 11.

    Args:
        dew_point: kelvin.
        cloud: covered share, 0 to 1.

    Example:
        >>> sky_emissivity(283.15, 0.0) < sky_emissivity(283.15, 1.0) < 1
        True
    """
    dew = (dew_point - 273.15) / 100
    clear = 0.711 + 0.56 * dew + 0.73 * dew**2
    return (1 - 0.84 * cloud) * clear + 0.84 * cloud


def sky_window_radiance_share(up: np.ndarray, dew_point: float, cloud: float) -> np.ndarray:
    """Compute the sky's emissivity in 8-14 um by direction, float32, 0 to 1.

    The sky is cold overhead and as warm as the air at the horizon.

    Source: the angular law of Martin and Berdahl (1984), eq. 6, ``1 - e = (1 - e0) exp(b (1.7 - 1/cos))``
    with b = 0.308. In the window the clear air is more transparent than over the whole spectrum: its
    overall emissivity there is taken as ``1 - 1.9 (1 - e0)`` (their figure 2); clouds as above.

    Args:
        up: sine of the elevation, any shape; below the horizon counts as the horizon.
        dew_point: kelvin.
        cloud: covered share, 0 to 1.
    """
    clear = max(1 - 1.9 * (1 - sky_emissivity(dew_point, 0.0)), 0.1)
    path = 1 / np.maximum(up, 0.03)
    directional = 1 - (1 - clear) * np.exp(0.308 * np.maximum(1.7 - path, -30.0))
    return ((1 - 0.9 * cloud) * np.clip(directional, 0.05, 1) + 0.9 * cloud).astype(np.float32)
