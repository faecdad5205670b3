"""How far probabilities can be trusted: reliability, expected calibration error, and AUROC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Reliability", "auroc", "reliability"]


@dataclass(frozen=True)
class Reliability:
    """Probabilities against what was so.

    Attributes:
        auroc: 0 to 1; ``None`` where all are right or all wrong.
        ece: expected calibration error, 0 to 1.
        n: how many probabilities; ``right`` of them were so.
        bins: for each bin that is not empty: mean probability, share that was so, how many.
    """

    auroc: float | None
    ece: float
    n: int
    right: int
    bins: list[tuple[float, float, int]]


def reliability(probabilities: np.ndarray, right: np.ndarray, bins: int = 10) -> Reliability:
    """Compare probabilities with what was so, in bins of equal width.

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015:
    the expected calibration error is the mean of ``|probability - share|`` over the bins, weighted by their
    counts.

    Args:
        probabilities: float ``(n,)``, in [0, 1].
        right: bool ``(n,)``.
        bins: how many.

    Raises:
        ValueError: nothing to compare.

    Example:
        >>> found = reliability(np.array([0.95, 0.95, 0.05, 0.05]), np.array([True, True, False, True]))
        >>> round(found.ece, 3), found.auroc
        (0.25, 0.8333333333333334)
    """
    probabilities, right = np.asarray(probabilities, float), np.asarray(right, bool)
    if not len(probabilities) or probabilities.shape != right.shape:
        raise ValueError(f"{probabilities.shape} probabilities and {right.shape} answers cannot be compared")
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    found = []
    for one in np.unique(which):
        mine = which == one
        found.append((float(probabilities[mine].mean()), float(right[mine].mean()), int(mine.sum())))
    ece = sum(n * abs(p - share) for p, share, n in found) / len(right)
    return Reliability(auroc(probabilities, right), float(ece), len(right), int(right.sum()), found)


def auroc(scores: np.ndarray, right: np.ndarray) -> float | None:
    """Compute the probability that a right one scores higher than a wrong one, a tie counting half.

    ``None`` where there are not both.

    Example:
        >>> auroc(np.array([0.1, 0.4, 0.4]), np.array([False, False, True]))
        0.75
    """
    right = np.asarray(right, bool)
    n, wrong = int(right.sum()), int((~right).sum())
    if not n or not wrong:
        return None
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    return float((ranks[right].sum() - n * (n + 1) / 2) / (n * wrong))
