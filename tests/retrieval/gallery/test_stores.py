"""Every engine that keeps a gallery's rows: the same keys, conditions, order and results."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest

from crossband.errors import CrossbandError
from crossband.retrieval.gallery.lance import METADATA, GalleryStore, LanceStore, row_schema
from crossband.retrieval.gallery.milvus import MilvusStore
from crossband.retrieval.gallery.milvus_files import MilvusFiles, milvus_address
from tests.retrieval.gallery.test_lance import SIZE, rows

Make = Callable[[int], GalleryStore]


ENGINES = ["lance", *(pytest.param(name, marks=pytest.mark.slow) for name in ("s3", "milvus"))]


@pytest.fixture(params=ENGINES)
def make(request, tmp_path) -> Make:
    """Make an empty store with vectors of some size."""
    if request.param == "lance":
        return lambda size: LanceStore(tmp_path / "rows.lance", row_schema(size, "float32"))
    if request.param == "s3":
        there = f"{request.getfixturevalue('bucket')}/{time.time_ns()}"
        return lambda size: LanceStore(there, row_schema(size, "float32"))
    address = f"{request.getfixturevalue('server')}/t{time.time_ns()}"
    return lambda size: MilvusStore(address, row_schema(size, "float32"))


@pytest.fixture(scope="module")
def collection(server) -> MilvusStore:
    """One collection for many tests: making one takes seconds."""
    return MilvusStore(f"{server}/t{time.time_ns()}", row_schema(SIZE, "float32"))


@pytest.fixture(params=ENGINES)
def store(request, tmp_path) -> GalleryStore:
    """An empty store."""
    if request.param == "lance":
        return LanceStore(tmp_path / "rows.lance", row_schema(SIZE, "float32"))
    if request.param == "s3":
        return LanceStore(f"{request.getfixturevalue('bucket')}/{time.time_ns()}", row_schema(SIZE, "float32"))
    found = request.getfixturevalue("collection")
    found.delete("key >= ''")
    return found


def test_a_search_is_exact_row_by_row_before_any_index(store):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, SIZE)).astype(np.float32)
    x = rng.normal(size=300)
    store.upsert(rows([str(i) for i in range(300)], vectors, x=x.tolist()))
    query = rng.normal(size=SIZE).astype(np.float32)
    squared = ((vectors.astype(np.float64) - query) ** 2).sum(1)
    for where, allowed in ((None, np.arange(300)), ("x > 1", np.flatnonzero(x > 1))):
        nearest = allowed[np.argsort(squared[allowed])[:10]]
        found = store.search(query, 10, where)
        assert [int(key) for key in found["key"].to_pylist()] == nearest.tolist()
        np.testing.assert_allclose(found["_distance"].to_numpy(), squared[nearest], rtol=1e-4)


def test_a_stream_gives_what_a_read_gives(store):
    keys = [f"k{i}" for i in range(25)]
    store.upsert(rows(keys, x=[float(i) for i in range(25)]))
    parts = list(store.stream(["key", "x", "vector"], 10, "x >= 3"))
    assert max(map(len, parts)) <= 10
    assert (
        pa.concat_tables(parts)["key"].to_pylist()
        == keys[3:]
        == store.read(["key"], "x >= 3")["key"].to_pylist()
    )


def test_rows_are_taken_by_their_numbers_in_any_order(store):
    keys = [f"k{i}" for i in range(12)]
    store.upsert(rows(keys[:7], x=[float(i) for i in range(7)]))
    store.upsert(rows(keys[7:], x=[float(i) for i in range(7, 12)]))
    found = store.take(np.array([9, 0, 11, 5]), ["key", "x"])
    assert found.to_pydict() == {"key": ["k9", "k0", "k11", "k5"], "x": [9.0, 0.0, 11.0, 5.0]}


def test_what_replaces_a_row_is_counted_apart_from_what_is_new(store):
    assert store.upsert(rows(["a", "b"])) == (2, 0)
    assert store.upsert(rows(["b", "c"])) == (1, 1)


def test_conditions_mean_the_same_to_every_engine(store):
    """A sample of the grammar; that SQL's meaning is kept is tested against SQLite."""
    store.upsert(rows(["a", "b", "c", "d"], camera=["north", "it's", None, ""], x=[1.0, None, -2.5, 0.0]))
    wanted = {
        "camera = 'north'": "a",
        "camera != 'north'": "bd",
        "NOT (camera = 'north' OR x > 0)": "d",
        "camera IS NULL": "c",
        "x IS NOT NULL AND x < 1": "cd",
        "camera IN ('it''s', '') ": "bd",
        "camera NOT IN ('north')": "bd",
        "x BETWEEN -3 AND 0": "cd",
        "camera LIKE 'no%'": "a",
        "camera NOT LIKE 'no%'": "bd",
        "key >= 'c'": "cd",
    }
    found = {where: "".join(sorted(store.read(["key"], where)["key"].to_pylist())) for where in wanted}
    assert found == wanted


def test_addresses_of_milvus_are_checked_before_anything_is_sent():
    for address in ("milvus://host/name", "milvus://host:19530/", "milvus://host:19530/a b", "http://host:1/x"):
        with pytest.raises(CrossbandError, match="milvus://HOST:PORT/NAME"):
            milvus_address(address)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_sentence():
    pytest.importorskip("pymilvus", reason="the client of Milvus")
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    with pytest.raises(CrossbandError, match="Milvus at milvus://127"):
        MilvusStore(f"milvus://127.0.0.1:{port}/rows", row_schema(SIZE, "float32"))


@pytest.mark.slow
def test_files_of_any_size_are_kept_beside_the_rows_on_milvus(server):
    store = MilvusFiles(f"{server}/files{time.time_ns()}")
    assert store.read_file("gallery.json") is None
    for data in (bytes(range(256)) * 700, b"short", b""):
        store.write_file("gallery.json", data)
        assert store.read_file("gallery.json") == data


def test_rows_come_back_in_the_order_of_insertion_whatever_their_number(store):
    keys = [f"k{i:04d}" for i in np.random.default_rng(0).permutation(1500)]
    for start in range(0, 1500, 500):
        store.upsert(rows(keys[start : start + 500]))
    assert store.read(["key"])["key"].to_pylist() == keys
    assert store.count() == 1500


def test_upsert_replaces_by_key_and_appends_the_rest(store):
    store.upsert(rows(["a", "b"]))
    store.upsert(rows(["b", "c"], camera=["north", "north"]))
    found = store.read(["key", "camera"]).to_pylist()
    assert {row["key"]: row["camera"] for row in found} == {"a": None, "b": "north", "c": "north"}
    assert store.count("camera = 'north'") == 2


def test_delete_tells_how_many_went(store):
    store.upsert(rows(["a", "b", "c"], x=[1.0, 2.0, 3.0]))
    assert store.delete("x >= 2") == 2
    assert store.count() == 1


def test_a_condition_may_use_all_metadata(store):
    store.upsert(rows(["a"], x=[1.0], lat=[46.5], camera=["o'clock"]))
    for name, kind in METADATA.items():
        assert store.count(f"{name} IS NULL") == int(name not in ("x", "lat", "camera")), (name, kind)
    assert store.count("camera = 'o''clock' AND lat BETWEEN 46 AND 47") == 1


@pytest.mark.parametrize("call", ["count", "delete", "read", "search"])
def test_a_condition_that_cannot_be_read_is_one_sentence(store, call):
    store.upsert(rows(["a"]))
    calls = {
        "count": lambda: store.count("nowhere = 1"),
        "delete": lambda: store.delete("nowhere = 1"),
        "read": lambda: store.read(["key"], "nowhere = 1"),
        "search": lambda: store.search(np.zeros(SIZE, np.float32), 1, "nowhere = 1"),
    }
    with pytest.raises(CrossbandError, match="nowhere = 1"):
        calls[call]()
    assert store.count() == 1


def test_the_version_changes_with_the_rows_only(store):
    store.upsert(rows(["a"]))
    before = store.version()
    store.read(["key"])
    store.count()
    assert store.version() == before
    store.delete("key = 'a'")
    assert store.version() != before


@pytest.mark.slow
@pytest.mark.parametrize("where", [None, "camera = 'rare'"], ids=["all", "one in a hundred"])
def test_an_engine_keeps_recall_with_a_filter_that_leaves_one_in_a_hundred(make, where):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(60, 32))
    vectors = (centers[rng.integers(0, 60, 5000)] + 0.4 * rng.normal(size=(5000, 32))).astype(np.float32)
    camera = np.where(np.arange(5000) % 100 == 0, "rare", "common")
    store = make(32)
    store.upsert(rows([str(i) for i in range(5000)], vectors, camera=camera.tolist()))
    with suppress(CrossbandError):  # an engine without an index searches exactly
        store.optimize(index=True)
    allowed = np.arange(5000) if where is None else np.flatnonzero(camera == "rare")
    recall = []
    for query in (centers[rng.integers(0, 60, 40)] + 0.4 * rng.normal(size=(40, 32))).astype(np.float32):
        found = store.search(query, 10, where)["key"].to_pylist()
        squared = ((vectors[allowed] - query) ** 2).sum(1)
        recall.append(len({int(key) for key in found} & set(allowed[np.argsort(squared)[:10]].tolist())) / 10)
    assert np.mean(recall) >= 0.95


@pytest.mark.parametrize(
    "where",
    [
        "frame = 'a'; AND band = 'rgb'",
        "frame = 'a' AN band = 'rgb'",
        "frame = 'a' 'b' band = 'rgb'",
        "frame = 'a') OR (band = 'tir'",
        "frame = 'a' /* AND band = 'rgb'",
        "frame = $$a$$",
        "",
    ],
)
@pytest.mark.parametrize("call", ["count", "delete", "read", "search"])
def test_a_condition_is_read_to_its_end_or_refused(store, where, call):
    """The engine alone reads up to where it stops making sense and deletes by that."""
    store.upsert(rows(["a", "b"]))
    calls = {
        "count": lambda: store.count(where),
        "delete": lambda: store.delete(where),
        "read": lambda: store.read(["key"], where),
        "search": lambda: store.search(np.zeros(SIZE, np.float32), 1, where),
    }
    with pytest.raises(CrossbandError, match="is no condition on") as caught:
        calls[call]()
    assert caught.value.parameter == "where"
    assert store.count() == 2


@pytest.mark.parametrize(
    "where", ["camera = 'a;b'", "camera = 'a)b'", "camera LIKE 'a;%' -- all of them", "(camera = 'a;b')"]
)
def test_quoted_signs_and_comments_are_no_fault_of_a_condition(store, where):
    store.upsert(rows(["a", "b", "c"], camera=["a;b", "a)b", None]))
    assert store.count(where) == store.delete(where) == 1


def test_an_update_sets_its_columns_and_keeps_the_vectors(store):
    vectors = np.random.default_rng(0).normal(size=(3, SIZE)).astype(np.float32)
    store.upsert(rows(["a", "b", "c"], vectors))
    store.update(rows(["c", "a", "unknown"], camera=["north"] * 3).drop_columns(["vector"]))
    found = {row["key"]: row for row in store.read(["key", "camera", "vector"]).to_pylist()}
    assert {key: row["camera"] for key, row in found.items()} == {"a": "north", "b": None, "c": "north"}
    for key, vector in zip("abc", vectors, strict=True):
        np.testing.assert_array_equal(np.array(found[key]["vector"], np.float32), vector)
