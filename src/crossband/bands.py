"""Bands, the units of their pixels, and how pixels become values that a model can read.

Visible and near-infrared pixels are scaled by the full range of their type. Thermal pixels have no
natural range: a *normalization* maps them to [0, 1] by name:

==================  ==========================================================================
``percentile``      stretch each image from its 1st to its 99th percentile (``percentile:LOW:HIGH``);
                    keeps contrast whatever the scene's temperature; the default for ``tir``
``kelvin:LOW:HIGH`` the same fixed temperature range for every image; needs radiometric pixels
``repeat8``         value / 255 of an 8-bit image, as the camera's gain control left it, repeated over
                    three channels (Pendota and Channappayya, section 3.3)
``range``           divide by the full range of the integer type; the default for ``rgb`` and ``nir``
==================  ==========================================================================
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .errors import CrossbandError, unknown_name

__all__ = [
    "BANDS",
    "Band",
    "Normalization",
    "Units",
    "default_normalization",
    "parse_band",
    "parse_units",
    "to_kelvin",
]


_BLOCK = 1 << 20


class Band(enum.StrEnum):
    """A band of the spectrum: visible, near infrared, thermal infrared (8-14 um)."""

    RGB = "rgb"
    NIR = "nir"
    TIR = "tir"


BANDS: tuple[Band, ...] = tuple(Band)


class Units(enum.StrEnum):
    """The units of thermal pixels; ``counts`` are the sensor's own, without temperatures."""

    COUNTS = "counts"
    CENTIKELVIN = "centikelvin"
    KELVIN = "kelvin"
    CELSIUS = "celsius"


def parse_band(name: str) -> Band:
    """Return the band called ``name``.

    Raises:
        CrossbandError: for any other name.

    Example:
        >>> parse_band("tir")
        <Band.TIR: 'tir'>
    """
    try:
        return Band(name)
    except ValueError:
        raise unknown_name("band", name, [band.value for band in Band]) from None


def parse_units(name: str) -> Units:
    """Return the units called ``name``.

    Raises:
        CrossbandError: for any other name.

    Example:
        >>> parse_units("centikelvin")
        <Units.CENTIKELVIN: 'centikelvin'>
    """
    try:
        return Units(name)
    except ValueError:
        raise unknown_name("units", name, [units.value for units in Units]) from None


def to_kelvin(pixels: np.ndarray, units: Units | str) -> np.ndarray:
    """Convert thermal pixels in ``units`` to kelvin, float32 of the same shape.

    Raises:
        CrossbandError: when the units are counts, which have no temperature, or unknown.

    Example:
        >>> to_kelvin(np.array([[29315]], np.uint16), "centikelvin")
        array([[293.15]], dtype=float32)
    """
    match parse_units(units):
        case Units.KELVIN:
            return pixels.astype(np.float32)
        case Units.CENTIKELVIN:  # in double precision, which is never there for the whole image
            return np.divide(pixels, 100, out=np.empty(pixels.shape, np.float32), dtype=np.float64)
        case Units.CELSIUS:
            return np.add(pixels, 273.15, out=np.empty(pixels.shape, np.float32), dtype=np.float64)
        case _:
            raise CrossbandError(
                "thermal pixels in counts have no temperature; give their units (centikelvin, "
                "kelvin or celsius), here or in the manifest's column tir_units",
                parameter="units",
            )


@dataclass(frozen=True)
class Normalization:
    """A named map from pixels to [0, 1]; see the module's table.

    Attributes:
        name: ``percentile``, ``kelvin``, ``repeat8`` or ``range``.
        low: lower percentile in percent, or temperature in kelvin.
        high: upper percentile in percent, or temperature in kelvin.
    """

    name: str
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Normalization:
        """Read ``NAME`` or ``NAME:LOW:HIGH``.

        Raises:
            CrossbandError: for an unknown name or limits that are not ``low < high``.

        Example:
            >>> Normalization.parse("kelvin:263:313")
            Normalization(name='kelvin', low=263.0, high=313.0)
            >>> str(Normalization.parse("percentile"))
            'percentile:1:99'
        """
        name, *limits = text.split(":")
        defaults = {"percentile": (1.0, 99.0), "kelvin": (253.15, 323.15)}
        if name in ("repeat8", "range") and not limits:
            return cls(name)
        if name not in defaults:
            raise unknown_name("normalization", text, [*defaults, "repeat8", "range"])
        try:
            low, high = map(float, limits) if limits else defaults[name]
        except ValueError:
            low = high = 0.0
        if not -math.inf < low < high < math.inf or (name == "percentile" and not (low >= 0 and high <= 100)):
            raise CrossbandError(f"normalization {text!r} needs two limits, as in {name}:LOW:HIGH, low < high")
        return cls(name, low, high)

    def __str__(self) -> str:
        return f"{self.name}:{self.low:.12g}:{self.high:.12g}" if self.low < self.high else self.name

    def __call__(self, pixels: np.ndarray, units: Units | str = Units.COUNTS) -> np.ndarray:
        """Map pixels of any shape and type to float32 in [0, 1].

        A constant image has no contrast to stretch and becomes zeros under ``percentile``. Pixels that are
        no number (nodata) become 0, and have no part in the percentiles.

        Raises:
            CrossbandError: ``kelvin`` on counts, ``repeat8`` on anything but 8-bit pixels,
                ``range`` on pixels that are not unsigned integers.

        Example:
            >>> Normalization.parse("repeat8")(np.array([0, 51, 255], np.uint8)).round(2)
            array([0. , 0.2, 1. ], dtype=float32)
        """
        return self.fitted(pixels)(pixels, units)

    def fitted(self, pixels: np.ndarray) -> Callable[[np.ndarray, Units | str], np.ndarray]:
        """Return the normalization of one image, to be applied to any part of it.

        Example:
            >>> image = np.arange(101, dtype=np.uint16)
            >>> Normalization.parse("percentile:0:100").fitted(image)(image[50:51], "counts")
            array([0.5], dtype=float32)
        """
        if self.name != "percentile":
            return self._fixed
        low, high = _percentiles(pixels, self.low, self.high)
        return lambda part, units: _stretch(part, low, high)

    def _fixed(self, pixels: np.ndarray, units: Units | str) -> np.ndarray:
        if self.name == "kelvin":
            return _stretch_in_place(to_kelvin(pixels, units), self.low, self.high)
        if self.name == "repeat8" and pixels.dtype != np.uint8:
            raise CrossbandError(
                f"normalization repeat8 needs 8-bit pixels, not {pixels.dtype}; use percentile or kelvin"
            )
        return _full_range(pixels)


def default_normalization(band: Band) -> Normalization:
    """Return ``percentile:1:99`` for ``tir``, ``range`` for the others."""
    return Normalization.parse("percentile" if band is Band.TIR else "range")


def _stretch(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    if not high > low:
        return np.zeros(pixels.shape, np.float32)
    if pixels.dtype in (np.uint8, np.uint16):  # a table is one lookup per pixel, and exact
        table = (np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float64) - low) / (high - low)
        return table.clip(0, 1).astype(np.float32).take(pixels, mode="wrap")  # which checks no index
    return _stretch_in_place(pixels.astype(np.float32), low, high)


def _stretch_in_place(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    pixels -= low
    pixels /= high - low
    np.clip(pixels, 0, 1, out=pixels)
    return np.nan_to_num(pixels, copy=False, nan=0.0)


def _percentiles(pixels: np.ndarray, low: float, high: float) -> tuple[float, float]:
    if pixels.dtype not in (np.uint8, np.uint16):
        finite = pixels[np.isfinite(pixels)]
        if not finite.size:
            return 0.0, 0.0
        # a copy already, so it may be reordered
        lower, upper = (np.percentile(finite, q, overwrite_input=True) for q in (low, high))
        return float(lower), float(upper)
    # integers: the sorted order is a cumulative histogram, which is far cheaper than sorting
    below = np.cumsum(_histogram(pixels))
    index = np.array([low, high]) / 100 * (below[-1] - 1)
    floor = np.searchsorted(below, np.floor(index), side="right")
    ceil = np.searchsorted(below, np.ceil(index), side="right")
    values = floor + (ceil - floor) * (index - np.floor(index))
    return float(values[0]), float(values[1])


def _histogram(pixels: np.ndarray) -> np.ndarray:
    """How often each value of an integer type occurs; numpy widens what it counts to 64 bits, so a part at
    a time."""
    if pixels.dtype == np.uint8 and pixels.ndim == 2:  # Pillow counts bytes as they are
        import PIL.Image

        return np.array(PIL.Image.fromarray(pixels).histogram(), np.int64)
    flat = pixels.reshape(-1)
    counts = np.zeros(np.iinfo(pixels.dtype).max + 1, np.int64)
    for start in range(0, flat.size, _BLOCK):
        part = np.bincount(flat[start : start + _BLOCK])
        counts[: len(part)] += part
    return counts


def _full_range(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind != "u":
        raise CrossbandError(f"normalization range needs unsigned integers, not {pixels.dtype}; use percentile")
    scaled = pixels.astype(np.float32)
    scaled /= np.float32(np.iinfo(pixels.dtype).max)
    return scaled
