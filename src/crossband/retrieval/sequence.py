"""Sequences: a frame's neighbors in time are evidence of where it is.

Where queries and gallery were both taken along a way, right matches lie on lines through the matrix of
distances, and chance does not. Milford and Wyeth, "SeqSLAM: Visual Route-Based Navigation for Sunny Summer Days
and Stormy Winter Nights", ICRA 2012, sum distances along straight lines of several velocities. Here one dynamic
program takes the best path through the matrix instead, whose velocity may change from frame to frame, forward
and back in time and in both directions of travel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import CrossbandError
from ..frames import Frames
from ..metrics import Ranks
from ..metrics.protocol import PositiveMask
from .rerank import Reranked

__all__ = ["check_length", "ranks_of_costs", "runs_of", "sequence_costs", "with_evidence"]

FASTEST = 2
"""Frames of the gallery that are passed a frame of the query, at most."""
_LARGEST = 400_000_000  # distances: a matrix of them is kept in memory, four bytes each


def check_length(length: int) -> int:
    """Return a length of sequences, checked.

    Raises:
        CrossbandError: below 2 frames.
    """
    if length < 2:
        raise CrossbandError(f"a sequence has 2 frames or more, not {length}", parameter="sequence")
    return length


def runs_of(frames: Frames) -> np.ndarray:
    """Return the number of each frame's run, int64 ``(n,)``: frames of one sequence follow one another.

    Without a column ``sequence`` all frames are one run, in their order.
    """
    if not frames.has("sequence"):
        return np.zeros(len(frames), np.int64)
    return np.unique(frames.table["sequence"].fillna("").to_numpy(str), return_inverse=True)[1]


def sequence_costs(
    distances: np.ndarray, query_runs: np.ndarray, gallery_runs: np.ndarray, length: int, fastest: int = FASTEST
) -> np.ndarray:
    """Compute what the best path through each match costs a frame, float32 ``(n, m)``; less is better.

    Args:
        distances: ``(n, m)``, in the order of time; each row is standardized first, so that a frame that is
            far from everything weighs as much as another.
        query_runs: ``(n,)``: a path stays in one run of both.
        gallery_runs: ``(m,)``.
        length: frames that a path is long, about half before and half after the frame.
        fastest: frames of the gallery that it passes a frame of the query, at most; it may stand still.

    Raises:
        CrossbandError: too short a sequence, or too large a matrix.

    Example:
        >>> distances = np.ones((7, 9)); distances[np.arange(7), np.arange(1, 8)] = 0.5
        >>> distances[3] = 1; distances[3, 8] = 0.4  # a frame that lies
        >>> one_run = np.zeros(7), np.zeros(9)
        >>> distances[3].argmin(), sequence_costs(distances, *one_run, 5)[3].argmin()
        (8, 4)
    """
    check_length(length)
    if distances.size > _LARGEST:
        raise CrossbandError(
            f"{distances.shape[0]} queries in a gallery of {distances.shape[1]} are too many for sequences; "
            "search by parts",
            parameter="sequence",
        )
    costs = distances.astype(np.float32)
    costs -= costs.mean(1, keepdims=True)
    costs /= np.maximum(costs.std(1, keepdims=True), 1e-9)
    before, after = length // 2, (length - 1) // 2
    found: np.ndarray | None = None
    for way in (1, -1):  # along the gallery, and against it
        past, n_past = _paths(costs, query_runs, gallery_runs, before, way * fastest)
        future, n_future = _paths(costs[::-1], query_runs[::-1], gallery_runs, after, -way * fastest)
        whole = (past + future[::-1] - costs) / (n_past + n_future[::-1] - 1)[:, None]
        found = whole if found is None else np.minimum(found, whole)
    assert found is not None
    return found


def with_evidence(distances: np.ndarray, lists: Reranked, weight: float = 1.0) -> np.ndarray:
    """Lower the distances of what re-ranking found evidence for, ``(n, m)``, each row standardized.

    By the log odds of one place beyond what nothing would give, where there are probabilities; else by the
    score beyond the list's median, in deviations of all scores. Both are weighed as deviations of distances.

    Example:
        >>> none, probable = np.zeros((1, 2)), np.array([[0.9, 0.1]])
        >>> lists = Reranked(np.array([[1, 0]]), none, none, None, probable)
        >>> with_evidence(np.array([[1.0, 2.0, 3.0]]), lists)[0].argmin()
        1
    """
    found = distances.astype(np.float32)
    found -= found.mean(1, keepdims=True)
    found /= np.maximum(found.std(1, keepdims=True), 1e-9)
    if lists.same_place is not None:
        probable = np.clip(lists.same_place, 1e-4, 1 - 1e-4)
        odds = np.log(probable / (1 - probable))
        gain = odds - odds.min(1, keepdims=True)
    else:
        beyond = lists.scores - np.median(lists.scores, axis=1, keepdims=True)
        gain = np.maximum(beyond, 0) / max(float(lists.scores.std()), 1e-9)
    rows = np.arange(len(found))[:, None]
    found[rows, lists.columns] -= weight * gain
    return found


def ranks_of_costs(costs: np.ndarray, positives: PositiveMask, itself: np.ndarray | None = None) -> Ranks:
    """Rank each query's best positive, 0 where it has none; a tie counts against the model.

    Args:
        costs: ``(n, m)``; less is better.
        positives: what is right.
        itself: ``(n,)``: the column that is the query's own image, -1 where there is none.
    """
    ranks = np.zeros(len(costs), np.int64)
    for row, mine in enumerate(costs):
        right = positives.block(row, row + 1)[0].copy()
        wrong = ~right
        if itself is not None and itself[row] >= 0:
            right[itself[row]] = wrong[itself[row]] = False
        if right.any():
            ranks[row] = 1 + int((mine[wrong] <= mine[right].min()).sum())
    return Ranks(ranks)


def _paths(
    costs: np.ndarray, query_runs: np.ndarray, gallery_runs: np.ndarray, steps: int, fastest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest paths of ``steps`` frames more that end at each match, and their frames, ``(n, m)`` and
    ``(n,)``; where a run begins they are shorter."""
    follows = np.zeros(len(costs), bool)
    follows[1:] = query_runs[1:] == query_runs[:-1]
    best, frames = costs, np.ones(len(costs), np.int64)
    for _ in range(steps):
        longer = costs.copy()
        came = best.copy()
        for shift, inside in _shifts(gallery_runs, fastest):
            moved = np.full_like(best, np.inf)
            if shift > 0:
                moved[:, shift:] = best[:, :-shift]
            else:
                moved[:, :shift] = best[:, -shift:]
            moved[:, ~inside] = np.inf
            np.minimum(came, moved, out=came)
        longer[1:][follows[1:]] += came[:-1][follows[1:]]
        count = np.ones(len(costs), np.int64)
        count[1:][follows[1:]] += frames[:-1][follows[1:]]
        best, frames = longer, count
    return best, frames


def _shifts(runs: np.ndarray, fastest: int) -> Iterator[tuple[int, np.ndarray]]:
    """Steps along the gallery, and at which of its items they stay in its run."""
    sign = 1 if fastest > 0 else -1
    for shift in range(sign, fastest + sign, sign):
        inside = np.zeros(len(runs), bool)
        if abs(shift) < len(runs):
            if shift > 0:
                inside[shift:] = runs[shift:] == runs[:-shift]
            else:
                inside[:shift] = runs[:shift] == runs[-shift:]
            yield shift, inside
