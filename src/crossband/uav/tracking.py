"""Boxes of consecutive frames joined to tracks: the same object in frame after frame, counted once.

After Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016: each track predicts its box at constant
velocity, predictions and boxes are matched by IoU (the Hungarian algorithm), and a track that was not seen for
some frames ends. The Kalman filter is in its steady state, which needs no covariances: a share of each error
corrects position, size and velocity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..progress import note

__all__ = ["Tracker", "count_tracks", "join_boxes", "track_boxes"]

_SEEN = 3  # frames of a sequence that show what is counted, at least

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


def join_boxes(
    classes: list[str],
    boxes: list[np.ndarray],
    sizes: Sequence[Sequence[int]],
    *,
    sequence: bool,
    video: bool = False,
) -> tuple[list[np.ndarray], dict[str, int]]:
    """Find the track of every box of some pictures, and count the objects of each class.

    Args:
        classes: their names.
        boxes: of each picture ``(n, 6)``, see :class:`Tracker`.
        sizes: (height, width) of each picture.
        sequence: whether the pictures may be one; they are none where they differ in size or hardly show the
            same objects, which is said, and then each box counts alone.
        video: whether they are the frames of a video, which always are one.
    """
    tracks = _tracks(boxes, sizes, video) if sequence else None
    if tracks is None:
        ends = np.cumsum([0, *(len(one) for one in boxes)])
        tracks = [np.arange(first + 1, last + 1) for first, last in pairwise(ends.tolist())]
        return tracks, count_tracks(boxes, tracks, classes, 1)
    return tracks, _counts_of_sequence(classes, boxes, tracks, video)


def _tracks(boxes: list[np.ndarray], sizes: Sequence[Sequence[int]], video: bool) -> list[np.ndarray] | None:
    """The tracks of a sequence, ``None`` of pictures that are none: of several sizes, or of other objects each.

    A video is always a sequence.
    """
    if len({tuple(size) for size in sizes}) > 1:
        note("the pictures differ in size and are no sequence: no object is joined over them, each box counts")
        return None
    tracks = track_boxes(boxes)
    _, seen = np.unique(np.concatenate([np.empty(0, np.int64), *tracks]), return_counts=True)
    if not video and len(boxes) > 1 and 2 * seen[seen > 1].sum() < seen.sum():
        note("these pictures hardly show the same objects; each is counted alone")
        return None
    return tracks


def _counts_of_sequence(
    classes: list[str], boxes: list[np.ndarray], tracks: list[np.ndarray], video: bool
) -> dict[str, int]:
    """Objects that several frames show; in pictures at least as many of a class as one of them shows.

    A video has frames enough to leave out what one alone shows.
    """
    least = min(_SEEN, len(boxes))
    counts = count_tracks(boxes, tracks, classes, least)
    if video:
        return counts
    for kind, name in enumerate(classes):
        counts[name] = max([counts[name], *(int((one[:, 5] == kind).sum()) for one in boxes)])
    if len(boxes) > 1 and any(map(len, boxes)):
        rest = sum(count_tracks(boxes, tracks, classes, 1).values()) - sum(counts.values())
        objects = "1 object" if rest == 1 else f"{rest} objects"
        note(
            f"the pictures are taken for a sequence: each object counts once, and {objects} seen in fewer than "
            f"{least} pictures not at all"
        )
    return counts


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of corners ``(m, 4)`` and ``(n, 4)``."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(min=0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).clip(min=0).prod(-1) for x in (a, b)]
    return common / (areas[0][:, None] + areas[1][None] - common).clip(min=1e-9)
