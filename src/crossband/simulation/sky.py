"""The light of a moment: sun, sky, lamps and headlights, in the visible, near and thermal infrared.

Irradiances are in units of 1000 W/m2: the midday sun gives about 0.9, a street lamp 0.0003 below it, a
moonless night under a city's glow 0.000004; the ratios follow illuminances of 100 klx, 30 lx and 0.4 lx
(CIE 115:2010 for lamps, Kyba et al., Scientific Reports 5 (2015), for the glow).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .energy import irradiance
from .radiometry import band_radiance
from .sun import air_mass, sun_direction
from .textures import cloud_cover
from .weather import Weather, sky_window_radiance_share, weather

__all__ = ["Conditions", "Light", "Sky"]

_OPTICAL_DEPTH = np.array([0.08, 0.14, 0.26])  # red, green, blue; Rayleigh and a clear city's haze
_GLOW, _BLACK = 4e-6, 2e-7


@dataclass(frozen=True)
class Conditions:
    """When, and in what weather.

    Attributes:
        hour: local solar time, 0 to 24.
        weather: clear, cloudy, rain, fog, frost or heat.
        day_of_year: 1 to 365.
        latitude: degrees.
        blackout: nothing is lit: no lamps, headlights or windows, and no glow of the city.
    """

    hour: float
    weather: str = "clear"
    day_of_year: int = 172
    latitude: float = 48.7
    blackout: bool = False

    @property
    def sun(self) -> np.ndarray:
        """Direction towards the sun, ``(3,)`` float32."""
        return sun_direction(self.day_of_year, self.hour, self.latitude).astype(np.float32)

    @property
    def dark(self) -> bool:
        """Whether lamps and headlights are on: the sun is lower than 3 degrees, or the weather is dull."""
        limit = 0.05 if self.weather in ("clear", "cloudy") else 0.15
        return bool(self.sun[2] < limit)

    @property
    def name(self) -> str:
        """day, dusk or night by the sun's height; before night, rain and fog by the weather."""
        height = float(self.sun[2])
        if height <= -0.12:
            return "night"
        if self.weather in ("rain", "fog"):
            return self.weather
        return "day" if height > 0.17 else "dusk"


@dataclass(frozen=True)
class Light:
    """A lamp.

    Attributes:
        position: ``(3,)`` meters.
        axis: ``(3,)`` where it points.
        power: irradiance times squared distance on its axis, red, green, blue.
        nir: the same in the near infrared.
        focus: exponent of the cosine to its axis.
        shadows: whether what stands in its way casts a shadow.
    """

    position: np.ndarray
    axis: np.ndarray
    power: tuple[float, float, float]
    nir: float
    focus: float
    shadows: bool = True


class Sky:
    """Sun and sky under given conditions."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.weather: Weather = weather(conditions.weather)
        self.sun = conditions.sun
        direct, diffuse = irradiance(self.weather, np.array(self.sun[2], np.float64))
        mass = air_mass(max(float(self.sun[2]), 0.0))
        tint = np.exp(-_OPTICAL_DEPTH * (mass - 1))
        self.direct = (float(direct) / 1000 * tint / tint.mean()).astype(np.float32)
        self.direct_nir = np.float32(float(direct) / 1000 * 1.05)
        clouded = min(self.weather.cloud * 1.3, 1.0)
        blue = np.array([0.72, 0.95, 1.33]) * (1 - clouded) + clouded
        glow = _BLACK if conditions.blackout else _GLOW
        twilight = max(0.0, min(1.0, (float(self.sun[2]) + 0.16) / 0.16)) ** 4 * 0.01
        night = np.array([1.0, 0.86, 0.72]) * glow
        self.diffuse = (blue * (float(diffuse) / 1000 * 1.15 + twilight) + night).astype(np.float32)
        self.diffuse_nir = np.float32((0.30 + 0.7 * clouded) * (float(diffuse) / 1000 + twilight) + glow)
        self.air = float(self.weather.air(conditions.hour))
        self._night = glow

    def visible(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return radiance of the sky, red-green-blue ``(n, 3)`` and near infrared ``(n,)``, float32."""
        up = np.clip(direction[:, 2], 0, 1)[:, None]
        toward = (direction @ self.sun)[:, None]
        low_sun = np.clip(1 - abs(float(self.sun[2])) / 0.25, 0, 1)
        zenith = np.array([0.42, 0.74, 1.55], np.float32)
        horizon = np.array([1.25, 1.35, 1.45], np.float32)
        warm = np.array([2.6, 1.15, 0.55], np.float32)
        horizon_mix = np.exp(-up * 4.5)
        tone = zenith * (1 - horizon_mix) + horizon * horizon_mix
        glow = low_sun * np.exp(-up * 5) * np.clip(0.5 + 0.5 * toward, 0, 1) ** 2
        tone = tone * (1 - glow) + warm * 1.6 * glow
        if self.sun[2] > -0.05:
            tone = tone + np.clip(toward, 0, 1) ** 60 * 2.2 * np.array([1, 0.93, 0.8], np.float32)
        base = self.diffuse / np.float32(np.pi)
        mean = base.mean()
        clear = tone * mean
        cover = cloud_cover(direction, self.weather.cloud, float(self.conditions.hour) * 4000)[:, None]
        cloud = base.mean() * (1.0 + 0.25 * up) + 0.30 * self.direct / np.pi * np.clip(toward + 0.6, 0.2, 1.4)
        shade = 1 - 0.22 * cover * (1 - np.clip(toward, 0, 1))
        rgb = clear * (1 - cover) + cloud * shade * cover
        if self.conditions.dark:
            city = self._night * np.exp(-up * 3) * np.array([1.3, 1.0, 0.75], np.float32)
            rgb = rgb + city.astype(np.float32)
        infrared = self.diffuse_nir / np.pi * (0.45 + 0.9 * horizon_mix[:, 0])
        infrared = infrared * (1 - cover[:, 0]) + (cloud * shade)[:, :].mean(axis=1) * cover[:, 0]
        return rgb.astype(np.float32), infrared.astype(np.float32)

    def thermal(self, direction: np.ndarray) -> np.ndarray:
        """Return radiance of the sky in 8-14 um, W m-2 sr-1, ``(n,)``: cold overhead, warm at the horizon."""
        share = sky_window_radiance_share(direction[:, 2], self.weather.dew_point, 0.0)
        cover = cloud_cover(direction, self.weather.cloud, float(self.conditions.hour) * 4000)
        air, base = band_radiance(np.array([self.air, self.air - 6.0]))
        return (share * air * (1 - 0.9 * cover) + 0.9 * cover * base).astype(np.float32)

    def thermal_mean(self) -> float:
        """Return radiance of the whole sky as a level surface sees it, W m-2 sr-1."""
        up = np.sqrt((np.arange(16) + 0.5) / 16).astype(np.float32)
        share = sky_window_radiance_share(up, self.weather.dew_point, self.weather.cloud)
        return float(share.mean() * band_radiance(np.array(self.air)))
