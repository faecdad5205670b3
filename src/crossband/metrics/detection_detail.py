"""What lies behind a detector's AP at IoU 0.5: its interval, and how many false alarms a recall costs.

The matching is COCO's: within an image and a class, detections from the best score down each take the true box
with the largest IoU that is still free. AP has 101 points of recall, as in :mod:`.detection`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from .detection import _iou

__all__ = ["Matched", "false_alarms", "map50_interval", "match_class"]

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matched:
    """The detections of a class, from the best score down.

    Attributes:
        image: of each detection; ``score`` and ``hit`` (whether it is a true box) likewise.
        truth: true boxes of each image.
    """

    image: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    truth: np.ndarray

    def average_precision(self, times: np.ndarray | None = None) -> float:
        """AP in [0, 1] of a set in which each image stands so many ``times``; NaN without true boxes."""
        weights = np.ones(len(self.truth)) if times is None else times
        total = float((self.truth * weights).sum())
        if not total:
            return float("nan")
        weight = weights[self.image]
        right, wrong = np.cumsum(weight * self.hit), np.cumsum(weight * ~self.hit)
        recall = right / total
        precision = right / np.maximum(right + wrong, 1e-12)
        precision = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
        at = np.searchsorted(recall, _RECALLS - 1e-12)
        return float(np.append(precision, 0.0)[at].mean())


def match_class(
    found: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    kind: int,
    least: float = 0.5,
    most: int = 100,
    crowds: Sequence[np.ndarray] | None = None,
) -> Matched:
    """Match the detections of one class.

    Args:
        found: of each image ``(n, 6)``: left, top, right, bottom in pixels, score, class.
        truth: of each image ``(m, 5 or more)``: left, top, right, bottom in pixels, class.
        kind: the class.
        least: IoU of a detection and its true box.
        most: best detections of an image, of all classes, that count.
        crowds: of each image, as ``truth``: what matches no true box there does not count.

    Example:
        >>> truth = [np.array([[10, 10, 30, 30, 0.0]])]
        >>> boxes = [np.array([[10, 10, 30, 30, 0.6, 0.0], [50, 50, 60, 60, 0.9, 0.0]])]
        >>> match_class(boxes, truth, 0).average_precision()
        0.5
    """
    rows: list[tuple[float, int, bool]] = []
    counts = np.zeros(len(truth), np.int64)
    for image, (boxes, real) in enumerate(zip(found, truth, strict=True)):
        mine = boxes[np.argsort(-boxes[:, 4], kind="stable")][:most]
        mine, wanted = mine[mine[:, 5] == kind], real[real[:, 4] == kind]
        counts[image] = len(wanted)
        iou = (
            _iou(mine[:, :4], wanted[:, :4])
            if len(mine) and len(wanted)
            else np.zeros((len(mine), len(wanted)))
        )
        for row in range(len(mine)):
            best = int(iou[row].argmax()) if len(wanted) else -1
            hit = best >= 0 and iou[row, best] >= least
            if hit:
                iou[:, best] = -1
            elif crowds is not None and _in_crowd(mine[row], crowds[image], kind, least):
                continue
            rows.append((float(mine[row, 4]), image, hit))
    rows.sort(key=lambda one: -one[0])
    score, where, hits = (np.array([row[i] for row in rows]) for i in range(3))
    return Matched(where.astype(np.int64), score, hits.astype(bool), counts)


def _in_crowd(box: np.ndarray, crowds: np.ndarray, kind: int, least: float) -> bool:
    """Whether so much of a box lies in one of the crowds of its class."""
    own = crowds[crowds[:, 4] == kind]
    corners = np.concatenate([np.maximum(own[:, :2], box[:2]), np.minimum(own[:, 2:4], box[2:4])], 1)
    common = (corners[:, 2:] - corners[:, :2]).clip(min=0).prod(1)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return bool(area > 0 and (common >= least * area).any())


def false_alarms(matched: Matched, recall: float = 0.9) -> float | None:
    """False detections an image at the score where so many of the true boxes are found.

    ``None`` where they never are.

    Example:
        >>> truth = [np.array([[10, 10, 30, 30, 0.0]])]
        >>> boxes = [np.array([[10, 10, 30, 30, 0.6, 0.0], [50, 50, 60, 60, 0.9, 0.0]])]
        >>> false_alarms(match_class(boxes, truth, 0))
        1.0
    """
    reached = np.cumsum(matched.hit) >= recall * matched.truth.sum()
    if not reached.any():
        return None
    return float((~matched.hit[: int(reached.argmax()) + 1]).sum()) / len(matched.truth)


def map50_interval(
    matched: Sequence[Matched], groups: Sequence[Hashable], rounds: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean AP over classes, percent.

    By drawing groups of images (sequences) again.

    Args:
        matched: of each class.
        groups: of each image; images of one group are drawn together.
        rounds: of drawing.
        seed: of it.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group = np.array([names[name] for name in groups])
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[group].astype(float)
        each = np.array([one.average_precision(times) for one in matched])
        if np.isfinite(each).any():  # a draw may be without any true box
            values.append(np.nanmean(each))
    low, high = np.percentile(values, (2.5, 97.5))
    return 100 * float(low), 100 * float(high)
