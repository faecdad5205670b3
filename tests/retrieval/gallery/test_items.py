"""What is read of a gallery for the frames that are added, and int8 rows that are read a few at a time."""

from __future__ import annotations

import numpy as np

from crossband.bands import Band
from crossband.datasets import scan
from crossband.retrieval import Gallery, Options, index
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.gallery import items as module
from crossband.retrieval.gallery.coding import Quantized
from crossband.retrieval.gallery.items import Indexed
from crossband.retrieval.search import exact_search


def test_only_rows_of_the_frames_that_are_added_are_kept(make_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    options = Options(size=(32, 32), device="cpu")
    sets = [scan(make_pairs(tmp_path / name, n=n, seed=n)) for name, n in (("a", 5), ("b", 4))]
    for frames in sets:
        index(frames, tmp_path / "gallery", "hog", options=options)
    rows, bands = Gallery.open(tmp_path / "gallery").rows, [Band.RGB, Band.TIR]
    assert rows.count() == 18
    found = Indexed.of(rows, sets[1].select(slice(2, 4)), bands)
    assert sorted({key.split("|", 1)[1] for key in found.digests}) == [
        "0002|rgb",
        "0002|tir",
        "0003|rgb",
        "0003|tir",
    ]
    assert {name for name, _ in found.by_name} == {"0002", "0003"}  # of both folders: files may have moved
    assert found.compared(sets[1].select(slice(2, 4)), Band.TIR) == ([], [])
    assert not Indexed.of(
        rows, scan(make_pairs(tmp_path / "c", n=2, seed=7)).assign(frame=["x", "y"]), bands
    ).paths


def test_int8_rows_read_a_few_at_a_time_give_what_their_values_do():
    generator = np.random.default_rng(0)
    stored = generator.integers(-127, 128, (300, 24), np.int8)
    rows, values = Quantized(stored, 50.0), stored.astype(np.float32) / np.float32(50)
    rows.at_once = 7
    assert np.allclose(rows.squared_norms, np.square(values).sum(1))
    queries = ArrayRows(generator.normal(0, 1, (5, 24)).astype(np.float32))
    keep = generator.random(300) < 0.5
    for kept in (None, keep):
        ours, theirs = (exact_search(queries, side, 9, keep=kept) for side in (rows, ArrayRows(values)))
        assert np.array_equal(ours[1], theirs[1])
        assert np.allclose(ours[0], theirs[0])
