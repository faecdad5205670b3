"""The rows of a gallery: each change all or nothing, kill -9 included, and filters that keep recall."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from crossband.errors import CrossbandError
from crossband.retrieval.gallery_store import METADATA, LanceStore, row_schema

SIZE = 16


def rows(keys: list[str], vectors: np.ndarray | None = None, **known: object) -> pa.Table:
    """A table for a store: what is not given is empty."""
    vectors = np.zeros((len(keys), SIZE), np.float32) if vectors is None else vectors
    schema = row_schema(vectors.shape[1], "float32")
    columns: dict[str, object] = {name: [None] * len(keys) for name in schema.names}
    columns.update(key=keys, frame=keys, band=["tir"] * len(keys), digest=["0"] * len(keys), **known)
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table(columns).cast(schema)


@pytest.fixture
def store(tmp_path) -> LanceStore:
    return LanceStore(tmp_path / "rows.lance", row_schema(SIZE, "float32"))


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
    with pytest.raises(CrossbandError, match="--where 'nowhere = 1' is no condition"):
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


def test_optimising_keeps_the_rows_and_drops_old_versions(store, tmp_path):
    for i in range(12):
        store.upsert(
            rows([f"{i}-{j}" for j in range(50)], np.random.default_rng(i).normal(size=(50, SIZE)).astype("f4"))
        )
    before = sum(1 for path in tmp_path.rglob("*.lance") if path.is_file())
    store.optimise(index=False)
    assert sum(1 for path in tmp_path.rglob("*.lance") if path.is_file()) < before
    assert store.count() == 600
    assert LanceStore(tmp_path / "rows.lance").count() == 600


def test_a_missing_table_is_one_sentence(tmp_path):
    with pytest.raises(CrossbandError, match="no gallery can be opened"):
        LanceStore(tmp_path / "nothing")


def test_two_writers_at_once_both_keep_their_rows(tmp_path):
    uri = tmp_path / "rows.lance"
    LanceStore(uri, row_schema(SIZE, "float32"))

    def write(name: str) -> None:
        mine = LanceStore(uri)
        for i in range(8):
            mine.upsert(rows([f"{name}{i}-{j}" for j in range(5)]))

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    keys = LanceStore(uri).read(["key"])["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 80


@pytest.mark.parametrize("where", [None, "camera = 'rare'"], ids=["all", "one in a hundred"])
def test_the_index_keeps_recall_with_a_filter_that_leaves_one_in_a_hundred(tmp_path, where):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 32))
    vectors = (centres[rng.integers(0, 60, 5000)] + 0.4 * rng.normal(size=(5000, 32))).astype(np.float32)
    camera = np.where(np.arange(5000) % 100 == 0, "rare", "common")
    store = LanceStore(tmp_path / "rows.lance", row_schema(32, "float32"))
    store.upsert(rows([str(i) for i in range(5000)], vectors, camera=camera.tolist()))
    store.optimise(index=True)
    allowed = np.arange(5000) if where is None else np.flatnonzero(camera == "rare")
    recall = []
    for query in (centres[rng.integers(0, 60, 40)] + 0.4 * rng.normal(size=(40, 32))).astype(np.float32):
        found = store.search(query, 10, where)["key"].to_pylist()
        squared = ((vectors[allowed] - query) ** 2).sum(1)
        recall.append(len({int(key) for key in found} & set(allowed[np.argsort(squared)[:10]].tolist())) / 10)
    assert np.mean(recall) >= 0.95


def test_distances_of_the_index_are_squared_euclidean_of_the_whole_vectors(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 32)).astype(np.float32)
    store = LanceStore(tmp_path / "rows.lance", row_schema(32, "float32"))
    store.upsert(rows([str(i) for i in range(600)], vectors))
    store.optimise(index=True)
    found = store.search(vectors[7] + 0.01, 5)
    exact = ((vectors[[int(key) for key in found["key"].to_pylist()]] - vectors[7] - 0.01) ** 2).sum(1)
    np.testing.assert_allclose(found["_distance"].to_numpy(), exact, rtol=1e-4, atol=1e-5)


WRITER = """
    import sys
    from tests.retrieval.test_gallery_store import BATCH, LanceStore, batch

    store = LanceStore(sys.argv[1])
    number = int(sys.argv[2])
    while True:
        # a batch is added, then replaced by its second version, each in one commit
        store.upsert(batch(number, "first"))
        print(number, "first", flush=True)
        store.upsert(batch(number, "second"))
        print(number, "second", flush=True)
        number += 1
"""
BATCH = 9


def batch(number: int, version: str) -> pa.Table:
    keys = [f"{number}-{i}" for i in range(BATCH)]
    return rows(
        keys,
        np.full((BATCH, SIZE), number, np.float32),
        sequence=[str(number)] * BATCH,
        condition=[version] * BATCH,
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_after_kill_9_it_holds_exactly_whole_batches_and_all_acknowledged_ones(tmp_path, seed):
    uri = tmp_path / "rows.lance"
    LanceStore(uri, row_schema(SIZE, "float32")).upsert(batch(0, "second"))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(uri), "1"],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "CROSSBAND_OFFLINE": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(random.Random(seed).uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        said = [line.split() for line in [first, *process.stdout.read().splitlines()] if line.count(" ")]
    finally:
        process.kill()
        process.wait()
    acknowledged = {0: "second"} | {int(number): version for number, version in said}
    store = LanceStore(uri)
    found: dict[int, list[str]] = {}
    for row in store.read(["sequence", "condition"]).to_pylist():
        found.setdefault(int(row["sequence"]), []).append(row["condition"])
    for number, versions in found.items():
        assert versions == [versions[0]] * BATCH, f"batch {number} is torn"
    last = max(acknowledged)
    assert set(acknowledged) <= set(found) <= {*acknowledged, last + 1}  # at most the one in flight besides
    for number, version in acknowledged.items():
        assert found[number][0] in ((version, "second") if number == last else (version,))
    store.upsert(batch(10_000, "first"))  # and it can be written again
    assert store.count() == BATCH * (len(found) + 1)
    assert store.search(np.full(SIZE, 10_000, np.float32), 1)["sequence"].to_pylist() == ["10000"]
