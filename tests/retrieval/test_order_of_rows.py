"""The order of a manifest's rows, and of a gallery's, changes no figure: only which row is which."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.bands import Band
from crossband.metrics.protocol import Protocol
from crossband.metrics.reid import reid_labels, score_reid
from crossband.retrieval import Gallery, benchmark, embed, fit_descriptor, index
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.search import exact_search

ORDERS = {
    "reversed": np.arange(12)[::-1],
    "shuffled": np.random.default_rng(5).permutation(12),
    "turned": np.roll(np.arange(12), 5),
}
over_orders = pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)


@over_orders
def test_the_vectors_of_frames_are_in_the_order_of_the_frames(tmp_path, pairs, hog, order):
    plain = embed(pairs, hog, ["rgb", "tir"], store=tmp_path / "a")
    moved = embed(pairs.select(order), hog, ["rgb", "tir"], store=tmp_path / "b")
    for band in (Band.RGB, Band.TIR):
        rows = plain.bands[band].pooled.rows(0, 12)
        assert np.array_equal(moved.bands[band].pooled.rows(0, 12), rows[order])


@pytest.mark.slow
@over_orders
def test_a_benchmark_has_the_same_figures(tmp_path, pairs, small, order):
    placed = pairs.assign(place=[f"p{i // 2}" for i in range(12)])
    runs = [
        benchmark(frames, ["hog"], "rgb", "tir", store=tmp_path, options=small, protocol="place").runs[0]
        for frames in (placed, placed.select(order))
    ]
    assert runs[0].recall == runs[1].recall
    assert runs[0].cka == pytest.approx(runs[1].cka, abs=1e-5)
    assert runs[0].n_queries == runs[1].n_queries


@pytest.mark.slow
@over_orders
def test_a_gallery_finds_the_same_frames_at_the_same_distances(tmp_path, pairs, small, order):
    found = []
    for name, frames in (("a", pairs), ("b", pairs.select(order))):
        index(frames, tmp_path / name, "hog", ["tir"], options=small, store=tmp_path / "store")
        gallery = Gallery.open(tmp_path / name)
        matches = gallery.nearest(gallery.describe(pairs.paths("rgb")[4], "rgb"), 12)
        found.append({match.frame: match.distance for match in matches})
    assert found[0].keys() == found[1].keys()
    assert [found[1][name] for name in found[0]] == pytest.approx(list(found[0].values()), abs=1e-3)


@over_orders
def test_a_descriptor_is_fitted_the_same(tmp_path, pairs, hog, order):
    a, b = (fit_descriptor([frames], hog, 4, store=tmp_path).axes for frames in (pairs, pairs.select(order)))
    signs = np.sign((a * b).sum(0))
    np.testing.assert_allclose(a, b * signs, atol=1e-3)


@over_orders
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_exact_search_gives_the_same_neighbors_in_every_dtype(order, dtype):
    rng = np.random.default_rng(0)
    queries, gallery = (rng.integers(-8, 8, (n, 6)).astype(dtype) for n in (5, 12))
    wanted = np.linalg.norm(queries[:, None].astype(float) - gallery[None].astype(float), axis=-1)
    distances, columns = exact_search(ArrayRows(queries), ArrayRows(gallery[order]), 12)
    rows = np.arange(5)[:, None]
    np.testing.assert_allclose(distances, np.sort(wanted, 1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(wanted[rows, order[columns]], np.sort(wanted, 1), atol=1e-9)


@over_orders
def test_re_identification_scores_the_same(pairs, order):
    frames = pairs.assign(identity=[f"v{i % 3}" for i in range(12)], camera=[f"c{i % 4}" for i in range(12)])
    points = np.random.default_rng(1).random((12, 3))
    scores = []
    for rows in (np.arange(12), order):
        query, gallery = reid_labels(frames, frames.select(rows), "same-camera")
        distances = np.linalg.norm(points[:, None] - points[rows][None], axis=-1)
        scores.append(score_reid([(0, distances)], query, gallery, "same-camera").mean_ap)
    assert scores[0] == pytest.approx(scores[1])


@over_orders
def test_the_positives_of_a_protocol_move_with_the_rows(pairs, order):
    placed = pairs.assign(place=[f"p{i // 2}" for i in range(12)])
    protocol = Protocol.parse("place")
    plain, moved = (
        protocol.positives(placed, frames).block(0, 12) for frames in (placed, placed.select(order))
    )
    assert np.array_equal(moved, plain[:, order])
