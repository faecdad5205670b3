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
from crossband.retrieval.gallery.lance import LanceStore, row_schema

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


def test_optimizing_keeps_the_rows_and_drops_old_versions(store, tmp_path):
    for i in range(12):
        store.upsert(
            rows([f"{i}-{j}" for j in range(50)], np.random.default_rng(i).normal(size=(50, SIZE)).astype("f4"))
        )
    before = sum(1 for path in tmp_path.rglob("*.lance") if path.is_file())
    store.optimize(index=False)
    assert sum(1 for path in tmp_path.rglob("*.lance") if path.is_file()) < before
    assert store.count() == 600
    assert LanceStore(tmp_path / "rows.lance").count() == 600


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


def test_distances_of_the_index_are_squared_euclidean_of_the_whole_vectors(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 32)).astype(np.float32)
    store = LanceStore(tmp_path / "rows.lance", row_schema(32, "float32"))
    store.upsert(rows([str(i) for i in range(600)], vectors))
    store.optimize(index=True)
    found = store.search(vectors[7] + 0.01, 5)
    exact = ((vectors[[int(key) for key in found["key"].to_pylist()]] - vectors[7] - 0.01) ** 2).sum(1)
    np.testing.assert_allclose(found["_distance"].to_numpy(), exact, rtol=1e-4, atol=1e-5)


WRITER = """
    import sys
    from tests.retrieval.gallery.test_lance import BATCH, LanceStore, batch

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


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_after_kill_9_it_holds_exactly_whole_batches_and_all_acknowledged_ones(tmp_path, seed):
    uri = tmp_path / "rows.lance"
    LanceStore(uri, row_schema(SIZE, "float32")).upsert(batch(0, "second"))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(uri), "1"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "CROSSBAND_OFFLINE": "1"},
    )
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


def test_rows_stream_in_bounded_batches_in_their_order(store):
    keys = [str(i) for i in range(95)]
    for start in range(0, 95, 30):
        store.upsert(rows(keys[start : start + 30]))
    batches = list(store.stream(["key"], 20))
    assert max(len(batch) for batch in batches) <= 20
    assert [key for batch in batches for key in batch["key"].to_pylist()] == keys
    assert sum(len(batch) for batch in store.stream(["key"], 20, "key = '7' OR key = '8'")) == 2


SAME_KEYS = """
    import sys, time
    from tests.retrieval.gallery.test_lance import LanceStore, rows

    store = LanceStore(sys.argv[1])
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    for number in range(12):
        time.sleep(max(0, start + 0.15 * number - time.time()))
        store.upsert(rows([f"{number}-{i}" for i in range(20)]))
"""


@pytest.mark.slow
def test_two_processes_that_write_the_same_keys_at_once_write_them_once(tmp_path):
    uri = tmp_path / "rows.lance"
    LanceStore(uri, row_schema(SIZE, "float32"))
    command = [sys.executable, "-c", textwrap.dedent(SAME_KEYS), str(uri)]
    writers = [
        subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=Path(__file__).parents[3]) for _ in "ab"
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    start = time.time() + 0.2
    for writer in writers:
        writer.stdin.write(f"{start}\n")
        writer.stdin.flush()
    assert [writer.wait(120) for writer in writers] == [0, 0]
    keys = LanceStore(uri).read(["key"])["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 240


def _damage(folder: Path, how: str) -> None:
    for path in folder.rglob("data/*.lance"):
        content = path.read_bytes()
        if how == "removed":
            path.unlink()
        else:
            path.write_bytes({"halved": content[: len(content) // 2], "noise": os.urandom(len(content))}[how])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["halved", "noise", "removed"])
@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.count("band = 'tir'"),
        lambda store: store.read(["key"]),
        lambda store: list(store.stream(["key"], 10)),
        lambda store: store.search(np.zeros(SIZE, np.float32), 1),
        lambda store: store.upsert(rows(["a"])),
        lambda store: store.update(rows(["a"]).drop_columns(["vector"])),
        lambda store: store.delete("band = 'tir'"),
        lambda store: store.optimize(index=True),
    ],
    ids=["count", "read", "stream", "search", "upsert", "update", "delete", "optimize"],
)
def test_damaged_rows_are_one_sentence_that_blames_no_condition(store, tmp_path, how, call):
    store.upsert(rows(["a", "b"]))
    _damage(tmp_path, how)
    with pytest.raises(CrossbandError, match=r"rows\.lance") as caught:
        call(LanceStore(tmp_path / "rows.lance"))
    assert "no condition" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["digest", "vector"])
def test_a_table_of_other_columns_is_one_sentence(tmp_path, name):
    schema = row_schema(SIZE, "float32")
    import lancedb

    others = schema.remove(schema.get_field_index(name))
    lancedb.connect(str(tmp_path)).create_table("vectors", schema=others)
    with pytest.raises(CrossbandError, match=r"gallery"):
        LanceStore(tmp_path)


def test_a_commit_that_comes_between_is_tried_again(store, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    left = [RuntimeError("lance error: Commit conflict for version 3")] * 3

    def change() -> str:
        if left:
            raise left.pop()
        return "done"

    assert store._commit(change) == "done"
    left[:] = [RuntimeError("Commit conflict")] * 100
    with pytest.raises(CrossbandError):
        store._commit(change)


def test_int8_rows_refuse_an_index_in_a_sentence(tmp_path):
    store = LanceStore(tmp_path / "rows.lance", row_schema(SIZE, "int8"))
    with pytest.raises(CrossbandError, match="int8"):
        store.optimize(index=True)
    assert not store.indexed()


def test_pydantic_is_as_it_was_when_lancedb_has_come():
    """Its models are built when they are first used, and nobody else's are."""
    code = (
        "import pydantic; call = pydantic.validate_call\n"
        "from crossband.lance_tables import import_lancedb\n"
        "import_lancedb()\n"
        "assert pydantic.validate_call is call\n"
        "assert 'defer_build' not in pydantic.BaseModel.model_config\n"
        "from lance_namespace import CreateNamespaceRequest\n"
        "assert CreateNamespaceRequest(id=['a']).id == ['a']\n"
        "try: CreateNamespaceRequest(id=3)\n"
        "except pydantic.ValidationError: print('checked')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "checked\n", done.stderr
