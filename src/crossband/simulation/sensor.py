"""From radiance to pixels: exposure, blur, noise, and the gain control of a thermal camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .radiometry import brightness_temperature

__all__ = [
    "PHOTO_GAIN",
    "VIDEO_GAIN",
    "ThermalSensor",
    "agc",
    "blur",
    "centikelvin",
    "expose",
    "expose_nir",
    "thermal_camera",
]

PHOTO_GAIN = 9000.0
"""Largest gain of a camera that may expose for long."""

VIDEO_GAIN = 2000.0
"""Largest gain of a video camera in a moving car, which may not; nights are about as dark as MFNet's then."""

_LARGEST_NIR_GAIN = 5000.0


@dataclass(frozen=True)
class ThermalSensor:
    """An uncooled microbolometer camera.

    Attributes:
        netd: noise-equivalent temperature difference, kelvin (0.05 at f/1 is typical; Vollmer and
            Moellmann, Infrared Thermal Imaging (2018), section 2.5).
        fixed_pattern: kelvin left of pixel-to-pixel offsets after the shutter, ibid.
        columns: kelvin left of offsets between columns.
        blur: standard deviation of the optics, pixels.
    """

    netd: float = 0.06
    fixed_pattern: float = 0.06
    columns: float = 0.05
    blur: float = 0.65


def blur(image: np.ndarray, deviation: float) -> np.ndarray:
    """Blur ``(H, W)`` or ``(H, W, C)`` by a Gaussian with mirrored edges.

    Deviation in pixels; float32.
    """
    if deviation <= 0:
        return image.astype(np.float32)
    reach = max(1, int(np.ceil(2.5 * deviation)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    out = image.astype(np.float32)
    for axis in (0, 1):
        pad = [(0, 0)] * out.ndim
        pad[axis] = (reach, reach)
        padded = np.pad(out, pad, mode="symmetric")
        length = out.shape[axis]
        out = sum(
            weight * np.take(padded, np.arange(i, i + length), axis=axis) for i, weight in enumerate(kernel)
        )
    return out


def expose(
    radiance: np.ndarray, rng: np.random.Generator, *, largest: float = PHOTO_GAIN, glare: float = 0.015
) -> np.ndarray:
    """Expose as a color camera does: ``(H, W, 3)`` radiance to uint8 sRGB.

    The gain is limited, so that a night without lamps stays dark; noise grows with the gain. Light beyond
    the brightest pixel spreads as glare.

    Args:
        radiance: float32, units of :mod:`~crossband.simulation.sky`.
        rng: of the noise.
        largest: gain, :data:`PHOTO_GAIN` or :data:`VIDEO_GAIN`.
        glare: share of the light that the lens scatters.
    """
    luminance = radiance @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    gain = _gain(luminance, 0.17, largest)
    signal = blur(radiance * np.float32(gain), 0.42)
    signal = _bloom(signal, glare)
    signal = _noisy(signal, rng, gain)
    shoulder = signal * (1 + signal / 6.25) / (1 + signal * 0.62)  # highlights roll off
    return (_srgb(np.clip(shoulder * 1.12, 0, 1)) * 255 + 0.5).astype(np.uint8)


def expose_nir(radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expose as a near-infrared camera does: ``(H, W)`` radiance to uint8."""
    gain = _gain(radiance, 0.20, _LARGEST_NIR_GAIN)
    signal = _noisy(_bloom(blur(radiance * np.float32(gain), 0.55), 0.01), rng, gain)
    shoulder = signal * (1 + signal / 6.25) / (1 + signal * 0.62)
    return (_srgb(np.clip(shoulder * 1.1, 0, 1)) * 255 + 0.5).astype(np.uint8)


def thermal_camera(
    radiance: np.ndarray, rng: np.random.Generator, sensor: ThermalSensor, unit: int = 0
) -> np.ndarray:
    """Return brightness temperatures in kelvin as a camera reports them, ``(H, W)`` float32.

    Args:
        radiance: ``(H, W)`` in 8-14 um, W m-2 sr-1.
        rng: of the noise that changes from frame to frame.
        sensor: the camera.
        unit: which camera: one unit always has the same fixed pattern.
    """
    height, width = radiance.shape
    kelvin = brightness_temperature(blur(radiance, sensor.blur))
    own = np.random.default_rng([unit, height, width, 99])
    pattern = own.normal(0, sensor.fixed_pattern, (height, width)) + own.normal(0, sensor.columns, width)
    return (kelvin + pattern + rng.normal(0, sensor.netd, (height, width))).astype(np.float32)


def centikelvin(kelvin: np.ndarray) -> np.ndarray:
    """Convert kelvin to uint16 centikelvin, as radiometric cameras write them.

    Example:
        >>> centikelvin(np.array([293.15]))
        array([29315], dtype=uint16)
    """
    return np.clip(np.rint(kelvin.astype(np.float64) * 100), 0, 65535).astype(np.uint16)


def agc(kelvin: np.ndarray, plateau: float = 0.012, linear: float = 0.5) -> np.ndarray:
    """Apply automatic gain control to uint8: plateau equalization mixed with a linear stretch.

    Source: Vickers, "Plateau equalization algorithm for real-time display of high-quality infrared
    imagery", Optical Engineering 35 (1996).

    Args:
        kelvin: ``(H, W)``.
        plateau: largest share of the pixels that one of 256 levels may claim.
        linear: share of the linear stretch in the result.
    """
    low, high = np.percentile(kelvin, (0.5, 99.7))
    span = max(high - low, 2.0)  # a scene without contrast is not stretched to its noise
    middle = (high + low) / 2
    scaled = np.clip((kelvin - middle) / span + 0.5, 0, 1)
    counts, edges = np.histogram(scaled, 256, (0, 1))
    clipped = np.minimum(counts, plateau * scaled.size)
    curve = np.concatenate([[0], np.cumsum(clipped)]) / max(clipped.sum(), 1)
    equalized = np.interp(scaled, edges, curve)
    return (255 * (linear * scaled + (1 - linear) * equalized) + 0.5).astype(np.uint8)


def _gain(luminance: np.ndarray, target: float, largest: float) -> float:
    low, high = np.percentile(luminance, (4, 96))
    level = float(np.clip(luminance, low, high).mean())
    return min(target / max(level, 1e-12), largest)


def _bloom(signal: np.ndarray, share: float) -> np.ndarray:
    """Scatter of bright light over the image, wide; computed on a quarter of the pixels a side."""
    excess = np.clip(signal - 1.2, 0, 60)
    if share <= 0 or not np.any(excess > 0):
        return signal
    height, width = signal.shape[0] // 4 * 4, signal.shape[1] // 4 * 4
    small = excess[:height, :width].reshape(height // 4, 4, width // 4, 4, -1).mean(axis=(1, 3))
    wide = blur(small, 1.2) * 2 + blur(small, 4.0) * 2
    large = np.repeat(np.repeat(wide, 4, axis=0), 4, axis=1)
    large = np.pad(large, ((0, signal.shape[0] - height), (0, signal.shape[1] - width), (0, 0)), mode="edge")
    return signal + share * 4 * blur(large, 2.0).reshape(signal.shape)


def _noisy(signal: np.ndarray, rng: np.random.Generator, gain: float) -> np.ndarray:
    """Shot and read noise; both grow with the gain beyond that of daylight."""
    weight = 1 + max(0.0, np.log10(max(gain, 1) / 6)) * 1.6
    deviation = weight * np.sqrt(np.maximum(signal, 0) * 4e-5 + 2e-6)
    return np.maximum(signal + rng.standard_normal(signal.shape, np.float32) * deviation, 0)


def _srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
