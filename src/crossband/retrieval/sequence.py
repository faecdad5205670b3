"""Sequences: a frame's neighbors in time are evidence of where it is.

Where queries and gallery were both taken along a way, right matches lie on lines through the matrix of
distances, and chance does not. Milford and Wyeth, "SeqSLAM: Visual Route-Based Navigation for Sunny Summer Days
and Stormy Winter Nights", ICRA 2012, sum distances along straight lines of several velocities. Here one dynamic
program takes the best path through the matrix instead, forward and back in time and in both directions of
travel; it keeps to a pace, and pays for each frame that it is off it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..errors import CrossbandError
from ..frames import Frames
from ..metrics import Ranks
from ..metrics.protocol import PositiveMask
from .rerank import Reranked

__all__ = ["check_length", "ranks_of_costs", "runs_of", "sequence_costs", "with_evidence", "within_a_band"]

FASTEST = 3
"""Frames of the gallery that are passed a frame of the query, at most."""
PACES = (0.5, 1.0, 2.0)
"""Frames of the gallery a frame of the query that a path keeps to."""
OFF_PACE = 3.0
"""What a frame off the pace costs, in deviations of a row's distances; chosen on Corridor."""
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
    distances: np.ndarray,
    query_runs: np.ndarray,
    gallery_runs: np.ndarray,
    length: int,
    fastest: int = FASTEST,
    off_pace: float = OFF_PACE,
) -> np.ndarray:
    """Compute what the best path through each match costs a frame, float32 ``(n, m)``; less is better.

    Args:
        distances: ``(n, m)``, in the order of time; each row is standardized first, so that a frame that is
            far from everything weighs as much as another.
        query_runs: ``(n,)``: a path stays in one run of both.
        gallery_runs: ``(m,)``.
        length: frames that a path is long, about half before and half after the frame.
        fastest: frames of the gallery that it passes a frame of the query, at most; it may stand still.
        off_pace: what a frame off its pace costs, of half a frame, one and two.

    Raises:
        CrossbandError: too short a sequence, or too large a matrix.

    Example:
        >>> distances = np.ones((7, 9)); distances[np.arange(7), np.arange(1, 8)] = 0.5
        >>> distances[3] = 1; distances[3, 8] = 0.4  # a frame that lies
        >>> one_run = np.zeros(7), np.zeros(9)
        >>> int(distances[3].argmin()), int(sequence_costs(distances, *one_run, 5)[3].argmin())
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
    for way, pace in itertools.product((1, -1), PACES):  # along the gallery, and against it
        steps = _steps(fastest, pace, off_pace)
        past, n_past = _paths(costs, query_runs, gallery_runs, before, way, steps)
        future, n_future = _paths(costs[::-1], query_runs[::-1], gallery_runs, after, -way, steps)
        whole = (past + future[::-1] - costs) / (n_past + n_future[::-1] - 1)[:, None]
        found = whole if found is None else np.minimum(found, whole)
    assert found is not None
    return found


def with_evidence(distances: np.ndarray, lists: Reranked, weight: float = 1.0) -> np.ndarray:
    """Lower the distances of what re-ranking found evidence for, ``(n, m)``, each row standardized.

    By the log odds of one place beyond what nothing would give, where there are probabilities; else by the
    score beyond the list's median, in deviations of its scores. Both are weighed as deviations of distances.

    Example:
        >>> none, probable = np.zeros((1, 2)), np.array([[0.9, 0.1]])
        >>> lists = Reranked(np.array([[1, 0]]), none, none, None, probable)
        >>> int(with_evidence(np.array([[1.0, 2.0, 3.0]]), lists)[0].argmin())
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
        gain = np.maximum(beyond, 0) / np.maximum(lists.scores.std(1, keepdims=True), 1e-9)
    rows = np.arange(len(found))[:, None]
    found[rows, lists.columns] -= weight * gain
    return found


def within_a_band(lists: Reranked) -> Reranked:
    """Return lists of the queries' own band, with inliers for scores and without probabilities.

    A probability is of the same view; matches say more of a place that another walk comes by.
    """
    scores = lists.scores if lists.inliers is None else lists.inliers.astype(float)
    return replace(lists, scores=scores, same_place=None)


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
    costs: np.ndarray,
    query_runs: np.ndarray,
    gallery_runs: np.ndarray,
    more: int,
    way: int,
    steps: list[tuple[int, float]],
) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest paths of so many frames more that end at each match, and their frames, ``(n, m)`` and
    ``(n,)``; where a run begins they are shorter."""
    follows = np.zeros(len(costs), bool)
    follows[1:] = query_runs[1:] == query_runs[:-1]
    best, frames = costs, np.ones(len(costs), np.int64)
    shifts = list(_shifts(gallery_runs, way, steps))
    for _ in range(more):
        longer = costs.copy()
        came = np.full_like(best, np.inf)
        for shift, inside, price in shifts:
            moved = np.full_like(best, np.inf)
            if shift > 0:
                moved[:, shift:] = best[:, :-shift]
            elif shift < 0:
                moved[:, :shift] = best[:, -shift:]
            else:
                moved[:] = best
            moved[:, ~inside] = np.inf
            np.minimum(came, moved + np.float32(price), out=came)
        longer[1:][follows[1:]] += came[:-1][follows[1:]]
        count = np.ones(len(costs), np.int64)
        count[1:][follows[1:]] += frames[:-1][follows[1:]]
        best, frames = longer, count
    return best, frames


def _steps(fastest: int, pace: float, off_pace: float) -> list[tuple[int, float]]:
    """Steps along the gallery, each with its price; one that is nearest to the pace has none."""
    off = [abs(step - pace) for step in range(fastest + 1)]
    return [(step, off_pace * (distance - min(off))) for step, distance in enumerate(off)]


def _shifts(
    runs: np.ndarray, way: int, steps: list[tuple[int, float]]
) -> Iterator[tuple[int, np.ndarray, float]]:
    """Steps along the gallery, at which of its items they stay in its run, and their prices."""
    for step, price in steps:
        shift, inside = way * step, np.zeros(len(runs), bool)
        if step >= len(runs):
            continue
        if shift > 0:
            inside[shift:] = runs[shift:] == runs[:-shift]
        elif shift < 0:
            inside[:shift] = runs[:shift] == runs[-shift:]
        else:
            inside[:] = True
        yield shift, inside, price
