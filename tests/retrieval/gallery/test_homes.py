"""Galleries anywhere: in a folder, on a real S3 server, on a real Milvus server, by their addresses alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.retrieval import Gallery, index, search
from crossband.retrieval.gallery import finder
from crossband.retrieval.gallery.homes import home_of
from crossband.retrieval.gallery.lance import LanceFiles, LanceStore, row_schema
from crossband.retrieval.gallery.tuning import audit, optimize
from crossband.server.galleries import open_galleries
from crossband.server.settings import named_galleries
from tests.retrieval.gallery.test_lance import BATCH, SIZE, WRITER, batch

ROOT = Path(__file__).parents[3]
INDEX = """
    import sys
    from crossband.datasets import open_frames
    from crossband.retrieval import Options, index

    index(open_frames(sys.argv[1]), sys.argv[2], "hog", ["tir"], options=Options(size=(64, 64), device="cpu"))
"""


@pytest.fixture
def prefix(bucket, request) -> str:
    """An address of its own in the bucket."""
    return f"{bucket}/{request.node.name.partition('[')[0]}/{time.time_ns()}"


@pytest.fixture(params=["s3", pytest.param("milvus", marks=pytest.mark.slow)])
def address(request) -> str:
    """Where nothing is yet."""
    if request.param == "s3":
        return request.getfixturevalue("prefix")
    return f"{request.getfixturevalue('server')}/t{time.time_ns()}"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSBAND_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "address",
    [
        "s3://",
        "s3:///prefix",
        "ftp://host/g",
        "s3://bucket//g",
        "http://host:1/g",
        "milvus://host/g",
        "s3://b/g?x",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_opened(address):
    with pytest.raises(CrossbandError, match="is no address of a gallery") as caught:
        home_of(address)
    assert caught.value.parameter == "gallery"


def test_an_address_that_names_a_folder_stays_one(tmp_path):
    assert home_of(str(tmp_path)).folder == home_of(tmp_path).folder == tmp_path
    assert home_of("s3:/bucket").folder == Path("s3:/bucket")  # one slash: a folder of an odd name


@pytest.mark.slow
def test_a_gallery_elsewhere_finds_what_one_in_a_folder_finds(address, tmp_path, pairs, small):
    described = pairs.assign(camera=["north", "south"] * 6)
    for where in (tmp_path / "g", address):
        added = index(described, where, "hog", ["tir"], options=small, store=tmp_path / "store")
        assert (added.added, added.faults) == (12, [])
    image = pairs.paths("rgb")[3]
    for where in (None, "camera = 'south'"):
        here, there = (search(image, gallery, 5, where=where) for gallery in (tmp_path / "g", address))
        assert [match.frame for match in here] == [match.frame for match in there]
        assert [m.distance for m in here] == pytest.approx([m.distance for m in there], abs=1e-5)
    there, here = Gallery.info(address), Gallery.info(tmp_path / "g")
    assert {**there, "gb_per_million": 0} == {**here, "gb_per_million": 0}
    again = index(described, address, bands=["tir", "nir"], store=tmp_path / "store")
    assert (again.added, again.unchanged) == (12, 12)
    assert Gallery.info(address)["bands"] == {"nir": 12, "tir": 12}
    rows = Gallery.open_rows(address)
    rows.optimize(index=False)
    assert rows.delete("band = 'nir'") == rows.count() == 12
    with pytest.raises(CrossbandError, match="holds a gallery already"):
        Gallery.create(address, Gallery.open(address).descriptor, np.zeros((1, rows.size), np.float32))


@pytest.mark.slow
def test_a_gallery_is_copied_and_a_copy_that_was_stopped_is_completed(address, tmp_path, pairs, small):
    index(pairs, tmp_path / "g", "hog", ["tir"], options=small, store=tmp_path / "store")
    assert Gallery.copy(tmp_path / "g", address) == 12
    Gallery.open_rows(address).delete("frame > '0003'")
    assert Gallery.copy(tmp_path / "g", address) == 12
    keys = [Gallery.open_rows(where).read(["key"])["key"].to_pylist() for where in (tmp_path / "g", address)]
    assert sorted(keys[0]) == sorted(keys[1])
    index(pairs, tmp_path / "other", "hog", ["nir"], options=small)
    descriptor = Gallery.open(tmp_path / "other").descriptor
    assert search(pairs.paths("rgb")[0], address, 1)[0].frame == pairs.names[0]
    assert descriptor.name == Gallery.info(address)["model"]


@pytest.mark.slow
def test_codes_and_their_index_live_where_the_rows_do(prefix, tmp_path, pairs, small, monkeypatch):
    index(pairs, prefix, "hog", ["tir"], options=small, dtype="binary", store=tmp_path / "store")
    assert optimize(prefix, index=True).cells == 3
    monkeypatch.setattr(finder, "_EXACT_BELOW", 10)
    assert search(pairs.paths("rgb")[3], prefix, 1)[0].frame == pairs.names[3]
    assert audit(prefix, queries=3).way == "codes"
    assert Gallery.info(prefix)["gb_per_million"]["disk"] is None


@pytest.mark.slow
def test_a_server_serves_what_addresses_name(prefix, tmp_path, pairs, small):
    index(pairs, tmp_path / "north", "hog", ["tir"], options=small)
    Gallery.copy(tmp_path / "north", f"{prefix}/north")
    named = named_galleries([str(tmp_path / "north"), f"{prefix}/north"])
    served = open_galleries(named, None, 1 << 30, "cpu")  # type: ignore[arg-type]
    assert [gallery.info()["items"] for gallery in served.values()] == [12, 12]
    assert list(served) == ["north", "north-2"]


@pytest.mark.slow
def test_a_copy_does_not_mix_two_galleries(prefix, tmp_path, pairs, small):
    index(pairs, tmp_path / "a", "hog", ["tir"], options=small)
    index(pairs.select(np.arange(6)), tmp_path / "b", "hog", ["tir"], options=small)
    Gallery.copy(tmp_path / "a", prefix)
    with pytest.raises(CrossbandError, match="holds a gallery already"):
        Gallery.copy(tmp_path / "b", prefix)


def test_where_no_gallery_is_one_sentence_says_so(prefix):
    for call in (Gallery.open, Gallery.open_rows, Gallery.info):
        with pytest.raises(CrossbandError, match=f"no gallery at {prefix}"):
            call(prefix)


def test_local_features_elsewhere_are_refused(prefix, pairs, small):
    with pytest.raises(CrossbandError, match="kept in folders alone"):
        index(pairs, prefix, "hog", ["tir"], options=small, local=True)


@pytest.mark.slow
def test_of_many_that_claim_an_address_at_once_one_succeeds(prefix):
    won: list[int] = []

    def claim(number: int) -> None:
        if LanceFiles(prefix).claim({"a": bytes([number]), "b": bytes([number])}):
            won.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(won) == 1
    files = LanceFiles(prefix)
    assert files.read_file("a") == files.read_file("b") == bytes(won)
    assert files.read_file("c") is None


def test_rows_whose_maker_was_killed_before_he_made_them_are_made(prefix, tmp_path, pairs, small):
    index(pairs, tmp_path / "g", "hog", ["tir"], options=small)
    home = home_of(tmp_path / "g")
    metadata = json.loads(home.read_file("gallery.json") or b"")
    LanceFiles(prefix).claim(
        {name: home.read_file(name) or b"" for name in ("descriptor.safetensors", "gallery.json")}
    )
    assert len(Gallery.open(prefix)) == 0
    assert Gallery.open_rows(prefix).size == metadata["size"]


@pytest.mark.slow
def test_two_machines_that_index_the_same_frames_at_once_add_them_once(prefix, tmp_path, pairs: Frames):
    """Each has a cache of its own, so nothing of this machine keeps them apart."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(INDEX), str(pairs.root), prefix],
            cwd=ROOT,
            env={**os.environ, "CROSSBAND_CACHE": str(tmp_path / name)},
        )
        for name in "ab"
    ]
    assert [run.wait(240) for run in runs] == [0, 0]
    keys = Gallery.open_rows(prefix).read(["key"])["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 12
    assert search(pairs.paths("rgb")[3], prefix, 1)[0].frame == pairs.names[3]


@pytest.mark.slow
def test_two_writers_of_the_same_keys_on_s3_write_them_once(prefix):
    LanceStore(prefix, row_schema(SIZE, "float32"))

    def write() -> None:
        mine = LanceStore(prefix)
        for number in range(6):
            mine.upsert(batch(number, "first"))

    threads = [threading.Thread(target=write) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    keys = LanceStore(prefix).read(["key"])["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 6 * BATCH


@pytest.mark.slow
def test_after_kill_9_s3_holds_whole_batches_and_all_acknowledged_ones(prefix):
    LanceStore(prefix, row_schema(SIZE, "float32")).upsert(batch(0, "second"))
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), prefix, "1"], stdout=-1, text=True, cwd=ROOT
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(5)]
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.read().splitlines()
    writer.wait()
    acknowledged = {0, *(int(line.split()[0]) for line in said if line.count(" "))}
    found: dict[int, list[str]] = {}
    for row in LanceStore(prefix).read(["sequence", "condition"]).to_pylist():
        found.setdefault(int(row["sequence"]), []).append(row["condition"])
    assert acknowledged <= set(found) <= {*acknowledged, max(acknowledged) + 1}
    assert all(versions == [versions[0]] * BATCH for versions in found.values())
    LanceStore(prefix).upsert(batch(10_000, "first"))  # and it can be written again
