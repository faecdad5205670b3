"""The fraction of correct matches against its definition, one query after another."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics import fraction_of_correct_matches, match_errors, score_matches
from crossband.metrics.fcm import near_mask, place_index


def walk(n: int, seed: int, **columns) -> Frames:
    spots = np.random.default_rng(seed).uniform(0, 40, (n, 2))
    rows = [{"frame": f"{seed}-{i}", "rgb": "a.png", "x": x, "y": y} for i, (x, y) in enumerate(spots)]
    return Frames.make(rows, ".").assign(**columns) if columns else Frames.make(rows, ".")


def _reference_fcm(rows, queries, gallery, tau) -> float:
    correct = 0
    for query, row in enumerate(rows):
        mine, theirs = queries.table.iloc[query], gallery.table.iloc[row]
        correct += math.hypot(mine.x - theirs.x, mine.y - theirs.y) <= tau
    return 100 * correct / len(rows)


@pytest.mark.parametrize("seed", range(4))
def test_fcm_is_equation_8(seed):
    queries, gallery = walk(30, seed), walk(50, seed + 10)
    rows = np.random.default_rng(seed).integers(0, 50, (30, 5))
    scores = score_matches(rows, queries, gallery, [25, 10, 5, 2])
    for tau in (25, 10, 5, 2):
        assert scores.fcm[tau] == pytest.approx(_reference_fcm(rows[:, 0], queries, gallery, tau))
        low, high = scores.fcm_ci95[tau]
        assert low <= scores.fcm[tau] <= high
    assert list(scores.fcm.values()) == sorted(scores.fcm.values(), reverse=True)


def test_recall_at_1_is_fcm_at_the_same_threshold_and_grows_with_n():
    queries, gallery = walk(30, 0), walk(50, 1)
    rows = np.random.default_rng(2).integers(0, 50, (30, 10))
    scores = score_matches(rows, queries, gallery, [10, 5], recall_threshold=5)
    assert scores.recall[1] == scores.fcm[5]
    assert scores.recall[1] <= scores.recall[5] <= scores.recall[10]


def test_every_query_counts_also_one_with_nothing_near_or_no_position():
    queries = Frames.make(
        [
            {"frame": "a", "rgb": "a.png", "x": 0.0, "y": 0.0},
            {"frame": "far", "rgb": "a.png", "x": 900.0, "y": 0.0},
            {"frame": "lost", "rgb": "a.png", "x": None, "y": None},
            {"frame": "b", "rgb": "a.png", "x": 3.0, "y": 4.0},
        ],
        ".",
    )
    scores = score_matches(np.zeros((4, 1), int), queries, queries.select([0]), [5])
    assert scores.fcm == {5: 50.0}
    assert scores.n_queries == 4


def test_errors_on_the_globe_are_meters():
    frames = Frames.make(
        [{"frame": str(i), "rgb": "a.png", "lat": 60.0 + i * 1e-4, "lon": 24.0} for i in range(2)], "."
    )
    assert match_errors(np.array([[1], [0]]), frames, frames)[:, 0] == pytest.approx([11.12, 11.12], abs=0.01)


def test_index_counts_frames_within_a_sequence_or_follows_the_column():
    frames = walk(6, 0, sequence=["a", "a", "a", "b", "b", "b"])
    assert place_index(frames).tolist() == [0, 1, 2, 0, 1, 2]
    assert match_errors(np.array([[4]]), frames.select([0]), frames, "index").tolist() == [[1.0]]
    assert place_index(walk(2, 0, index=[7, 9])).tolist() == [7, 9]
    near = near_mask(frames, frames, 1, "index").block(0, 1)
    assert near.tolist() == [[True, True, False, True, True, False]]


def test_the_metadata_is_json():
    scores = score_matches(np.array([[0]]), walk(1, 0), walk(1, 0), [0.25, 2])
    assert json.loads(json.dumps(scores.to_json()))["fcm"] == {"0.25": 100.0, "2": 100.0}


def test_what_cannot_be_measured_is_said():
    with pytest.raises(CrossbandError, match="no query"):
        fraction_of_correct_matches(np.zeros(0), [5])
    with pytest.raises(CrossbandError, match="at least one threshold"):
        score_matches(np.array([[0]]), walk(1, 0), walk(1, 0), [])
    with pytest.raises(CrossbandError, match="unknown measure of place 'metrs'; did you mean meters"):
        near_mask(walk(1, 0), walk(1, 0), 5, "metrs")
    bare = Frames.make([{"frame": "a", "rgb": "a.png"}], ".")
    with pytest.raises(CrossbandError, match="needs the columns x and y"):
        near_mask(bare, bare, 5)
