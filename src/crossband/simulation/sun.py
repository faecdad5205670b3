"""Where the sun stands and how much of it arrives."""

from __future__ import annotations

import numpy as np

__all__ = ["air_mass", "clear_sky", "declination", "sun_direction"]

_SOLAR_CONSTANT = 1361.0  # W m-2; Kopp and Lean (2011)


def declination(day_of_year: float) -> float:
    """Compute the declination of the sun in radians.

    Source: Spencer, "Fourier series representation of the position of the sun", Search 2(5) (1971).

    Example:
        >>> round(float(np.degrees(declination(172))), 1)
        23.5
    """
    g = 2 * np.pi * (day_of_year - 1) / 365
    return float(
        0.006918
        - 0.399912 * np.cos(g)
        + 0.070257 * np.sin(g)
        - 0.006758 * np.cos(2 * g)
        + 0.000907 * np.sin(2 * g)
        - 0.002697 * np.cos(3 * g)
        + 0.00148 * np.sin(3 * g)
    )


def sun_direction(day_of_year: float, hour: np.ndarray | float, latitude: float) -> np.ndarray:
    """Compute the unit vector towards the sun, ``(..., 3)`` as (east, north, up).

    Below the horizon ``up`` is negative.

    Source: spherical astronomy, as in Duffie and Beckman, Solar Engineering of Thermal Processes, 1.6.

    Args:
        day_of_year: 1 to 365.
        hour: local apparent solar time, hours; any shape.
        latitude: degrees, north positive.

    Example:
        >>> east, north, up = sun_direction(172, 9.0, 48.7)
        >>> bool(east > 0), bool(up > 0.7)
        (True, True)
    """
    angle = np.radians(15 * (np.asarray(hour, np.float64) - 12))
    delta, phi = declination(day_of_year), np.radians(latitude)
    east = -np.cos(delta) * np.sin(angle)
    north = np.cos(phi) * np.sin(delta) - np.sin(phi) * np.cos(delta) * np.cos(angle)
    up = np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.cos(angle)
    return np.stack([east, north, up], axis=-1)


def air_mass(sine_elevation: np.ndarray | float) -> np.ndarray:
    """Compute the relative optical air mass; Kasten and Young, Applied Optics 28 (1989), eq. 3.

    It is 38 at the horizon.

    Example:
        >>> round(float(air_mass(1.0)), 2)
        1.0
    """
    sine = np.clip(np.asarray(sine_elevation, np.float64), 0, 1)
    return 1 / (sine + 0.50572 * (np.degrees(np.arcsin(sine)) + 6.07995) ** -1.6364)


def clear_sky(sine_elevation: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Compute the irradiance of a clear day in W m-2.

    The pair is (direct on a surface facing the sun, diffuse on the horizontal).

    Source: direct = 1.361 kW x 0.7^(AM^0.678), Meinel and Meinel, Applied Solar Energy (1976); the
    diffuse part is a tenth of the direct beam, ibid. Both are 0 at night.
    """
    sine = np.asarray(sine_elevation, np.float64)
    direct = _SOLAR_CONSTANT * 0.7 ** (air_mass(sine) ** 0.678)
    # the disc sets over about half a degree: no jump at the horizon
    direct = np.where(sine > 0, direct, 0.0)
    twilight = np.clip((sine + 0.1) / 0.2, 0, 1)
    return direct, 0.1 * direct * np.clip(sine * 4, 0, 1) + 25 * twilight
