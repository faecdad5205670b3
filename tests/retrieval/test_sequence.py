"""Neighbors in time are evidence: a path through the matrix of distances, within runs, in both directions."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics.protocol import PositiveMask, Protocol
from crossband.retrieval import benchmark, index, search
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.hubs import NEIGHBORS, without_hubs
from crossband.retrieval.rerank import Reranked
from crossband.retrieval.sequence import ranks_of_costs, runs_of, sequence_costs, with_evidence

ONE = np.zeros


def walk(n: int, m: int, at: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    distances = 1 + rng.normal(0, noise, (n, m))
    distances[np.arange(n), at] -= 0.3
    return distances


def by_enumeration(distances: np.ndarray, length: int, fastest: int) -> np.ndarray:
    """Every path, one by one, of standardized rows."""
    costs = (distances - distances.mean(1, keepdims=True)) / distances.std(1, keepdims=True)
    n, m = costs.shape
    before, after = length // 2, (length - 1) // 2
    found = np.full((n, m), np.inf)
    for row, column in itertools.product(range(n), range(m)):
        back, ahead = min(before, row), min(after, n - 1 - row)
        for way in (1, -1):
            for steps in itertools.product(range(fastest + 1), repeat=back + ahead):
                places = [column]
                for step in steps[:back]:
                    places.insert(0, places[0] - way * step)
                for step in steps[back:]:
                    places.append(places[-1] + way * step)
                if min(places) >= 0 and max(places) < m:
                    total = sum(costs[row - back + i, place] for i, place in enumerate(places))
                    found[row, column] = min(found[row, column], total / len(places))
    return found


@pytest.mark.parametrize("length", [2, 3, 5])
def test_the_program_finds_what_trying_every_path_finds(length):
    distances = np.random.default_rng(length).random((5, 6))
    found = sequence_costs(distances, ONE(5), ONE(6), length, fastest=2, off_pace=0)
    assert found == pytest.approx(by_enumeration(distances, length, 2), abs=1e-4)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_noisy_walk_is_found_by_its_neighbors_whichever_way_it_goes(backwards):
    at = np.arange(60)[::-1] if backwards else np.arange(60)
    distances = walk(60, 60, at, 0.15)
    alone = (distances.argmin(1) == at).mean()
    together = (sequence_costs(distances, ONE(60), ONE(60), 7).argmin(1) == at).mean()
    assert alone < 0.5
    assert together > alone + 0.3


def test_paths_stay_in_their_runs():
    frames = Frames.make([{"frame": f"{i}", "rgb": "a.png", "sequence": "ab"[i // 3]} for i in range(6)], ".")
    assert runs_of(frames).tolist() == [0, 0, 0, 1, 1, 1]
    assert runs_of(frames.select(slice(0, 2))).tolist() == [0, 0]
    distances = np.random.default_rng(0).random((6, 6))
    apart = sequence_costs(distances, np.arange(6), np.arange(6), 5)
    assert apart.argsort(1).tolist() == distances.argsort(1).tolist()


def test_evidence_lowers_what_was_compared_and_nothing_else():
    distances = np.random.default_rng(0).random((2, 8))
    lists = Reranked(np.array([[0, 1], [2, 3]]), np.zeros((2, 2)), np.array([[9.0, 1], [4, 5]]))
    for probable in (None, np.array([[0.99, 0.1], [0.2, 0.2]])):
        told = with_evidence(distances, Reranked(lists.columns, lists.distances, lists.scores, None, probable))
        plain = (distances - distances.mean(1, keepdims=True)) / distances.std(1, keepdims=True)
        assert told[0, 0] < plain[0, 0] - 0.5
        assert told[:, 4:] == pytest.approx(plain[:, 4:], abs=1e-5)
        assert (told <= plain + 1e-5).all()


def test_ranks_count_ties_against_and_leave_the_query_itself_out():
    positives = PositiveMask(np.array([0, 1]), np.array([0, 0, 1, 2]), None)
    costs = np.array([[0.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0, 5.0]])
    assert ranks_of_costs(costs, positives).ranks.tolist() == [1, 3]
    assert ranks_of_costs(costs, positives, np.array([0, -1])).ranks.tolist() == [3, 3]


def test_bad_lengths_and_matrices_are_refused(monkeypatch):
    with pytest.raises(CrossbandError, match="2 frames or more"):
        sequence_costs(np.ones((3, 3)), ONE(3), ONE(3), 1)
    monkeypatch.setattr("crossband.retrieval.sequence._LARGEST", 8)
    with pytest.raises(CrossbandError, match="too many"):
        sequence_costs(np.ones((3, 3)), ONE(3), ONE(3), 3)


def test_a_benchmark_says_both_with_and_without_neighbors(pairs, small, tmp_path):
    found = benchmark(pairs, ["hog"], "rgb", "tir", store=tmp_path, sequence=3, misaligned=False, options=small)
    (run,) = found.runs
    assert run.sequence["length"] == 3
    assert run.sequence["recall"].keys() == run.recall.keys()
    assert "sequence of 3" in found.to_display()
    assert found.to_dict()["protocol"]["sequence"] == 3
    with pytest.raises(CrossbandError, match="sequence"):
        benchmark(pairs, ["hog"], "rgb", "tir", store=tmp_path, sequence=1, options=small)


def test_the_protocol_index_counts_frames_along_each_sequence():
    rows = [{"frame": f"{w}{i}", "rgb": "a.png", "sequence": w} for w in "ab" for i in range(4)]
    frames = Frames.make(rows, ".")
    rule = Protocol.parse("index:1")
    assert str(rule) == "index:1"
    mask = rule.positives(frames.select(slice(0, 4)), frames.select(slice(4, 8))).block(0, 4)
    assert np.array_equal(mask, np.abs(np.subtract.outer(np.arange(4), np.arange(4))) <= 1)
    numbered = frames.assign(index=[0, 10, 20, 30, 0, 10, 20, 30])
    assert (
        rule.positives(numbered, numbered).block(0, 1)[0].tolist()
        == [True] + [False] * 3 + [True] + [False] * 3
    )
    with pytest.raises(CrossbandError):
        Protocol.parse("index:x")


def test_csls_is_its_own_definition_and_pushes_hubs_away():
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(0.6, 1, (30, 8)), rng.normal(size=(40, 8))
    gallery[7] = queries.mean(0)  # near to every query
    queries, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery))
    similar = queries @ gallery.T
    to_gallery = np.sort(similar, 1)[:, -NEIGHBORS:].mean(1, keepdims=True)
    to_queries = np.sort(similar, 0)[-NEIGHBORS:].mean(0, keepdims=True)
    csls = 2 * similar - to_gallery - to_queries
    lifted = without_hubs(ArrayRows(queries.astype(np.float32)), ArrayRows(gallery.astype(np.float32)))
    q, g = (rows.rows(0, rows.shape[0]) for rows in lifted)
    distances = np.linalg.norm(q[:, None] - g[None], axis=2)
    assert np.array_equal(distances.argsort(1), (-csls).argsort(1))
    assert (distances.argmin(1) == 7).mean() < (similar.argmax(1) == 7).mean()


@pytest.mark.slow
def test_a_folder_is_searched_frame_by_frame_and_together(make_pairs, small, tmp_path):
    root = make_pairs(tmp_path / "walk", n=11, bands=("rgb", "tir"))
    for band in ("rgb", "tir"):  # names whose numbers are not of one length
        for path in (root / band).iterdir():
            path.rename(path.with_name(f"f{int(path.stem)}.png"))
    index(open_frames(root), tmp_path / "gallery", "hog", ["tir"], options=small)
    alone = search(root / "rgb", tmp_path / "gallery", 3, options=small)
    assert [Path(name).stem for name in alone.queries] == [f"f{i}" for i in range(11)]
    together = search(root / "rgb", tmp_path / "gallery", 3, sequence=5, options=small)
    right = [
        [found[0].frame == Path(name).stem for name, found in zip(r.queries, r.found, strict=True)]
        for r in (alone, together)
    ]
    assert sum(right[1]) >= sum(right[0])
    assert [match.rank for match in together.found[0]] == [1, 2, 3]
    one = search(root / "rgb" / "f10.png", tmp_path / "gallery", 3, csls=True, options=small)
    assert len(one) == 3
    both = search(
        root / "rgb", tmp_path / "gallery", 2, sequence=3, csls=True, where="frame != 'f3'", options=small
    )
    assert "f3" not in {match.frame for match in both}
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CrossbandError, match="no images"):
        search(empty, tmp_path / "gallery", options=small)
