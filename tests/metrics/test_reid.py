"""CMC, mAP and mINP against a ranking written out item by item, with ties and with what does not count."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics import reid as module
from crossband.metrics.reid import REID_PROTOCOLS, ReidLabels, reid_labels, score_reid


def some_labels(rng: np.random.Generator, n: int, identities: int, unknown: float = 0.1) -> ReidLabels:
    identity = rng.integers(0, identities, n)
    identity[rng.random(n) < unknown] = -1
    camera, scene = rng.integers(-1, 4, n), rng.integers(-1, 3, n)
    return ReidLabels(identity, camera, scene, np.arange(n))


def drops(protocol: str, q: tuple[int, ...], g: tuple[int, ...]) -> bool:
    """Whether a gallery item (identity, camera, scene, frame) does not count for a query, by the words."""
    same = q[0] == g[0]
    camera, scene, frame = (q[i] == g[i] and q[i] >= 0 for i in (1, 2, 3))
    return (
        same
        and {
            "same-camera": camera,
            "same-scene": scene,
            "rgbnt100": camera or frame,
            "own-frame": frame,
            "all": False,
        }[protocol]
    )


def _reference(distances, queries, gallery, protocol):
    """Rank everything: by distance, the wrong ones first among equals; (first, AP, INP) or None."""
    table = [list(zip(p.identity, p.camera, p.scene, p.frame, strict=True)) for p in (queries, gallery)]
    found = []
    for i, q in enumerate(table[0]):
        ranked = sorted(
            (distances[i, j], q[0] == g[0])
            for j, g in enumerate(table[1])
            if not (q[0] >= 0 and drops(protocol, q, g))
        )
        hits = [rank for rank, (_, right) in enumerate(ranked, 1) if right and q[0] >= 0]
        if not hits:
            found.append(None)
            continue
        precision = [(k + 1) / rank for k, rank in enumerate(hits)]
        found.append((hits[0], sum(precision) / len(precision), len(hits) / hits[-1]))
    return found


@pytest.mark.parametrize("protocol", REID_PROTOCOLS)
@pytest.mark.parametrize("sorted_from", [0, 10**6])  # both ways of counting
def test_scores_are_those_of_a_full_ranking_with_ties_and_junk(protocol, sorted_from, monkeypatch):
    monkeypatch.setattr(module, "_SORTED_FROM", sorted_from)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        queries, gallery = some_labels(rng, 30, 8), some_labels(rng, 90, 10)
        distances = rng.integers(0, 12, (30, 90)).astype(np.float32)  # ties everywhere
        expected = _reference(distances, queries, gallery, protocol)
        blocks = [(0, distances[:7]), (7, distances[7:])]
        scores = score_reid(blocks, queries, gallery, protocol)
        kept = [one for one in expected if one is not None]
        assert scores.kept.tolist() == [one is not None for one in expected]
        assert scores.first[scores.kept].tolist() == [one[0] for one in kept]
        assert abs(scores.mean_ap - 100 * np.mean([one[1] for one in kept])) < 1e-9
        assert abs(scores.mean_inp - 100 * np.mean([one[2] for one in kept])) < 1e-9
        curve = [100 * np.mean([one[0] <= k for one in kept]) for k in range(1, 91)]
        assert np.abs(scores.cmc() - curve).max() < 1e-9
        assert scores.rank(5) == pytest.approx(curve[4], abs=1e-9)


def test_without_ties_average_precision_is_scikit_learns():
    rng = np.random.default_rng(5)
    queries, gallery = some_labels(rng, 20, 5, 0), some_labels(rng, 200, 5, 0)
    distances = rng.random((20, 200))
    scores = score_reid([(0, distances)], queries, gallery, "all")
    expected = [
        average_precision_score(gallery.identity == q, -d)
        for q, d in zip(queries.identity, distances, strict=True)
    ]
    assert np.abs(scores.ap - expected).max() < 1e-9


def test_a_constant_distance_is_worth_nothing_but_what_is_unavoidable():
    labels = ReidLabels(*(np.array([0, 1, 2, 3]),) * 4)
    scores = score_reid([(0, np.zeros((4, 4)))], labels, labels, "all")
    assert scores.first.tolist() == [4] * 4
    assert scores.mean_ap == pytest.approx(25)


def test_what_is_not_a_number_counts_against_the_model():
    rng = np.random.default_rng(0)
    queries, gallery = some_labels(rng, 10, 3, 0), some_labels(rng, 40, 3, 0)
    distances = rng.random((10, 40))
    distances[rng.random((10, 40)) < 0.2] = np.nan
    right = queries.identity[:, None] == gallery.identity[None]
    worst = np.where(np.isnan(distances), np.where(right, np.inf, -np.inf), distances)
    scores, expected = (score_reid([(0, d)], queries, gallery, "all") for d in (distances, worst))
    assert np.array_equal(scores.ap, expected.ap)
    assert not np.isnan(scores.ap).any()


def test_a_gallery_smaller_than_the_largest_rank_ends_at_all_of_it():
    labels = ReidLabels(*(np.array([0, 1]),) * 4)
    scores = score_reid([(0, np.array([[0.0, 1], [0, 1]]))], labels, labels, "all")
    assert scores.rank(1) == 50
    assert scores.rank(10) == scores.rank(2) == 100
    assert len(scores.cmc()) == 2


def test_queries_without_a_right_item_are_dropped_and_counted_by_reason():
    nothing = np.full(4, -1)
    queries = ReidLabels(np.array([0, 1, 9, -1]), np.array([0, 0, 0, 0]), nothing, nothing)
    gallery = ReidLabels(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 0]), nothing, nothing)
    scores = score_reid([(0, np.zeros((4, 4)))], queries, gallery, "same-camera")
    assert scores.kept.tolist() == [True, False, False, False]
    assert (scores.n_without_positive, scores.n_only_junk, scores.n_junk) == (2, 1, 3)
    counts = scores.counts()
    assert counts["n_queries"] == 1
    assert counts["drops"] == "the query's identity in its own camera"


def test_a_part_of_the_queries_scores_as_it_did():
    rng = np.random.default_rng(1)
    queries, gallery = some_labels(rng, 20, 4), some_labels(rng, 50, 4)
    scores = score_reid([(0, rng.random((20, 50)))], queries, gallery, "same-camera")
    mask = np.arange(20) % 2 == 0
    assert scores.select(mask).mean_ap == pytest.approx(100 * np.nanmean(scores.ap[mask]))


def manifest(**columns) -> Frames:
    n = len(next(iter(columns.values())))
    return Frames.make(
        [{"frame": f"f{i}", "rgb": "a.png", **{k: v[i] for k, v in columns.items()}} for i in range(n)], "."
    )


def test_labels_share_their_numbers_and_what_is_empty_is_nobodys():
    queries = manifest(identity=["a", "b", None], camera=["c1", None, "c2"])
    gallery = manifest(identity=["b", "c", "a"], camera=["c2", "c1", None])
    mine, theirs = reid_labels(queries, gallery, "same-camera")
    assert mine.identity[0] == theirs.identity[2]
    assert mine.identity[1] == theirs.identity[0]
    assert mine.identity[2] == -1
    assert mine.camera[1] == -1
    assert theirs.camera[2] == -1
    assert mine.camera[0] == theirs.camera[1]


def test_a_copy_of_a_gallery_image_is_known_by_its_image():
    queries = manifest(identity=["a"], camera=["c1"], image=["0001_c1_3"])
    gallery = manifest(identity=["a", "a"], camera=["c1", "c2"], image=["0001_c1_3", "0001_c2_1"])
    mine, theirs = reid_labels(queries, gallery, "rgbnt100")
    assert (mine.frame[0] == theirs.frame).tolist() == [True, False]


@pytest.mark.parametrize(("protocol", "column"), [("same-camera", "camera"), ("same-scene", "scene")])
def test_a_protocol_says_which_column_it_lacks(protocol, column):
    frames = manifest(identity=["a", "b"])
    with pytest.raises(CrossbandError, match=column):
        reid_labels(frames, frames, protocol)
