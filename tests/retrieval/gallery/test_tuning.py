"""Galleries of every dtype, searched exactly, by cells and by codes; what tunes and audits them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from crossband.errors import CrossbandError, DamagedFileError
from crossband.retrieval import Gallery, Options, index, search
from crossband.retrieval.gallery import finder, memory
from crossband.retrieval.gallery.cells import Centers, train_centers
from crossband.retrieval.gallery.coding import CODES, DTYPES, coding_of, stored_dtype
from crossband.retrieval.gallery.lance import row_schema
from crossband.retrieval.gallery.tuning import audit, optimize

N, SIZE = 3000, 48
CPU = Options(size=(64, 64), device="cpu")


def clustered(n: int, seed: int) -> np.ndarray:
    """Unit vectors around 40 points."""
    centers = np.random.default_rng(0).normal(size=(40, SIZE))
    generator = np.random.default_rng(seed)
    vectors = centers[generator.integers(0, 40, n)] + 0.5 * generator.normal(size=(n, SIZE))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = clustered(N, 1), clustered(30, 2)
X = np.random.default_rng(3).random(N)


def put(gallery: Gallery, start: int, stop: int) -> None:
    """Write some of the vectors into a gallery."""
    names = [str(number) for number in range(start, stop)]
    schema = row_schema(SIZE, stored_dtype(gallery.coding.dtype))
    columns: dict[str, object] = {name: [None] * len(names) for name in schema.names}
    columns |= {"key": names, "frame": names, "path": names, "digest": names, "band": ["tir"] * len(names)}
    columns |= {"x": X[start:stop].tolist(), "camera": ["north" if x < 0.3 else "south" for x in X[start:stop]]}
    stored = gallery.coding.stored(VECTORS[start:stop])
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), SIZE)
    gallery.rows.upsert(pa.table(columns, schema=schema))


@pytest.fixture(scope="module")
def galleries(tmp_path_factory, hog) -> dict[str, Gallery]:
    """One of each dtype, with the same rows. Not to be changed."""
    found = {}
    for dtype in DTYPES:
        descriptor = replace(hog, means={}, axes=None)
        found[dtype] = Gallery.create(tmp_path_factory.mktemp("g") / dtype, descriptor, VECTORS, dtype)
        put(found[dtype], 0, N)
    return found


def truth(query: np.ndarray, allowed: np.ndarray | None = None) -> list[str]:
    rows = np.arange(N) if allowed is None else np.flatnonzero(allowed)
    squared = np.square(VECTORS[rows] - query.astype(np.float64)).sum(1)
    return [str(row) for row in rows[np.argsort(squared)[:10]]]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_finds_what_whole_numbers_find(galleries, dtype):
    """The loss of int8 rows, which those of codes are measured again by, is that of their rounding alone."""
    gallery = Gallery.open(galleries[dtype].home.folder, CPU)
    assert gallery.coding.dtype == dtype
    for where, allowed in ((None, None), ("x < 0.3", X < 0.3), ("x < 0.01", X < 0.01)):
        hits = [
            len({match.frame for match in gallery.nearest(query, 10, where)} & set(truth(query, allowed)))
            for query in QUERIES
        ]
        assert np.mean(hits) / 10 >= (1.0 if dtype == "float32" else 0.97), where


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_memory_each_takes_what_it_says(galleries, dtype):
    gallery = galleries[dtype]
    loaded = gallery.finder.loaded()
    vector = {"float32": 4 * SIZE, "float16": 2 * SIZE, "int8": SIZE, "pq": SIZE // 8, "binary": 8}[dtype]
    numbers = (
        loaded.codes
        if dtype in ("pq", "binary")
        else loaded.rows._rows
        if dtype == "int8"
        else loaded.rows._array
    )
    assert numbers.nbytes == N * vector
    assert gallery.coding.in_memory(SIZE) - vector in (8, 512)
    told = Gallery.info(gallery.home.folder)["gb_per_million"]
    assert told["memory"] == pytest.approx(gallery.coding.in_memory(SIZE) / 1000, abs=1e-3)
    assert 0 < told["disk"] < 2


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8", pytest.param("binary", marks=pytest.mark.slow)])
def test_an_index_is_tuned_for_a_recall_and_serves_what_is_large(tmp_path, hog, dtype, monkeypatch):
    gallery = Gallery.create(tmp_path / "g", replace(hog, means={}, axes=None), VECTORS, dtype)
    put(gallery, 0, N - 100)
    done = optimize(tmp_path / "g", index=True, recall=0.95, options=CPU)
    assert done.cells == 53
    assert done.recall >= 0.93  # of queries that it was not chosen by
    assert done.probes < done.cells
    assert Gallery.info(tmp_path / "g")["search"]["probes"] == done.probes
    gallery = Gallery.open(tmp_path / "g", CPU)
    monkeypatch.setattr(finder, "_EXACT_BELOW", 1000)
    assert gallery.finder.way() == ("codes" if dtype == "binary" else "cells")
    put(gallery, N - 100, N)  # rows that came later belong to cells too
    for where, allowed in ((None, None), ("camera = 'north'", X < 0.3), ("x < 0.01", X < 0.01)):
        hits = [
            len({match.frame for match in gallery.nearest(query, 10, where)} & set(truth(query, allowed)))
            for query in QUERIES
        ]
        assert np.mean(hits) / 10 >= 0.93, where
    exact = gallery.nearest(QUERIES[0], 10, exact=True)
    assert [match.rank for match in exact] == list(range(1, 11))


@pytest.mark.slow
def test_the_engine_s_index_is_tuned_for_a_gallery_that_does_not_fit(tmp_path, hog):
    gallery = Gallery.create(tmp_path / "g", replace(hog, means={}, axes=None), VECTORS)
    put(gallery, 0, N)
    done = optimize(tmp_path / "g", index=True, recall=0.95, max_memory=200_000, options=CPU)
    assert done.cells is None
    assert done.recall >= 0.93
    gallery = Gallery.open(tmp_path / "g", CPU)
    assert gallery.finder.way(200_000) == "index"
    found = audit(gallery, ["x < 0.01"], queries=20, max_memory=200_000)
    assert all(one.recall >= 0.93 for one in found.searches)


def test_below_a_million_search_stays_exact_whatever_was_built(galleries):
    assert galleries["float32"].finder.way() == "memory"
    assert galleries["float32"].finder.way(max_memory=100_000) == "disk"
    assert galleries["binary"].finder.way() == "codes"


def test_an_audit_says_recall_and_latency_plain_and_under_conditions(galleries):
    found = audit(galleries["int8"], queries=20)
    assert (found.items, found.queries, found.way) == (N, 20, "memory")
    assert [one.where is None for one in found.searches] == [True, False, False]
    assert [round(one.share, 2) for one in found.searches] == [1.0, 0.3, 0.01]
    assert all(one.recall >= 0.999 and 0 < one.p50_ms <= one.p95_ms for one in found.searches)
    own = audit(galleries["int8"], ["camera = 'south'"], queries=5)
    assert [one.where for one in own.searches] == [None, "camera = 'south'"]
    assert len(own.to_pandas()) == 2
    json.dumps(own.to_dict())


@pytest.mark.parametrize("where", ["camera = 'nowhere'", "color = 'red'"])
def test_an_audit_refuses_a_condition_in_a_sentence(galleries, where):
    with pytest.raises(CrossbandError):
        audit(galleries["float32"], [where], queries=3)


@pytest.mark.parametrize("recall", [0, -1, 1.5, float("nan")])
def test_a_recall_that_is_none_is_refused(galleries, recall):
    with pytest.raises(CrossbandError, match="recall") as caught:
        optimize(galleries["float32"].home.folder, index=True, recall=recall)
    assert caught.value.parameter == "recall"


@pytest.mark.parametrize("content", [None, b"", b"PK", b"\x93NUMPY"])
def test_codes_that_are_missing_or_damaged_are_one_sentence(tmp_path, hog, content):
    Gallery.create(tmp_path / "g", replace(hog, means={}, axes=None), VECTORS[:50], "pq")
    (tmp_path / "g" / CODES).unlink()
    if content is not None:
        (tmp_path / "g" / CODES).write_bytes(content)
    with pytest.raises(DamagedFileError, match="codes"):
        Gallery.open(tmp_path / "g", CPU)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", np.zeros(3).tobytes()])
def test_centers_that_are_none_are_refused(content):
    with pytest.raises(DamagedFileError, match="index"):
        Centers.of_bytes(content, SIZE)


def test_centers_are_read_as_they_were_written():
    centers = train_centers(VECTORS, 20)
    again = Centers.of_bytes(centers.to_bytes(), SIZE)
    np.testing.assert_array_equal(again.points, centers.points)
    squared = np.square(VECTORS[:50, None] - centers.points).sum(2)
    np.testing.assert_array_equal(centers.assign(VECTORS[:50]), squared.argmin(1))


@pytest.mark.slow
@pytest.mark.parametrize("size", [5, 48, 1100])
@pytest.mark.parametrize("dtype", ["pq", "binary"])
def test_codes_of_any_width_order_as_distances_do(size, dtype):
    rows = np.random.default_rng(0).normal(size=(400, size)).astype(np.float32)
    coder = coding_of(dtype, rows).coder
    codes = coder.encode(rows)
    assert codes.shape == (400, coder.width)
    near = coder.estimate(rows[7])(codes)
    assert near.argmin() == 7
    squared = np.square(rows - rows[7]).sum(1)
    assert np.corrcoef(near, squared)[0, 1] > (0.3 if size == 5 else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "pq", "binary"])
def test_images_are_indexed_and_found_with_every_dtype(tmp_path, pairs, small, dtype):
    index(pairs, tmp_path / "g", "hog", ["tir"], options=small, dtype=dtype)
    found = [search(path, tmp_path / "g", 1)[0].frame for path in pairs.paths("rgb")[:4]]
    assert sum(a == b for a, b in zip(found, pairs.names[:4], strict=True)) >= 3
    with pytest.raises(CrossbandError, match=f"made with {dtype}"):
        index(pairs, tmp_path / "g", options=small, dtype="float32")


@pytest.mark.parametrize("few", [20_000, 0])
def test_conditions_that_go_with_places_keep_recall(galleries, monkeypatch, few):
    """Rows of one region, asked for from anywhere: the nearest cells hold none of them."""
    monkeypatch.setattr(memory, "_FEW", few)
    gallery = galleries["float32"]
    centers = train_centers(VECTORS, 50)
    loaded = memory.load(gallery.rows, gallery.coding, centers, 1000)
    assert loaded is not None
    region = np.isin(centers.assign(VECTORS), np.arange(5))
    loaded._masks["x > 0"] = region[loaded.order]
    hits = [
        len(set(loaded.search(query, 10, 4, "x > 0")[0]["key"].to_pylist()) & set(truth(query, region)))
        for query in QUERIES
    ]
    assert np.mean(hits) / 10 >= (1.0 if few else 0.95)
