"""Boxes of a flight's frames joined to objects on the ground, each with a position and its error.

Frame by frame, boxes of one class are matched to the objects seen so far by where they lie on the ground (the
Hungarian algorithm over Mahalanobis distances), and a Kalman filter without velocity keeps each object's place.
What all frames have wrong together, the error of the flight's own position, moves all objects alike: it joins
and parts nothing, and is added at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from .projection import Pose

__all__ = ["GroundObject", "join_objects"]

_GATE = 9.21  # chi-squared of two dimensions, 99 %
_PIXELS = 2.0  # standard deviation of the middle of a box
_WANDER = 1.0  # meters that an object may move from frame to frame
_RELATIVE = 1.0  # meters that the positions of neighboring frames are wrong against each other


@dataclass(frozen=True)
class GroundObject:
    """An object on the ground.

    Attributes:
        kind: number of its class.
        x, y: meters on the map, where it was seen last.
        covariance: ``(2, 2)`` square meters.
        score: the highest of its boxes.
        seen: (frame, number of the box) of each box, in order of the frames.
    """

    kind: int
    x: float
    y: float
    covariance: np.ndarray
    score: float
    seen: tuple[tuple[int, int], ...]

    def renumbered(self, rows: Sequence[int]) -> GroundObject:
        """Return the same object, seen in frames that have other numbers."""
        return replace(self, seen=tuple((rows[frame], number) for frame, number in self.seen))


@dataclass
class _Track:
    kind: int
    at: np.ndarray
    covariance: np.ndarray
    score: float
    seen: list[tuple[int, int]]


def join_objects(
    frames: Sequence[np.ndarray], poses: Sequence[Pose], position_errors: Sequence[np.ndarray] | None = None
) -> list[GroundObject]:
    """Join the boxes of consecutive frames to objects on the ground.

    Args:
        frames: of each frame ``(n, 6)``: left, top, right, bottom in pixels, score, class.
        poses: of the frames, in meters of one map.
        position_errors: covariance ``(2, 2)`` of each frame's position, square meters; exact without.

    Returns:
        the objects, those seen most often first, then by score.

    Example:
        >>> poses = [Pose(9.0 * i, 0, 50, 90, -90, 100, 96, 128) for i in range(2)]
        >>> boxes = [np.array([[60.0, 44, 68, 52, 0.8, 0]]), np.array([[60.0, 62, 68, 70, 0.9, 0]])]
        >>> [(len(one.seen), round(one.x), round(one.y)) for one in join_objects(boxes, poses)]
        [(2, 0, 0)]
    """
    tracks: list[_Track] = []
    for number, (boxes, pose) in enumerate(zip(frames, poses, strict=True)):
        _follow(tracks, number, boxes, pose)
    common = np.zeros((2, 2)) if position_errors is None else np.mean(position_errors, axis=0)
    found = [
        GroundObject(
            one.kind, float(one.at[0]), float(one.at[1]), one.covariance + common, one.score, tuple(one.seen)
        )
        for one in tracks
    ]
    return sorted(found, key=lambda one: (-len(one.seen), -one.score))


def _follow(tracks: list[_Track], frame: int, boxes: np.ndarray, pose: Pose) -> None:
    """Give the boxes of one frame to the objects seen before, or begin new ones."""
    for track in tracks:
        track.covariance = track.covariance + np.eye(2) * _WANDER**2
    places = [_place(box, pose) for box in boxes]
    known = [number for number, (at, _) in enumerate(places) if np.isfinite(at).all()]
    cost = np.full((len(tracks), len(known)), 2 * _GATE)
    for row, track in enumerate(tracks):
        for column, number in enumerate(known):
            if track.kind == int(boxes[number, 5]):
                off = places[number][0] - track.at
                apart = off @ np.linalg.solve(track.covariance + places[number][1], off)
                cost[row, column] = min(apart, 2 * _GATE)  # how far the impossible are apart says nothing
    taken = set()
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[row, column] > _GATE:
            continue
        number, track = known[column], tracks[row]
        at, error = places[number]
        gain = track.covariance @ np.linalg.inv(track.covariance + error)
        track.at = track.at + gain @ (at - track.at)
        track.covariance = (np.eye(2) - gain) @ track.covariance
        track.score = max(track.score, float(boxes[number, 4]))
        track.seen.append((frame, number))
        taken.add(number)
    for number in known:
        if number not in taken:
            at, error = places[number]
            tracks.append(_Track(int(boxes[number, 5]), at, error, float(boxes[number, 4]), [(frame, number)]))


def _place(box: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Where the middle of a box lies on the ground, and the covariance of that."""
    column, row = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    steps = np.array([[0, 0], [_PIXELS, 0], [0, _PIXELS]])
    x, y = pose.to_ground(column + steps[:, 0], row + steps[:, 1])
    change = np.stack([x[1:] - x[0], y[1:] - y[0]])
    return np.array([x[0], y[0]]), change @ change.T + np.eye(2) * _RELATIVE**2
