"""Positions of a flight's frames together: grid Bayes over what each frame says and how the aircraft moved.

A frame alone is the special case of a sequence of one. The filter runs forward and backward, so that each
position rests on all frames of the sequence, before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ..errors import CrossbandError
from .likelihood import Likelihood
from .projection import Pose

__all__ = ["Estimate", "Motion", "ground_motion", "locate_sequence"]

_NEVER = 1e-4  # share of the belief that is spread evenly: a motion or a likelihood may be wrong
_COMMON = 1.0  # meters that all frames are wrong by together: houses lean, a map is drawn in pixels
_PATCH = 128  # cells on a side of the ground by which two frames are registered


@dataclass(frozen=True)
class Motion:
    """How far the camera moved from one frame to the next.

    Attributes:
        east, north: meters.
        deviation: standard deviation of each, meters.
    """

    east: float
    north: float
    deviation: float


@dataclass(frozen=True)
class Estimate:
    """Where a frame was taken.

    Attributes:
        x, y: meters on the map; the mean of the belief about its best place.
        covariance: ``(2, 2)`` square meters, of the whole belief about that position.
        confidence: share of the belief within 10 m, 0 to 1.
    """

    x: float
    y: float
    covariance: np.ndarray
    confidence: float


def locate_sequence(likelihoods: Sequence[Likelihood], motions: Sequence[Motion]) -> list[Estimate]:
    """Estimate the position of each frame from all frames of a sequence.

    Args:
        likelihoods: of each frame, on grids of one step; see :func:`crossband.uav.likelihood.agreement`.
        motions: from each frame to the next, one fewer.

    Raises:
        CrossbandError: no frame, another number of motions, grids of unlike steps, or a frame that is possible
            nowhere.

    Example:
        >>> flat, peak = np.zeros((9, 9)), np.full((9, 9), -50.0)
        >>> peak[2, 3] = 0
        >>> seen = [Likelihood(0, 0, 1.0, peak), Likelihood(0, 0, 1.0, flat)]
        >>> last = locate_sequence(seen, [Motion(2.0, 1.0, 0.5)])[-1]
        >>> round(last.x, 1), round(last.y, 1)
        (5.0, 3.0)
    """
    if not likelihoods or len(motions) != len(likelihoods) - 1:
        raise CrossbandError(
            f"{len(likelihoods)} frames have one motion fewer between them, not {len(motions)}"
        )
    if len({one.step for one in likelihoods}) > 1:
        raise CrossbandError("the frames of a sequence are searched on grids of one step")
    seen = [_normalized(one) for one in likelihoods]
    forward = _beliefs(likelihoods, seen, [(m.east, m.north, m.deviation) for m in motions])
    back = [(-m.east, -m.north, m.deviation) for m in reversed(motions)]
    backward = _beliefs(likelihoods[::-1], seen[::-1], back)[::-1]
    found = []
    for grid, own, past, future in zip(likelihoods, seen, forward, backward, strict=True):
        # both passes have seen the frame itself: its likelihood counts once
        joint = past * np.divide(future, own, out=np.zeros_like(own), where=own > 0)
        found.append(_estimate(grid, joint if joint.sum() > 0 else past))
    return found


def _normalized(one: Likelihood) -> np.ndarray:
    highest = one.values.max()
    if not np.isfinite(highest):
        raise CrossbandError("a frame that is possible nowhere near its rough position; raise the radius")
    return np.exp(one.values - highest)


def _beliefs(
    grids: Sequence[Likelihood], seen: Sequence[np.ndarray], moves: Sequence[tuple[float, float, float]]
) -> list[np.ndarray]:
    """The belief about each frame from those before it and itself."""
    beliefs = [seen[0] / seen[0].sum()]
    for number, (east, north, deviation) in enumerate(moves, start=1):
        expected = _moved(beliefs[-1], grids[number - 1], grids[number], east, north, deviation)
        belief = expected * seen[number]
        beliefs.append(belief / belief.sum())
    return beliefs


def _moved(
    belief: np.ndarray, before: Likelihood, after: Likelihood, east: float, north: float, deviation: float
) -> np.ndarray:
    """A belief carried to the grid of the next frame."""
    step = after.step
    reach = int(np.ceil(4 * deviation / step))
    rows, columns = np.indices((after.values.shape[0] + 2 * reach, after.values.shape[1] + 2 * reach)) - reach
    where = [
        rows + (after.y - north - before.y) / step,
        columns + (after.x - east - before.x) / step,
    ]
    carried = map_coordinates(belief, where, order=1, mode="constant")
    spread = gaussian_filter(carried, deviation / step, mode="constant")
    spread = spread[reach : reach + after.values.shape[0], reach : reach + after.values.shape[1]]
    total = float(spread.sum())
    even = np.full(spread.shape, 1 / spread.size)
    return even if total <= 0 else (1 - _NEVER) * spread / total + _NEVER * even


def _estimate(grid: Likelihood, belief: np.ndarray) -> Estimate:
    belief = belief / belief.sum()
    x, y = np.meshgrid(*grid.positions)
    row, column = np.unravel_index(int(belief.argmax()), belief.shape)
    near = np.hypot(x - x[row, column], y - y[row, column]) <= 10
    share = float(belief[near].sum())
    at = np.array([(belief * near * x).sum(), (belief * near * y).sum()]) / share
    off = np.stack([x - at[0], y - at[1]])
    covariance = np.einsum("irc,jrc,rc->ij", off, off, belief) + np.eye(2) * (grid.step**2 / 12 + _COMMON**2)
    return Estimate(float(at[0]), float(at[1]), covariance, min(share, 1.0))


def ground_motion(
    first: np.ndarray, first_pose: Pose, second: np.ndarray, second_pose: Pose, expected: Motion
) -> Motion:
    """Measure how the camera moved between two frames from what both show of the ground.

    Args:
        first, second: images ``(H, W)``.
        first_pose, second_pose: their altitude, heading and pitch are believed, their positions are not.
        expected: the motion as it is known otherwise; returned where the images do not tell.

    Returns:
        the motion, to half a meter or so over flat ground.
    """
    import cv2

    start = first_pose.moved(0.0, 0.0)
    end = second_pose.moved(expected.east, expected.north)
    middle = (np.array(start.looks_at) + end.looks_at) / 2
    side = 1.2 * max(start.altitude * start.width / start.focal, 20.0)
    steps = (np.arange(_PATCH) + 0.5) / _PATCH * side - side / 2
    x, y = np.meshgrid(middle[0] + steps, middle[1] - steps)
    patches, known = [], np.ones((_PATCH, _PATCH), bool)
    for image, pose in ((first, start), (second, end)):
        columns, rows = (values.astype(np.float32) - 0.5 for values in pose.to_pixels(x, y))
        seen = image.astype(np.float32)
        patches.append(cv2.remap(seen, columns, rows, cv2.INTER_LINEAR, borderValue=float("nan")))
        known &= np.isfinite(patches[-1])
    if known.mean() < 0.1:
        return expected
    window = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 4) * known
    flat = [
        np.where(known, patch - np.median(patch[known]), 0).astype(np.float32) * window for patch in patches
    ]
    (column, row), response = cv2.phaseCorrelate(*flat)
    meters = side / _PATCH
    east, north = -column * meters, row * meters
    if response < 0.05 or np.hypot(east, north) > 4 * expected.deviation:
        return expected
    return Motion(expected.east + east, expected.north + north, 1.0)
