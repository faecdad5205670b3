"""The map's labeling laid onto the thermal image.

The paper (ISPRS Archives XLIV-2/W1-2021, section 3.1) aligns by "a differential optical flow estimation
approach". Here the flow is the affine motion that lays the borders of classes onto edges of the image
(Evangelidis and Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization",
PAMI 2008; OpenCV's). Dense flow by OpenCV's DIS, between the labeling painted in temperatures and the
image, follows shadows as if they were borders: against the city's true flow it was worse than none
(docs/decisions.md). Motion that is unsure is not followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CrossbandError
from .ground_classes import UNKNOWN
from .projection import sample

__all__ = ["Alignment", "align_labels", "flow_error", "read_flow"]

_SURE = 0.4  # correlation of borders and edges from which an affine motion is believed
_GAIN = 0.02  # by which it has to be better than no motion
_STOP = (3, 80, 1e-5)  # OpenCV's: after 80 rounds, or when the correlation gains less


@dataclass(frozen=True)
class Alignment:
    """What alignment came to.

    Attributes:
        labels: uint8 ``(H, W)``, the labeling where the image shows it.
        flow: float32 ``(H, W, 2)``: from each pixel of the labeling as it was to its place in the image,
            columns and rows.
    """

    labels: np.ndarray
    flow: np.ndarray


def align_labels(labels: np.ndarray, thermal: np.ndarray, most: float = 24.0) -> Alignment:
    """Align a labeling with a thermal image of the same size.

    Args:
        labels: uint8 ``(H, W)``, an index of ``GROUND`` or ``UNKNOWN``.
        thermal: ``(H, W)``, temperatures or any monotone measure of them.
        most: pixels that anything can have moved.

    Raises:
        CrossbandError: other sizes.
    """
    if labels.shape != thermal.shape:
        raise CrossbandError(f"shape mismatch: labels {labels.shape} and image {thermal.shape} are not aligned")
    flow = _affine_flow(labels, thermal, most)
    return Alignment(_warped(labels, flow), flow)


def _affine_flow(labels: np.ndarray, thermal: np.ndarray, most: float) -> np.ndarray:
    """The affine motion that lays borders of classes onto edges of the image; none where it is unsure."""
    import cv2

    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]].astype(np.float32)
    still = np.zeros((*labels.shape, 2), np.float32)
    matrix, sure = np.array([[1, 0, 0], [0, 1, 0]], np.float32), 0.0
    try:
        for blur in (4.0, 2.0):
            ours, theirs = (cv2.GaussianBlur(x, (0, 0), blur) for x in (_borders(labels), _edges(thermal)))
            found: Any = cv2.findTransformECC(ours, theirs, matrix, cv2.MOTION_AFFINE, _STOP, None, 5)
            sure, matrix = float(found[0]), found[1]
    except cv2.error:  # it does not converge: the two have nothing in common
        return still
    flow = np.stack([columns, rows], -1) @ matrix[:, :2].T + matrix[:, 2] - np.stack([columns, rows], -1)
    better = sure >= max(_SURE, float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) + _GAIN)
    return flow.astype(np.float32) if better and np.abs(flow).max() <= most else still


def _warped(labels: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A labeling moved by a smooth flow; where nothing comes from, it stays as it was."""
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    source = flow
    for _ in range(3):  # the inverse of a smooth flow, by fixed point
        x, y = (columns - source[..., 0], rows - source[..., 1])
        inside = np.clip(y, 0, len(labels) - 1).astype(int), np.clip(x, 0, labels.shape[1] - 1).astype(int)
        source = flow[inside]
    moved = sample(labels, columns - source[..., 0], rows - source[..., 1], UNKNOWN)
    return np.where(moved == UNKNOWN, labels, moved)


def _borders(labels: np.ndarray) -> np.ndarray:
    """1 where two classes meet."""
    found = np.zeros(labels.shape, np.float32)
    found[:, 1:] += labels[:, 1:] != labels[:, :-1]
    found[1:] += labels[1:] != labels[:-1]
    return found.clip(0, 1)


def _edges(thermal: np.ndarray) -> np.ndarray:
    """Steepness of the image, 0 to 1."""
    import cv2

    smooth = cv2.GaussianBlur(thermal.astype(np.float32), (0, 0), 1)
    steep = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return np.minimum(steep / max(float(np.percentile(steep, 95)), 1e-6), 1).astype(np.float32)


def read_flow(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the city's flow, as KITTI writes it.

    Float32 ``(H, W, 2)`` columns and rows, and where it is known.

    Example:
        >>> flow, known = read_flow(np.array([[[32768 + 64, 32768 - 128, 1]]], np.uint16))
        >>> flow.tolist(), known.tolist()
        ([[[1.0, -2.0]]], [[True]])
    """
    return ((pixels[..., :2].astype(np.float32) - 32768) / 64), pixels[..., 2] > 0


def flow_error(flow: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Compute the mean end-point error where the truth is known, pixels.

    Example:
        >>> flow_error(np.zeros((1, 1, 2)), np.array([[[3.0, 4.0]]]), np.array([[True]]))
        5.0
    """
    return float(np.hypot(*np.moveaxis(flow - truth, -1, 0))[known].mean())
