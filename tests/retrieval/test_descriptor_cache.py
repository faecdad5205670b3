"""The descriptor store: what it holds is whole, whoever writes and whatever is killed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.retrieval import descriptor_cache as module
from crossband.retrieval.descriptor_cache import ArrayRows, DescriptorStore


def filled(folder: Path, keys: str, value: float = 0.0) -> DescriptorStore:
    store = DescriptorStore(folder, "model")
    for key in keys:
        store.add(key, np.full(4, ord(key) + value))
    store.flush()
    return store


def test_a_second_opening_sees_the_rows(tmp_path):
    filled(tmp_path, "abc")
    again = DescriptorStore(tmp_path, "model")
    assert len(again) == 3
    assert "b" in again
    assert "z" not in again
    assert again.select(["c", "a"]).rows(0, 2)[:, 0].tolist() == [ord("c"), ord("a")]


def test_rows_that_were_not_flushed_count_already_and_are_on_disk_once_selected(tmp_path):
    store = DescriptorStore(tmp_path, "model")
    store.add("a", np.ones(4))
    assert "a" in store
    assert len(store) == 1
    assert "a" not in DescriptorStore(tmp_path, "model")
    store.select(["a"])
    assert "a" in DescriptorStore(tmp_path, "model")


def test_ways_of_describing_do_not_mix(tmp_path):
    filled(tmp_path, "a")
    assert len(DescriptorStore(tmp_path, "other")) == 0


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold within a minute; a shard is written in a thread."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_a_full_shard_is_written_without_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_BYTES", 3 * 4 * 2)
    store = DescriptorStore(tmp_path, "model")
    for i in range(7):
        store.add(str(i), np.full(4, i))
    assert eventually(lambda: len(DescriptorStore(tmp_path, "model")) == 6)
    assert len(store) == 7
    assert all(str(i) in store for i in range(7))  # also what a thread is still writing


def test_rows_do_not_wait_in_memory_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_SECONDS", 0.0)
    store = DescriptorStore(tmp_path, "model")
    store.add("a", np.ones(4))
    assert eventually(lambda: "a" in DescriptorStore(tmp_path, "model"))


def test_selected_rows_come_from_several_shards_in_the_order_asked(tmp_path):
    for keys in ("abc", "de", "f"):
        filled(tmp_path, keys)
    rows = DescriptorStore(tmp_path, "model").select(list("fadbec"))
    assert rows.shape == (6, 4)
    assert "".join(chr(int(row[0])) for row in rows.rows(0, 6)) == "fadbec"
    assert "".join(chr(int(row[0])) for row in rows.take(np.array([5, 0, 0]))) == "cff"
    assert "".join(chr(int(row[0])) for row in rows.subset(np.array([1, 4])).rows(0, 9)) == "ae"
    assert rows.rows(4, 100).shape == (2, 4)
    assert rows.rows(0, 1).dtype == np.float32


def test_a_key_that_was_never_added_is_an_error(tmp_path):
    with pytest.raises(KeyError):
        filled(tmp_path, "a").select(["b"])


def test_no_keys_are_no_rows(tmp_path):
    assert DescriptorStore(tmp_path, "model").select([]).shape == (0, 0)


def test_numbers_keep_float16_s_precision(tmp_path):
    store = DescriptorStore(tmp_path, "model")
    vector = np.random.default_rng(0).normal(size=100)
    store.add("a", vector)
    np.testing.assert_allclose(store.select(["a"]).rows(0, 1)[0], vector, rtol=2**-11, atol=1e-7)


@pytest.mark.parametrize("value", [70000.0, -1e30, np.inf, np.nan])
def test_numbers_float16_cannot_hold_are_refused(tmp_path, value):
    store = DescriptorStore(tmp_path, "model")
    with pytest.raises(CrossbandError, match="float16"):
        store.add("a", np.array([0.0, value]))
    assert "a" not in store


def test_a_shard_without_its_list_of_keys_does_not_count(tmp_path):
    filled(tmp_path, "ab")
    filled(tmp_path, "cd")
    listings = sorted((tmp_path / "model").glob("*.json"))
    listings[0].unlink()
    assert len(DescriptorStore(tmp_path, "model")) == 2


@pytest.mark.parametrize("length", [0, 5, 100, -3], ids=["empty", "magic", "header", "rows"])
def test_a_truncated_shard_does_not_count(tmp_path, length):
    filled(tmp_path, "ab")
    (shard,) = (tmp_path / "model").glob("*.npy")
    shard.write_bytes(shard.read_bytes()[:length])
    filled(tmp_path, "cd")
    again = DescriptorStore(tmp_path, "model")
    assert ("a" in again, "c" in again) == (False, True)


@pytest.mark.parametrize("content", ["", "[", '["a"]', "[]", "2", '[["a"], ["b"]]', "[" * 100_000])
def test_a_damaged_list_of_keys_does_not_count(tmp_path, content):
    filled(tmp_path, "ab")
    (listing,) = (tmp_path / "model").glob("*.json")
    listing.write_text(content)
    assert len(DescriptorStore(tmp_path, "model")) == 0


def test_nothing_is_unpickled(tmp_path):
    filled(tmp_path, "ab")
    (shard,) = (tmp_path / "model").glob("*.npy")
    np.save(shard, np.array([object(), object()]), allow_pickle=True)
    assert len(DescriptorStore(tmp_path, "model")) == 0


def test_half_written_files_are_invisible(tmp_path):
    filled(tmp_path, "ab")
    (tmp_path / "model" / ".0123").write_bytes(b"half")
    assert len(DescriptorStore(tmp_path, "model")) == 2


def test_a_store_may_have_more_shards_than_a_process_may_open_files(tmp_path):
    keys = [chr(ord("a") + i) for i in range(60)]
    store = DescriptorStore(tmp_path, "model")
    for key in keys:
        store.add(key, np.full(4, ord(key)))
        store.flush()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, before[1]))
    try:
        rows = DescriptorStore(tmp_path, "model").select(keys)
        assert rows.rows(0, 60)[:, 0].tolist() == [ord(key) for key in keys]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES])
def test_a_shard_that_cannot_be_opened_is_not_taken_for_damaged(tmp_path, monkeypatch, code):
    rows = filled(tmp_path, "ab").select(["a"])

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(CrossbandError, match=r"\.npy"):
        DescriptorStore(tmp_path, "model")
    with pytest.raises(CrossbandError, match=r"\.npy"):
        rows.rows(0, 1)


def test_what_killed_runs_left_half_written_is_removed_after_a_day(tmp_path):
    filled(tmp_path, "ab")
    folder = tmp_path / "model"
    old, new, orphan, other = (".0f-1.a.json", ".0f-2.b.npy", "2" * 32 + ".npy", ".nfs0001")
    for name in (old, new, orphan, other):
        (folder / name).write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    for name in (old, orphan, other, *(path.name for path in folder.glob("*.json"))):
        os.utime(folder / name, (yesterday, yesterday))
    assert len(DescriptorStore(tmp_path, "model")) == 2
    assert {name for name in (old, new, orphan, other) if (folder / name).exists()} == {new, other}


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path, monkeypatch):
    store = DescriptorStore(tmp_path, "model")
    store.add("a", np.ones(4))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CrossbandError, match=r"No space left"):
        store.flush()
    assert list((tmp_path / "model").iterdir()) == []


def test_two_stores_open_at_once_both_keep_their_rows(tmp_path):
    first, second = (DescriptorStore(tmp_path, "model") for _ in range(2))
    first.add("a", np.full(4, 1))
    second.add("a", np.full(4, 1))
    second.add("b", np.full(4, 2))
    first.flush()
    second.flush()
    assert DescriptorStore(tmp_path, "model").select(["a", "b"]).rows(0, 2)[:, 0].tolist() == [1, 2]


def add_many(folder: Path, start: int) -> None:
    store = DescriptorStore(folder, "model")
    for i in range(start, start + 30):
        store.add(str(i), np.full(8, i))
        if i % 7 == 0:
            store.flush()
    store.flush()


def test_processes_may_add_to_one_store_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_many, args=(tmp_path, 20 * i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    store = DescriptorStore(tmp_path, "model")
    keys = [str(i) for i in range(90)]
    assert store.select(keys).rows(0, 90)[:, 0].tolist() == list(range(90))


def test_an_array_is_rows_too():
    rows = ArrayRows(np.arange(12).reshape(4, 3))
    assert rows.shape == (4, 3)
    assert rows.take(np.array([3, 0])).tolist() == [[9, 10, 11], [0, 1, 2]]
    assert rows.rows(1, 3).dtype == np.float32
