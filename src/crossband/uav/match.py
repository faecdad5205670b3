"""Which object of the flight is the one of the photograph: equation (1) of the paper.

"Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks" (ISPRS Archives
XLIV-2/W1-2021), section 3.4: ``d = beta * d_H + (1 - beta) * d_MSER``, a Bhattacharyya distance of temperature
histograms and a distance of MSER signatures. What the paper leaves open:

- **Histogram.** One bin per kelvin from 40 K below to 60 K above the flight's ambient temperature, which ends
  take up what lies beyond; smoothed by a Gaussian of 1 K, so that neighboring bins know of each other.
- **Bhattacharyya distance.** ``sqrt(1 - sum(sqrt(p * q)))`` of histograms that sum to one, in [0, 1]; OpenCV's
  ``HISTCMP_BHATTACHARYYA`` is the same.
- **MSER signature.** Matas et al., BMVC 2002: regions of the crop enlarged to 96 pixels, each with its mean
  temperature, its distance from the middle of the object and its share of the object's area. Signatures are
  compared as Cheng et al., BMVC 2011, compare blobs: each region with its best partner, ``gamma`` times the
  difference of place and ``1 - gamma`` times that of temperature (gamma 0.4, as in SDALF), weighted by area,
  both ways.

Regions are found on 8 bits, which MSER needs; every temperature is taken from the kelvin of the image itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError

__all__ = [
    "Signature",
    "bhattacharyya",
    "calibrate_beta",
    "calibrate_threshold",
    "combined",
    "mser_distance",
    "object_crop",
    "pair_distances",
    "signature",
    "temperature_histogram",
]

BELOW, ABOVE, KELVIN_A_BIN = 40.0, 60.0, 1.0
GAMMA = 0.4
_SIDE = 96  # pixels that the longer side of a crop is enlarged to before regions are looked for
_KELVIN_SCALE = 15.0  # a difference of temperature that counts as a whole


@dataclass(frozen=True)
class Signature:
    """What an object is compared by.

    Attributes:
        histogram: float64 ``(bins,)``, sums to one.
        regions: float64 ``(n, 3)``: temperature relative to ambient (kelvin), distance from the middle (0 to
            1), share of the area; at least one.
    """

    histogram: np.ndarray
    regions: np.ndarray


def signature(kelvin: np.ndarray, ambient: float) -> Signature:
    """Compute the signature of an object.

    Args:
        kelvin: temperatures of its crop, ``(h, w)``.
        ambient: of its flight, kelvin.

    Raises:
        CrossbandError: an empty crop, or none of its temperatures is a number.
    """
    if kelvin.ndim != 2 or not kelvin.size or not np.isfinite(kelvin).any():
        raise CrossbandError(f"an object of {kelvin.shape} pixels without temperatures cannot be matched")
    relative = np.asarray(kelvin, np.float64) - ambient
    relative = np.where(np.isfinite(relative), relative, np.nanmedian(relative))
    return Signature(temperature_histogram(relative), _regions(relative))


def temperature_histogram(relative: np.ndarray) -> np.ndarray:
    """Compute the histogram of temperatures relative to ambient, float64 ``(100,)``.

    Example:
        >>> histogram = temperature_histogram(np.array([[0.5, 0.5], [10.5, 10.5]]))
        >>> round(float(histogram.sum()), 6), int(histogram.argmax())
        (1.0, 40)
    """
    bins = round((BELOW + ABOVE) / KELVIN_A_BIN)
    number = np.floor((np.asarray(relative, np.float64).ravel() + BELOW) / KELVIN_A_BIN).clip(0, bins - 1)
    counts = np.bincount(number.astype(np.int64), minlength=bins).astype(np.float64)
    reach = np.arange(-3, 4)
    kernel = np.exp(-(reach**2) / 2)
    smooth = np.convolve(np.pad(counts, 3, mode="reflect"), kernel / kernel.sum(), mode="valid")
    return smooth / smooth.sum()


def bhattacharyya(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Compute ``sqrt(1 - sum(sqrt(p * q)))`` over the last axis, in [0, 1], of histograms that sum to one.

    Example:
        >>> float(bhattacharyya(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
        1.0
    """
    return np.sqrt(np.clip(1 - np.sqrt(np.asarray(p) * np.asarray(q)).sum(-1), 0, 1))


def mser_distance(a: np.ndarray, b: np.ndarray, gamma: float = GAMMA) -> float:
    """Compute how much two signatures' regions differ, 0 to 1; symmetric.

    Args:
        a: regions ``(n, 3)``: temperature, distance from the middle, area.
        b: regions ``(m, 3)``.
        gamma: weight of place; that of temperature is the rest.

    Example:
        >>> one, other = np.array([[0.0, 0.2, 0.5]]), np.array([[15.0, 0.7, 0.5]])
        >>> round(mser_distance(one, other), 6)
        0.8
    """
    heat = np.minimum(np.abs(a[:, None, 0] - b[None, :, 0]) / _KELVIN_SCALE, 1)
    place = np.minimum(np.abs(a[:, None, 1] - b[None, :, 1]), 1)
    cost = gamma * place + (1 - gamma) * heat
    there = np.average(cost.min(1), weights=a[:, 2])
    back = np.average(cost.min(0), weights=b[:, 2])
    return float(there + back) / 2


def _regions(relative: np.ndarray) -> np.ndarray:
    """Maximally stable regions, or the whole object where there is none, largest first and 12 at most."""
    import cv2

    height, width = relative.shape
    scale = _SIDE / max(height, width)
    size = max(round(width * scale), 8), max(round(height * scale), 8)
    large = cv2.resize(relative.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    low, high = float(large.min()), float(large.max())
    area = large.size
    whole = np.array([[float(large.mean()), 0.0, 1.0]])
    if high - low < 0.5:  # half a kelvin: nothing but noise
        return whole
    gray = np.rint((large - low) / (high - low) * 255).astype(np.uint8)
    finder = cv2.MSER_create(  # type: ignore[attr-defined]
        8, max(area // 100, 8), max(int(area * 0.6), 16), 0.5
    )
    middle = np.array([size[0] / 2, size[1] / 2])
    reach = float(np.hypot(*middle))
    rows = []
    for points in finder.detectRegions(gray)[0]:
        x, y = points[:, 0], points[:, 1]
        off = float(np.hypot(x.mean() + 0.5 - middle[0], y.mean() + 0.5 - middle[1])) / reach
        rows.append([float(large[y, x].mean()), off, len(points) / area])
    if not rows:
        return whole
    found = np.array(rows)
    return found[np.argsort(-found[:, 2], kind="stable")][:12]


def pair_distances(queries: Sequence[Signature], gallery: Sequence[Signature]) -> tuple[np.ndarray, np.ndarray]:
    """Compute both parts of equation (1) for all pairs.

    Bhattacharyya and MSER distances, ``(n, m)`` float64 each.
    """
    heat = bhattacharyya(
        np.stack([q.histogram for q in queries])[:, None], np.stack([g.histogram for g in gallery])[None]
    )
    regions = np.array([[mser_distance(q.regions, g.regions) for g in gallery] for q in queries])
    return heat, regions


def combined(histograms: np.ndarray, regions: np.ndarray, beta: float) -> np.ndarray:
    """Compute equation (1).

    Raises:
        CrossbandError: beta is not in [0, 1].
    """
    if not 0 <= beta <= 1:
        raise CrossbandError(f"beta must be from 0 to 1, not {beta:g}")
    return beta * histograms + (1 - beta) * regions


def calibrate_beta(score: Sequence[float], betas: Sequence[float]) -> float:
    """Choose the beta with the best score on val.

    Of equal ones, the one nearest to the middle of the range.

    Example:
        >>> calibrate_beta([10.0, 30.0, 30.0], [0.0, 0.5, 1.0])
        0.5
    """
    best = max(score)
    return min((beta for beta, s in zip(betas, score, strict=True) if s == best), key=lambda b: abs(b - 0.5))


def calibrate_threshold(present: np.ndarray, absent: np.ndarray) -> tuple[float, float]:
    """Choose the distance above which an object is absent, and its balanced accuracy on val, percent.

    Args:
        present: the smallest distance of each probe whose object is in the flight.
        absent: likewise where it is not.

    Returns:
        the threshold, halfway between two distances that were seen, where the mean of both shares of right
        answers is largest.

    Raises:
        CrossbandError: there is none of either kind.

    Example:
        >>> calibrate_threshold(np.array([0.1, 0.2]), np.array([0.6, 0.8]))
        (0.4, 100.0)
    """
    if not len(present) or not len(absent):
        raise CrossbandError("calibrating a threshold needs probes with and without a match")
    values = np.unique(np.concatenate([present, absent]))
    cuts = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    right = [(np.mean(present <= cut) + np.mean(absent > cut)) / 2 for cut in cuts]
    best = int(np.argmax(right))
    return float(cuts[best]), 100 * float(right[best])


def object_crop(kelvin: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Crop a box (left, top, right, bottom), at least one pixel.

    Example:
        >>> object_crop(np.arange(12).reshape(3, 4), (1.2, 0.0, 3.0, 2.0)).tolist()
        [[1, 2], [5, 6]]
    """
    height, width = kelvin.shape
    left, top = int(min(max(box[0], 0), width - 1)), int(min(max(box[1], 0), height - 1))
    right = max(min(int(np.ceil(box[2] - 1e-6)), width), left + 1)
    bottom = max(min(int(np.ceil(box[3] - 1e-6)), height), top + 1)
    return kelvin[top:bottom, left:right]
