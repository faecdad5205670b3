"""Scores of label maps, from one confusion matrix over a whole set.

The same words hide different numbers: whether a class that never occurs counts as 0 or not at all, and whether
background counts. So each figure goes with a named protocol:

============  ==============================================================================================
``present``   classes that occur in the labels or the predictions of the set; background counts
``rtfnet``    all classes, an absent one with 0; background counts: the code of RTFNet, whose way the
RGB-thermal
              papers of tables II and IV follow
``objects``   as ``present`` without class 0: MFNet's own way (Ha et al., 2017)
============  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CrossbandError, unknown_name

__all__ = [
    "SEGMENTATION_PROTOCOLS",
    "SegmentationProtocol",
    "SegmentationScores",
    "confusion_matrix",
    "score_confusion",
    "score_interval",
]


@dataclass(frozen=True)
class SegmentationProtocol:
    """How a confusion matrix becomes one number.

    Attributes:
        name: what tables call it.
        first: the first class that counts.
        absent_is_zero: whether a class that occurs nowhere counts as 0; else it does not count.
    """

    name: str
    first: int = 0
    absent_is_zero: bool = False


SEGMENTATION_PROTOCOLS: dict[str, SegmentationProtocol] = {
    "present": SegmentationProtocol("present"),
    "rtfnet": SegmentationProtocol("rtfnet", absent_is_zero=True),
    "objects": SegmentationProtocol("objects", first=1),
}


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of a set, in percent.

    Attributes:
        protocol: how the means were taken.
        iou: of each class; NaN where it occurs nowhere.
        accuracy: of each class: the share of its pixels that were found; NaN where no label has it.
        miou: mean of ``iou``.
        macc: mean of ``accuracy``.
        pixel_accuracy: share of all labeled pixels that are right.
        n_pixels: labeled pixels.
    """

    protocol: str
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    miou: float
    macc: float
    pixel_accuracy: float
    n_pixels: int

    def to_dict(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Return a plain mapping; classes by name where names are given, and ``None`` for NaN."""
        keys = list(names) or [str(i) for i in range(len(self.iou))]
        return {
            "protocol": self.protocol,
            "miou": _plain(self.miou),
            "macc": _plain(self.macc),
            "pixel_accuracy": _plain(self.pixel_accuracy),
            "n_pixels": self.n_pixels,
            "iou": dict(zip(keys, map(_plain, self.iou), strict=True)),
            "accuracy": dict(zip(keys, map(_plain, self.accuracy), strict=True)),
        }


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int, ignore: int = 255) -> np.ndarray:
    """Count how often each label (row) was predicted as each class (column), int64.

    Args:
        predicted: integers from 0 to ``classes - 1``, any shape.
        labels: the same shape; pixels of label ``ignore`` do not count.
        classes: how many.
        ignore: see ``labels``.

    Raises:
        CrossbandError: shapes that differ, or a class beyond the last.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    if predicted.shape != labels.shape:
        raise CrossbandError(f"predictions {predicted.shape} and labels {labels.shape} differ in shape")
    counted = labels != ignore
    rows, columns = labels[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for what, values in (("label", rows), ("prediction", columns)):
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < classes:
            raise CrossbandError(
                f"a {what} of {int(values.max())} among {classes} classes; give the dataset's own class list"
            )
    return np.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)


def score_confusion(matrix: np.ndarray, protocol: str = "present") -> SegmentationScores:
    """Compute the scores of a confusion matrix.

    Args:
        matrix: of :func:`confusion_matrix`, summed over a set.
        protocol: a name of :data:`SEGMENTATION_PROTOCOLS`.

    Raises:
        CrossbandError: nobody knows the protocol.

    Example:
        >>> score_confusion(np.array([[1, 1], [0, 1]])).iou
        (50.0, 50.0)
    """
    how = _protocol(protocol)
    iou, accuracy = _rates(matrix)
    total = int(matrix.sum())
    return SegmentationScores(
        how.name,
        tuple(iou.tolist()),
        tuple(accuracy.tolist()),
        _mean(iou, how),
        _mean(accuracy, how),
        100 * float(np.trace(matrix)) / total if total else float("nan"),
        total,
    )


def score_interval(
    matrices: np.ndarray, groups: Sequence[Any], protocol: str = "present", rounds: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Compute 95 % bootstrap intervals of mIoU and mAcc, drawing whole groups.

    Frames of one drive are alike.

    Args:
        matrices: a confusion matrix per image, ``(n, classes, classes)``.
        groups: the group of each image, its sequence say.
        protocol: as in :func:`score_confusion`.
        rounds: draws.
        seed: of them.

    Returns:
        ``{"miou": (low, high), "macc": (low, high)}``.
    """
    how = _protocol(protocol)
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), *matrices.shape[1:]))
    np.add.at(sums, inverse, matrices)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        iou, accuracy = _rates(
            np.einsum("g,gij->ij", rng.multinomial(len(names), np.full(len(names), 1 / len(names))), sums)
        )
        found.append((_mean(iou, how), _mean(accuracy, how)))
    low, high = np.nanpercentile(np.array(found), [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(("miou", "macc"))}


def _protocol(name: str) -> SegmentationProtocol:
    if name not in SEGMENTATION_PROTOCOLS:
        raise unknown_name("segmentation protocol", name, SEGMENTATION_PROTOCOLS)
    return SEGMENTATION_PROTOCOLS[name]


def _rates(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU and accuracy of each class in percent; NaN where a class does not occur."""
    right, labeled, called = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore"):
        return 100 * right / (labeled + called - right), 100 * right / labeled


def _mean(values: np.ndarray, how: SegmentationProtocol) -> float:
    counted = values[how.first :]
    if how.absent_is_zero:
        return float(np.nan_to_num(counted).mean())
    return float(np.nanmean(counted)) if np.isfinite(counted).any() else float("nan")


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
