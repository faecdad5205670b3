"""The map's labeling laid onto the thermal image.

The paper (ISPRS Archives XLIV-2/W1-2021, section 3.1) aligns by "a differential optical flow estimation
approach". Here the flow is the shift, turn and scale under which the labeling agrees with that of the image,
and borders of classes with edges: Gauss and Newton's steps with weights against outliers, from coarse to fine
(Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004). A camera that looks straight down from a place, a
heading and a height that are a little wrong sees exactly that; six numbers are no better, and dense flow
follows shadows as if they were borders (docs/decisions.md). Motion that is unsure is not followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import CrossbandError
from .ground_classes import GROUND, UNKNOWN
from .projection import sample

__all__ = ["Alignment", "align_labels", "flow_error", "read_flow"]

_BLURS = (8.0, 4.0, 2.0, 1.0)  # pixels, from coarse to fine
_ROUNDS = 12  # steps at each, at most
_STILL = 1e-5  # of the width: a step below it is the last
_OUTLIER = 0.3  # of a class: a difference from which a pixel counts for less
_EDGES = 0.1  # what borders and edges count, where a class counts 1
_PRIOR = (0.1, 0.1, 0.3, 0.3)  # how little is expected to have grown, turned and moved
_GAIN = 0.01  # by how much a motion has to agree better than none
_SURE = 0.4  # correlation of borders and edges that a motion has to reach where nothing else is known


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


def align_labels(
    labels: np.ndarray, thermal: np.ndarray, seen: np.ndarray | None = None, most: float = 24.0
) -> Alignment:
    """Align a labeling with a thermal image of the same size.

    Args:
        labels: uint8 ``(H, W)``, an index of ``GROUND`` or ``UNKNOWN``.
        thermal: ``(H, W)``, temperatures or any monotone measure of them.
        seen: the image's own labeling, an index of ``LABELS`` or ``UNKNOWN``; without it, edges alone are
            followed.
        most: pixels that anything can have moved.

    Raises:
        CrossbandError: other sizes.
    """
    for other in (thermal, *(() if seen is None else (seen,))):
        if labels.shape != other.shape:
            raise CrossbandError(
                f"shape mismatch: labels {labels.shape} and image {other.shape} are not aligned"
            )
    flow = _similarity_flow(labels, thermal, seen, most)
    return Alignment(_warped(labels, flow), flow)


class _Layer(NamedTuple):
    """What is to agree: two images, what their pixels count, and the difference of an outlier."""

    ours: np.ndarray
    theirs: np.ndarray
    sure: np.ndarray
    theirs_sure: np.ndarray
    outlier: float


def _similarity_flow(
    labels: np.ndarray, thermal: np.ndarray, seen: np.ndarray | None, most: float
) -> np.ndarray:
    """The shift, turn and scale that lay a labeling onto an image; none where that is unsure."""
    x, y = _centered(labels.shape)
    motion = np.zeros(4)
    for blur in _BLURS:
        layers = _layers(labels, thermal, seen, blur)
        slopes = [_slopes(layer.theirs) for layer in layers]
        for _ in range(_ROUNDS):
            step = _step(motion, layers, slopes, x, y)
            motion += step
            if np.abs(step).max() < _STILL:
                break
    u, v = _moved(motion, x, y)
    flow = (np.stack([u - x, v - y], -1) * labels.shape[1]).astype(np.float32)
    if np.abs(flow).max() > most:
        return np.zeros_like(flow)
    agreed = _agreement(labels, thermal, seen, u, v)
    better = agreed >= _agreement(labels, thermal, seen, x, y) + _GAIN
    return flow if better and (seen is not None or agreed >= _SURE) else np.zeros_like(flow)


def _agreement(
    labels: np.ndarray, thermal: np.ndarray, seen: np.ndarray | None, u: np.ndarray, v: np.ndarray
) -> float:
    """Correlation of borders with edges, or the share of pixels whose two labels are one, after a motion."""
    if seen is None:
        ours, theirs = (_blurred(image, _BLURS[-2]) for image in (_borders(labels), _edges(thermal)))
        return float((_standardized(ours) * _standardized(_sampled(theirs, u, v))).mean())
    same = [_sampled(_blurred(seen == kind, _BLURS[-1]), u, v) for kind in range(len(GROUND))]
    known = labels < len(GROUND)
    return float(np.stack(same)[labels[known], known].mean()) if known.any() else 0.0


def _layers(labels: np.ndarray, thermal: np.ndarray, seen: np.ndarray | None, blur: float) -> list[_Layer]:
    """Borders and edges, and each class where the image has been labeled."""
    borders, edges = (_standardized(_blurred(image, blur)) for image in (_borders(labels), _edges(thermal)))
    even = np.full(labels.shape, 1.0 if seen is None else _EDGES, np.float32)
    layers = [_Layer(borders, edges, even, np.ones_like(even), 1.0)]
    if seen is not None:
        known, theirs_known = (_blurred(_known(one), blur) for one in (labels, seen))
        for kind in range(len(GROUND)):
            ours = _blurred(labels == kind, blur) / np.maximum(known, 1e-3)
            theirs = _blurred(seen == kind, blur) / np.maximum(theirs_known, 1e-3)
            layers.append(_Layer(ours, theirs, known * _known(labels), theirs_known, _OUTLIER))
    return layers


def _step(
    motion: np.ndarray,
    layers: list[_Layer],
    slopes: list[tuple[np.ndarray, np.ndarray]],
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    """One step of Gauss and Newton: what to add to scale, turn, and shift right and down, in widths."""
    u, v = _moved(motion, x, y)
    width = x.shape[1]
    inside = (np.abs(u) <= 0.5 - 0.5 / width) & (np.abs(v) <= 0.5 * (x.shape[0] - 1) / width)
    normal, pull = np.diag(np.array(_PRIOR) * x.size), -np.array(_PRIOR) * x.size * motion
    for layer, (right, down) in zip(layers, slopes, strict=True):
        off = layer.ours - _sampled(layer.theirs, u, v)
        weight = layer.sure * _sampled(layer.theirs_sure, u, v) * inside / (1 + (off / layer.outlier) ** 2)
        gx, gy = _sampled(right, u, v), _sampled(down, u, v)
        slope = np.stack([gx * x + gy * y, gy * x - gx * y, gx, gy]).reshape(4, -1)
        normal = normal + (slope * weight.ravel()) @ slope.T
        pull = pull + (slope * weight.ravel()) @ off.ravel()
    return np.linalg.solve(normal, pull)


def _moved(motion: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale, turn, right, down = motion
    return (1 + scale) * x - turn * y + right, turn * x + (1 + scale) * y + down


def _centered(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows from the middle, in widths."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return (columns - (shape[1] - 1) / 2) / shape[1], (rows - (shape[0] - 1) / 2) / shape[1]


def _sampled(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """An image where its pixels have moved, see :func:`_centered`."""
    import cv2

    height, width = image.shape
    columns, rows = u * width + (width - 1) / 2, v * width + (height - 1) / 2
    return cv2.remap(
        image,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _slopes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much an image grows to the right and down, in a width."""
    import cv2

    right, down = (cv2.Sobel(image, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    return right * (image.shape[1] / 8), down * (image.shape[1] / 8)


def _blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), deviation)


def _known(labels: np.ndarray) -> np.ndarray:
    return (labels < len(GROUND)).astype(np.float32)


def _standardized(image: np.ndarray) -> np.ndarray:
    return (image - image.mean()) / max(float(image.std()), 1e-6)


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
    """1 on both sides of where two classes meet."""
    found = np.zeros(labels.shape, np.float32)
    across, along = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    for part, meet in (
        (found[:, 1:], across),
        (found[:, :-1], across),
        (found[1:], along),
        (found[:-1], along),
    ):
        part += meet
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
