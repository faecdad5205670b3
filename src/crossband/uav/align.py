"""The map's labelling laid onto the thermal image by dense optical flow.

The paper (ISPRS Archives XLIV-2/W1-2021, section 3.1) aligns by "a differential optical flow estimation
approach"; here it is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016),
which needs two pictures of one kind. So the labelling is painted: each class by the median temperature that the
image has where the labelling says that class. Flow that leads nowhere better is not followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError
from .classes import GROUND, UNKNOWN
from .projection import sample

__all__ = ["Alignment", "align_labels", "flow_error", "painted", "read_flow"]

_SMOOTH = 5.0  # pixels; buildings move as a whole, noise does not


@dataclass(frozen=True)
class Alignment:
    """What alignment came to.

    Attributes:
        labels: uint8 ``(H, W)``, the labelling where the image shows it.
        flow: float32 ``(H, W, 2)``: from each pixel of the labelling as it was to its place in the image,
            columns and rows.
    """

    labels: np.ndarray
    flow: np.ndarray


def align_labels(labels: np.ndarray, thermal: np.ndarray, most: float = 24.0) -> Alignment:
    """Align a labelling with a thermal image of the same size.

    Args:
        labels: uint8 ``(H, W)``, an index of ``GROUND`` or ``UNKNOWN``.
        thermal: ``(H, W)``, temperatures or any monotone measure of them.
        most: pixels that anything can have moved.

    Raises:
        CrossbandError: other sizes.
    """
    import cv2

    if labels.shape != thermal.shape:
        raise CrossbandError(f"a labelling of {labels.shape} is not aligned with an image of {thermal.shape}")
    still = np.zeros((*labels.shape, 2), np.float32)
    picture = painted(labels, thermal)
    if picture is None:
        return Alignment(labels, still)
    low, high = np.percentile(thermal, (1, 99))
    grey = [
        _grey(image, float(low), float(high))
        for image in (picture, cv2.medianBlur(thermal.astype(np.float32), 5))
    ]
    finder = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined]
        cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    )
    forward = finder.calc(grey[0], grey[1], None)
    backward = finder.calc(grey[1], grey[0], None)
    forward, backward = (
        cv2.GaussianBlur(flow, (0, 0), _SMOOTH).clip(-most, most) for flow in (forward, backward)
    )
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    moved = sample(labels, columns + backward[..., 0], rows + backward[..., 1], UNKNOWN)
    moved = np.where(moved == UNKNOWN, labels, moved)
    if _spread(moved, thermal) > _spread(labels, thermal):  # classes are less alike inside than before
        return Alignment(labels, still)
    return Alignment(moved, forward.astype(np.float32))


def painted(labels: np.ndarray, thermal: np.ndarray) -> np.ndarray | None:
    """Each class in the median temperature that the image has there, float32 ``(H, W)``; unknown pixels are the
    image itself. ``None`` where fewer than two classes are known.

    Example:
        >>> painted(np.array([[0, 0, 1]], np.uint8), np.array([[280.0, 282.0, 300.0]])).tolist()
        [[281.0, 281.0, 300.0]]
    """
    out = thermal.astype(np.float32).copy()
    present = [number for number in range(len(GROUND)) if (labels == number).any()]
    if len(present) < 2:
        return None
    for number in present:
        mask = labels == number
        out[mask] = np.median(thermal[mask])
    return out


def _grey(image: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def _spread(labels: np.ndarray, thermal: np.ndarray) -> float:
    """Mean absolute deviation from the median of each class."""
    total = count = 0.0
    for number in range(len(GROUND)):
        values = thermal[labels == number]
        if len(values):
            total += float(np.abs(values - np.median(values)).sum())
            count += len(values)
    return total / max(count, 1)


def read_flow(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The city's flow, as KITTI writes it: float32 ``(H, W, 2)`` columns and rows, and where it is known.

    Example:
        >>> flow, known = read_flow(np.array([[[32768 + 64, 32768 - 128, 1]]], np.uint16))
        >>> flow.tolist(), known.tolist()
        ([[[1.0, -2.0]]], [[True]])
    """
    return ((pixels[..., :2].astype(np.float32) - 32768) / 64), pixels[..., 2] > 0


def flow_error(flow: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Mean end-point error where the truth is known, pixels.

    Example:
        >>> flow_error(np.zeros((1, 1, 2)), np.array([[[3.0, 4.0]]]), np.array([[True]]))
        5.0
    """
    return float(np.hypot(*np.moveaxis(flow - truth, -1, 0))[known].mean())
