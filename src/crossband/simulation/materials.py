"""What surfaces are made of, in every band and in heat.

Sources, by column (each value is a typical one for the kind of surface, rounded):

* ``rgb``, ``nir``: hemispherical reflectance from the ECOSTRESS (formerly ASTER) spectral library 1.0
  (Meerdink et al., Remote Sensing of Environment 230, 2019), averaged over the red, green and blue of sRGB
  and over 0.75-1.0 um; leaves and grass show the red edge (Gates et al., Applied Optics 4, 1965).
* ``emissivity``: 8-14 um mean; same library; metals and skin: Incropera and DeWitt, Fundamentals of Heat
  and Mass Transfer, table A.11. Paint is 0.9 and more whatever lies beneath it; bare metal is a mirror.
* ``conductivity`` (W/m/K), ``capacity`` (J/m3/K): Oke, Boundary Layer Climates (1987), tables 2.1 and 7.4;
  ASHRAE Handbook of Fundamentals (2017), chapter 26.
* ``thickness`` (m): the layer that takes part in the day's cycle; for ``air`` backing the sheet itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache

import numpy as np

__all__ = ["MATERIALS", "Backing", "M", "Material", "column"]


class Backing(IntEnum):
    """What lies behind a surface and holds it at a temperature: deep soil, a heated room, or the air."""

    GROUND = 0
    INDOOR = 1
    AIR = 2


class M(IntEnum):
    """The materials by number, as the ray buffer stores them."""

    SKY = 0
    ASPHALT = auto()
    MARKING = auto()
    PAVING = auto()
    CURB = auto()
    CONCRETE = auto()
    GRASS = auto()
    SOIL = auto()
    LEAVES = auto()
    NEEDLES = auto()
    BARK = auto()
    BRICK = auto()
    PLASTER = auto()
    PANEL = auto()
    GLASS = auto()
    FRAME = auto()
    ROOF_TILE = auto()
    ROOF_GRAVEL = auto()
    ROOF_METAL = auto()
    STEEL = auto()
    PAINTED_STEEL = auto()
    CAR_PAINT = auto()
    CAR_GLASS = auto()
    CHROME = auto()
    RUBBER = auto()
    PLASTIC = auto()
    LAMP_GLASS = auto()
    HEADLIGHT = auto()
    TAILLIGHT = auto()
    SKIN = auto()
    HAIR = auto()
    CLOTH = auto()
    FUR = auto()
    WOOD = auto()
    TARPAULIN = auto()
    WATER = auto()


@dataclass(frozen=True)
class Material:
    """One material; see the module for units and sources.

    Attributes:
        rgb: linear reflectance in red, green, blue, 0 to 1.
        nir: reflectance in 0.75-1.0 um, 0 to 1.
        emissivity: in 8-14 um, 0 to 1.
        conductivity: W m-1 K-1.
        capacity: heat capacity of a volume, J m-3 K-1.
        thickness: meters.
        backing: what lies behind it.
        gloss: mirror reflectance at normal incidence in the visible and NIR, 0 to 1.
        shed: share of the sun that neither mirrors nor warms: it leaves as vapor or passes through, 0 to 1.
        grain: relative contrast of its texture.
    """

    rgb: tuple[float, float, float]
    nir: float
    emissivity: float
    conductivity: float = 1.0
    capacity: float = 1.8e6
    thickness: float = 0.2
    backing: Backing = Backing.GROUND
    gloss: float = 0.0
    shed: float = 0.0
    grain: float = 0.1


_G, _I, _A = Backing.GROUND, Backing.INDOOR, Backing.AIR

MATERIALS: dict[M, Material] = {
    M.SKY: Material((0, 0, 0), 0, 1.0),
    M.ASPHALT: Material((0.105, 0.102, 0.10), 0.13, 0.955, 0.75, 1.94e6, 0.40, _G, 0.0, 0.0, 0.28),
    M.MARKING: Material((0.62, 0.62, 0.60), 0.66, 0.92, 0.75, 1.94e6, 0.40, _G, 0.0, 0.0, 0.22),
    M.PAVING: Material((0.30, 0.285, 0.265), 0.36, 0.945, 1.1, 2.0e6, 0.35, _G, 0.0, 0.0, 0.16),
    M.CURB: Material((0.38, 0.375, 0.36), 0.44, 0.94, 1.5, 2.11e6, 0.35, _G, 0.0, 0.0, 0.15),
    M.CONCRETE: Material((0.36, 0.35, 0.33), 0.42, 0.94, 1.51, 2.11e6, 0.25, _I, 0.0, 0.0, 0.12),
    M.GRASS: Material((0.055, 0.10, 0.032), 0.47, 0.98, 0.25, 1.2e6, 0.30, _G, 0.0, 0.55, 0.35),
    M.SOIL: Material((0.17, 0.125, 0.085), 0.30, 0.96, 0.5, 1.5e6, 0.30, _G, 0.0, 0.25, 0.3),
    M.LEAVES: Material((0.052, 0.105, 0.028), 0.50, 0.975, 0.3, 2.0e6, 0.002, _A, 0.01, 0.60, 0.3),
    M.NEEDLES: Material((0.030, 0.062, 0.024), 0.34, 0.98, 0.3, 2.0e6, 0.003, _A, 0.0, 0.55, 0.3),
    M.BARK: Material((0.13, 0.10, 0.075), 0.32, 0.95, 0.2, 0.9e6, 0.10, _A, 0.0, 0.1, 0.3),
    M.BRICK: Material((0.30, 0.14, 0.095), 0.40, 0.93, 0.83, 1.37e6, 0.24, _I, 0.0, 0.0, 0.18),
    M.PLASTER: Material((0.55, 0.50, 0.42), 0.60, 0.915, 0.46, 1.3e6, 0.20, _I, 0.0, 0.0, 0.07),
    M.PANEL: Material((0.42, 0.43, 0.44), 0.47, 0.90, 0.30, 0.9e6, 0.06, _I, 0.02, 0.0, 0.04),
    M.GLASS: Material((0.025, 0.03, 0.032), 0.03, 0.85, 0.12, 1.66e6, 0.024, _I, 0.10, 0.75, 0.0),
    M.FRAME: Material((0.60, 0.60, 0.58), 0.62, 0.91, 0.20, 1.4e6, 0.06, _I, 0.0, 0.0, 0.02),
    M.ROOF_TILE: Material((0.25, 0.115, 0.08), 0.36, 0.92, 0.84, 1.77e6, 0.02, _A, 0.0, 0.0, 0.2),
    M.ROOF_GRAVEL: Material((0.20, 0.195, 0.185), 0.25, 0.93, 0.36, 1.4e6, 0.05, _A, 0.0, 0.0, 0.25),
    M.ROOF_METAL: Material((0.40, 0.41, 0.42), 0.45, 0.27, 40.0, 3.6e6, 0.001, _A, 0.20, 0.0, 0.05),
    M.STEEL: Material((0.38, 0.38, 0.38), 0.44, 0.22, 40.0, 3.7e6, 0.004, _A, 0.25, 0.0, 0.05),
    M.PAINTED_STEEL: Material((0.10, 0.12, 0.11), 0.20, 0.92, 40.0, 3.7e6, 0.005, _A, 0.03, 0.0, 0.03),
    M.CAR_PAINT: Material((0.40, 0.40, 0.40), 0.45, 0.92, 40.0, 3.7e6, 0.0012, _A, 0.045, 0.0, 0.0),
    M.CAR_GLASS: Material((0.018, 0.02, 0.02), 0.025, 0.86, 1.0, 2.0e6, 0.005, _A, 0.08, 0.45, 0.0),
    M.CHROME: Material((0.30, 0.30, 0.30), 0.35, 0.12, 40.0, 3.5e6, 0.002, _A, 0.45, 0.0, 0.0),
    M.RUBBER: Material((0.028, 0.028, 0.028), 0.045, 0.94, 0.2, 2.0e6, 0.015, _A, 0.0, 0.0, 0.1),
    M.PLASTIC: Material((0.03, 0.03, 0.032), 0.06, 0.93, 0.2, 1.7e6, 0.003, _A, 0.02, 0.0, 0.03),
    M.LAMP_GLASS: Material((0.70, 0.68, 0.60), 0.6, 0.87, 1.0, 2.0e6, 0.004, _A, 0.06, 0.0, 0.0),
    M.HEADLIGHT: Material((0.65, 0.66, 0.68), 0.6, 0.90, 0.3, 1.7e6, 0.004, _A, 0.08, 0.0, 0.0),
    M.TAILLIGHT: Material((0.35, 0.02, 0.02), 0.45, 0.92, 0.2, 1.7e6, 0.003, _A, 0.05, 0.0, 0.0),
    M.SKIN: Material((0.42, 0.27, 0.20), 0.55, 0.98, 0.4, 3.7e6, 0.01, _A, 0.01, 0.0, 0.0),
    M.HAIR: Material((0.045, 0.032, 0.024), 0.20, 0.96, 0.1, 0.5e6, 0.01, _A, 0.01, 0.0, 0.1),
    M.CLOTH: Material((0.25, 0.25, 0.27), 0.45, 0.95, 0.06, 0.3e6, 0.003, _A, 0.0, 0.0, 0.06),
    M.FUR: Material((0.20, 0.14, 0.09), 0.40, 0.97, 0.05, 0.2e6, 0.01, _A, 0.0, 0.0, 0.2),
    M.WOOD: Material((0.22, 0.145, 0.085), 0.42, 0.91, 0.16, 1.0e6, 0.03, _A, 0.0, 0.0, 0.2),
    M.TARPAULIN: Material((0.30, 0.32, 0.34), 0.42, 0.92, 0.2, 1.3e6, 0.0015, _A, 0.0, 0.0, 0.05),
    M.WATER: Material((0.02, 0.03, 0.03), 0.01, 0.98, 0.6, 4.2e6, 0.30, _G, 0.03, 0.3, 0.0),
}


@lru_cache(maxsize=32)
def column(name: str) -> np.ndarray:
    """Return one property of every material as an array by material number.

    The array is float32, ``(n,)`` or ``(n, 3)``, and read-only.

    Example:
        >>> bool(column("nir")[M.LEAVES] > 3 * column("nir")[M.ASPHALT])
        True
    """
    values = np.array([getattr(MATERIALS[m], name) for m in M], np.float32)
    values.flags.writeable = False  # it is shared
    return values
