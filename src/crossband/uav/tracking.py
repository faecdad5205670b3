"""Boxes of consecutive frames joined to tracks: the same object in frame after frame, counted once.

After Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016: each track predicts its box at constant
velocity, predictions and boxes are matched by IoU (the Hungarian algorithm), and a track that was not seen for
some frames ends. The Kalman filter is in its steady state, which needs no covariances: a share of each error
corrects position, size and velocity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ["Tracker", "count_tracks", "track_boxes"]

_POSITION, _SPEED = 0.7, 0.3  # shares of an error that correct the box and its velocity


@dataclass
class _Track:
    number: int
    kind: int
    box: np.ndarray
    speed: np.ndarray = field(default_factory=lambda: np.zeros(4))
    seen: int = 1
    missed: int = 0


class Tracker:
    """Joins the boxes of one frame after another.

    Args:
        overlap: IoU of a prediction and a box, at least, that are the same object.
        patience: frames that an object may be hidden.

    Example:
        >>> tracker = Tracker()
        >>> frames = [np.array([[10.0 + 4 * i, 10, 30 + 4 * i, 20, 0.9, 0]]) for i in range(3)]
        >>> [tracker.follow(boxes).tolist() for boxes in frames]
        [[1], [1], [1]]
    """

    def __init__(self, overlap: float = 0.2, patience: int = 5) -> None:
        self._overlap, self._patience = overlap, patience
        self._tracks: list[_Track] = []
        self._count = 0

    def follow(self, boxes: np.ndarray) -> np.ndarray:
        """Number each box's track, int64 ``(n,)`` from 1.

        Args:
            boxes: ``(n, 6)``: left, top, right, bottom in pixels, score, class.
        """
        for track in self._tracks:
            track.box = track.box + track.speed
        numbers = np.zeros(len(boxes), np.int64)
        for row, column in self._pairs(boxes):
            track = self._tracks[row]
            error = boxes[column, :4] - track.box
            track.box = track.box + _POSITION * error
            # the first step says all of the velocity
            track.speed = track.speed + (_SPEED if track.seen > 1 else 1.0) * error
            track.seen, track.missed = track.seen + 1, -1
            numbers[column] = track.number
        for track in self._tracks:
            track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= self._patience]
        for column in np.flatnonzero(numbers == 0).tolist():
            self._count += 1
            numbers[column] = self._count
            self._tracks.append(_Track(self._count, int(boxes[column, 5]), boxes[column, :4].astype(float)))
        return numbers

    def _pairs(self, boxes: np.ndarray) -> list[tuple[int, int]]:
        if not self._tracks or not len(boxes):
            return []
        iou = _overlaps(np.stack([track.box for track in self._tracks]), boxes[:, :4])
        iou *= np.array([track.kind for track in self._tracks])[:, None] == boxes[None, :, 5]
        rows, columns = linear_sum_assignment(-iou)
        return [(r, c) for r, c in zip(rows, columns, strict=True) if iou[r, c] >= self._overlap]


def track_boxes(frames: Iterable[np.ndarray], overlap: float = 0.2, patience: int = 5) -> list[np.ndarray]:
    """Find the track of every box of every frame; see :class:`Tracker`."""
    tracker = Tracker(overlap, patience)
    return [tracker.follow(boxes) for boxes in frames]


def count_tracks(
    frames: Iterable[np.ndarray], tracks: Iterable[np.ndarray], classes: list[str], least: int = 3
) -> dict[str, int]:
    """Count how many objects of each class have been seen in ``least`` frames or more."""
    seen: dict[tuple[int, int], int] = {}
    for boxes, numbers in zip(frames, tracks, strict=True):
        for box, number in zip(boxes, numbers, strict=True):
            key = int(box[5]), int(number)
            seen[key] = seen.get(key, 0) + 1
    found = dict.fromkeys(classes, 0)
    for (kind, _), times in seen.items():
        found[classes[kind]] += times >= least
    return found


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of corners ``(m, 4)`` and ``(n, 4)``."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(min=0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).clip(min=0).prod(-1) for x in (a, b)]
    return common / (areas[0][:, None] + areas[1][None] - common).clip(min=1e-9)
