"""Fraction of correct matches (FCM), and Recall@N beside it, under one protocol.

The protocol is called ``nearest-match``. The match of a query is its nearest gallery item by Euclidean
distance, the one that stands first in the gallery where two are equally near. It is correct at a threshold tau
when the two were taken at most tau apart (meters, or frames of the sequence). **Every query counts**, also one
without any gallery item within tau: equation (8) divides by all query images. Recall@N at tau is the share of
all queries with a correct item among the N nearest, so that Recall@1 at tau is FCM at tau. This differs from
:mod:`crossband.metrics.ranking`, which leaves out queries that have nothing to find, and lets ties count
against the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from .protocol import PositiveMask, Protocol
from .resampling import bootstrap_interval

__all__ = [
    "FCM_PROTOCOL",
    "PlaceScores",
    "fraction_of_correct_matches",
    "match_errors",
    "near_mask",
    "place_index",
    "score_matches",
]

FCM_PROTOCOL = "nearest-match"
_MEASURES = ("meters", "index")


def fraction_of_correct_matches(errors: np.ndarray, thresholds: Sequence[float]) -> dict[float, float]:
    """Compute equation (8) of Alijani and Rahtu, 2021, in percent, at each threshold.

    Args:
        errors: ``(n,)``, how far each query's match was taken from it; not a number where nobody knows, which
            is never correct.
        thresholds: tau, in the unit of the errors.

    Raises:
        CrossbandError: no query.

    Example:
        >>> fraction_of_correct_matches(np.array([0.0, 4.0, 12.0, np.nan]), [5, 25])
        {5: 50.0, 25: 75.0}
    """
    errors = np.asarray(errors, float)
    if not len(errors):
        raise CrossbandError("there is no query, so the fraction of correct matches is undefined")
    return {tau: 100 * float(np.mean(errors <= tau)) for tau in thresholds}


def place_index(frames: Frames) -> np.ndarray:
    """Return where each frame stands in its sequence, float64 ``(n,)``.

    The column ``index``, or the order of rows.
    """
    if frames.has("index"):
        return frames.table["index"].to_numpy(float)
    if not frames.has("sequence"):
        return np.arange(len(frames), dtype=float)
    return frames.table.groupby("sequence", dropna=False, sort=False).cumcount().to_numpy(float)


def near_mask(queries: Frames, gallery: Frames, radius: float, measure: str = "meters") -> PositiveMask:
    """Return a function from a block of queries to the gallery items at most ``radius`` away.

    Args:
        queries: frames ``(n)``.
        gallery: frames ``(m)``.
        radius: meters (``x`` and ``y``, or ``lat`` and ``lon``), or frames of the sequence.
        measure: ``meters`` or ``index``.

    Raises:
        CrossbandError: an unknown measure, or frames without positions.
    """
    if measure not in _MEASURES:
        raise unknown_name("measure of place", measure, _MEASURES)
    if measure == "index":
        return PositiveMask(place_index(queries)[:, None], place_index(gallery)[:, None], radius)
    protocol = Protocol("within", radius)
    for frames in (queries, gallery):
        protocol.check(frames, same_band=False)
    return protocol.positives(queries, gallery)


def match_errors(rows: np.ndarray, queries: Frames, gallery: Frames, measure: str = "meters") -> np.ndarray:
    """Return how far found gallery items were taken from their queries, float64 ``(n, k)``.

    See :func:`near_mask`.

    Args:
        rows: int64 ``(n, k)``, gallery rows found for each query.
        queries: frames ``(n)``.
        gallery: frames ``(m)``.
        measure: ``meters`` or ``index``.
    """
    mask = near_mask(queries, gallery, 1.0, measure)
    difference = mask.queries[:, None].astype(float) - mask.gallery[rows]
    return np.sqrt((difference**2).sum(-1))


@dataclass(frozen=True)
class PlaceScores:
    """FCM and Recall@N of one model on one pair of sets.

    Attributes:
        protocol: :data:`FCM_PROTOCOL`.
        measure: ``meters`` or ``index``.
        fcm: percent, by threshold.
        fcm_ci95: bootstrap interval of each.
        recall: percent, by N, at ``recall_threshold``.
        recall_threshold: tau of the recall.
        n_queries: all of them count.
        n_gallery: items searched.
    """

    protocol: str
    measure: str
    fcm: Mapping[float, float]
    fcm_ci95: Mapping[float, tuple[float, float]]
    recall: Mapping[int, float]
    recall_threshold: float
    n_queries: int
    n_gallery: int

    def to_dict(self) -> dict[str, object]:
        """Return a plain mapping; thresholds and N as text, as JSON keys are."""
        result = asdict(self)
        for name in ("fcm", "fcm_ci95", "recall"):
            result[name] = {
                f"{key:g}": list(value) if isinstance(value, tuple) else value
                for key, value in result[name].items()
            }
        return result


def score_matches(
    rows: np.ndarray,
    queries: Frames,
    gallery: Frames,
    thresholds: Sequence[float],
    measure: str = "meters",
    recall_threshold: float | None = None,
) -> PlaceScores:
    """Score found rows, nearest first: FCM at each threshold, and Recall@N at one of them.

    Args:
        rows: int64 ``(n, k)``; Recall@N is given for N of 1, 5 and 10 up to k.
        queries: frames ``(n)``.
        gallery: frames ``(m)``.
        thresholds: tau, meters or frames.
        measure: ``meters`` or ``index``.
        recall_threshold: tau of the recall; the largest threshold where ``None``.

    Raises:
        CrossbandError: no query, or no threshold.

    Example:
        >>> rows = [{"frame": str(i), "rgb": "a.png", "x": 4.0 * i, "y": 0.0} for i in range(3)]
        >>> frames = Frames.make(rows, ".")
        >>> score_matches(np.array([[1], [1], [2]]), frames, frames, [2, 5]).fcm[5]
        100.0
    """
    if not thresholds:
        raise CrossbandError("FCM needs at least one threshold")
    errors = match_errors(rows, queries, gallery, measure)
    tau = max(thresholds) if recall_threshold is None else recall_threshold
    best = errors[:, 0]
    return PlaceScores(
        protocol=FCM_PROTOCOL,
        measure=measure,
        fcm=fraction_of_correct_matches(best, thresholds),
        fcm_ci95={t: bootstrap_interval(best <= t) for t in thresholds},
        recall={
            n: 100 * float((errors[:, :n] <= tau).any(1).mean()) for n in (1, 5, 10) if n <= errors.shape[1]
        },
        recall_threshold=tau,
        n_queries=len(queries),
        n_gallery=len(gallery),
    )
