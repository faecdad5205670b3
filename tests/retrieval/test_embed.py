"""One pass: every usable image once, in order, never again, and killed runs continue."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from crossband.bands import Band
from crossband.data.preprocess import Warp
from crossband.datasets import open_frames
from crossband.datasets.check import check_frames
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.io import read_image
from crossband.retrieval import embed
from crossband.retrieval.descriptor.descriptor import unit_length
from crossband.retrieval.descriptor_cache import ArrayRows, DescriptorStore
from crossband.retrieval.embed import mean_vector


def test_each_vector_is_that_of_its_image_alone(tmp_path, pairs, lite):
    embedding = embed(pairs, lite, ["tir", "rgb"], store=tmp_path)
    assert list(embedding.bands) == [Band.TIR, Band.RGB]
    for band, part in embedding.bands.items():
        assert part.positions.tolist() == list(range(12))
        rows = part.pooled.rows(0, 12)
        for position in (0, 7, 11):
            tensor = lite.preprocess(read_image(pairs.paths(band)[position], band), band)
            alone = lite.pooled(tensor[None]).numpy()[0]
            np.testing.assert_allclose(rows[position], alone, rtol=1e-2, atol=1e-3)


def test_vectors_do_not_depend_on_how_the_work_is_spread(tmp_path, pairs, lite):
    vectors = [
        embed(pairs, lite, ["rgb"], store=tmp_path / str(workers), workers=workers)
        .bands[Band.RGB]
        .pooled.rows(0, 12)
        for workers in (1, 3)
    ]
    np.testing.assert_allclose(*vectors, atol=1e-3)


def test_vectors_do_not_depend_on_the_batch(pairs, lite):
    tensors = torch.stack([lite.preprocess(read_image(path, "rgb"), "rgb") for path in pairs.paths("rgb")])
    one_by_one = torch.cat([lite.pooled(tensor[None]) for tensor in tensors])
    torch.testing.assert_close(lite.pooled(tensors), one_by_one, atol=1e-3, rtol=0)


def test_the_second_run_computes_nothing_and_gives_the_same(tmp_path, pairs, hog):
    first = embed(pairs, hog, store=tmp_path)
    assert first.computed == 36
    assert first.images_per_s
    second = embed(pairs, hog, store=tmp_path)
    assert second.computed == 0
    assert second.images_per_s is None
    for band in Band:
        np.testing.assert_array_equal(
            second.bands[band].pooled.rows(0, 12), first.bands[band].pooled.rows(0, 12)
        )


def test_a_further_frame_costs_its_own_images_only(tmp_path, pairs, hog):
    embed(pairs.select(np.arange(10)), hog, store=tmp_path)
    assert embed(pairs, hog, store=tmp_path).computed == 6


def test_an_image_is_known_by_its_content_not_by_its_name(tmp_path, make_pairs, hog):
    root = make_pairs(tmp_path / "a", n=3)
    embed(open_frames(root), hog, store=tmp_path / "store")
    root.rename(tmp_path / "moved")
    frames = open_frames(tmp_path / "moved")
    assert embed(frames, hog, store=tmp_path / "store").computed == 0
    (tmp_path / "moved" / "rgb" / "0001.png").write_bytes(
        (tmp_path / "moved" / "rgb" / "0000.png").read_bytes()
    )
    again = embed(frames, hog, store=tmp_path / "store")
    assert again.computed == 0
    rows = again.bands[Band.RGB].pooled.rows(0, 3)
    np.testing.assert_array_equal(rows[0], rows[1])


def test_what_changes_the_vector_is_computed_anew(tmp_path, pairs, hog):
    frames = pairs.select(np.arange(2))
    embed(frames, hog, store=tmp_path)
    assert embed(frames, hog.with_warp(Warp(shift=0.1)), store=tmp_path).computed == 6
    assert embed(frames.assign(tir_units="centikelvin"), hog, ["tir"], store=tmp_path).computed == 2


@pytest.fixture
def faulty(tmp_path, make_pairs):
    """Six frames; two images cannot be used and one frame lacks a band."""
    root = make_pairs(tmp_path / "faulty", n=6)
    frames = open_frames(root)
    (root / "rgb" / "0002.png").write_bytes(b"")
    data = (root / "tir" / "0004.png").read_bytes()
    (root / "tir" / "0004.png").write_bytes(data[: len(data) // 2])
    table = frames.table.copy()
    table.loc[5, "tir"] = None
    return type(frames).make(table, frames.root)


def test_faulty_images_are_left_out_and_listed_and_the_others_keep_their_places(tmp_path, faulty, hog):
    embedding = embed(faulty, hog, store=tmp_path / "store")
    assert embedding.bands[Band.RGB].positions.tolist() == [0, 1, 3, 4, 5]
    assert embedding.bands[Band.TIR].positions.tolist() == [0, 1, 2, 3]
    reasons = {fault.path: fault.reason for fault in embedding.faults}
    assert len(reasons) == 2
    assert reasons[str(faulty.root / "rgb" / "0002.png")] == "empty file (0 bytes)"
    assert reasons[str(faulty.root / "tir" / "0004.png")].startswith("truncated")
    assert {fault.path for fault in check_frames(faulty).faults if fault.kind == "unreadable"} == set(reasons)


def test_a_faulty_set_costs_nothing_the_second_time_either(tmp_path, faulty, hog):
    embed(faulty, hog, store=tmp_path / "store")
    again = embed(faulty, hog, store=tmp_path / "store")
    assert again.computed == 0
    assert len(again.faults) == 2


def test_a_band_without_one_usable_image_is_one_sentence(tmp_path, make_pairs, hog):
    frames = open_frames(make_pairs(tmp_path / "a", n=2))
    for path in frames.paths("tir"):
        path.write_text("not an image")
    with pytest.raises(CrossbandError, match=r"0000\.png"):
        embed(frames, hog, store=tmp_path / "store")


def test_pixels_the_normalization_does_not_fit_are_a_fault_of_each_image(tmp_path, pairs, small):
    from dataclasses import replace

    from crossband.retrieval import Descriptor

    kelvin = Descriptor.load("hog", replace(small, normalization={"tir": "kelvin:260:320"}))
    with pytest.raises(CrossbandError, match=r"tir"):
        embed(pairs, kelvin, store=tmp_path)
    assert embed(pairs.assign(tir_units="centikelvin"), kelvin, store=tmp_path).faults == []


def test_the_means_are_those_of_unit_vectors(tmp_path, pairs, hog):
    embedding = embed(pairs, hog, store=tmp_path)
    vectors = unit_length(embedding.bands[Band.TIR].pooled.rows(0, 12))
    np.testing.assert_allclose(embedding.means()[Band.TIR], vectors.mean(0), atol=1e-6)
    np.testing.assert_allclose(mean_vector(ArrayRows(vectors), height=5), vectors.mean(0), atol=1e-6)


def test_final_vectors_are_centered_by_the_frames_own_means(tmp_path, pairs, hog):
    rows = embed(pairs, hog, store=tmp_path).rows("tir")
    np.testing.assert_allclose(np.linalg.norm(rows.rows(0, 12), axis=1), 1, rtol=1e-5)
    assert abs(rows.rows(0, 12).mean(0)).max() < 0.2


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_is_stopped_keeps_what_it_computed(tmp_path, pairs, hog, monkeypatch, stop):
    forward, calls = type(hog.encoder.body).forward, []

    def tire(self, images):
        calls.append(len(images))
        if len(calls) == 8:
            raise stop("enough")
        return forward(self, images)

    monkeypatch.setattr(type(hog.encoder.body), "forward", tire)
    with pytest.raises((stop, CrossbandError)):
        embed(pairs, hog, store=tmp_path, workers=1)
    kept = len(DescriptorStore(tmp_path, hog.fingerprint))
    assert kept >= 4
    assert embed(pairs, hog, store=tmp_path).computed == 36 - kept


SCRIPT = """
    import sys
    from crossband.datasets import open_frames
    from crossband.models.hog import HOG
    from crossband.retrieval import Descriptor, Options, descriptor_cache, embed

    descriptor_cache._SHARD_BYTES = 4 * 128 * 2  # four images per shard
    forward = HOG.forward

    def slowly(self, images):
        import time
        time.sleep(0.05)
        return forward(self, images)

    HOG.forward = slowly
    hog = Descriptor.load("hog", Options(size=(64, 64), device="cpu"))
    print("ready", flush=True)
    embed(open_frames(sys.argv[1]), hog, store=sys.argv[2], workers=1)
"""


@pytest.mark.slow
def test_a_killed_run_continues_without_computing_what_was_on_disk(tmp_path, make_pairs, hog):
    root, folder = make_pairs(tmp_path / "a", n=40), tmp_path / "store"
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(root), str(folder)]
    process = subprocess.Popen(command, env={**os.environ, "CROSSBAND_OFFLINE": "1"})
    try:
        deadline = time.monotonic() + 300
        while len(list(folder.glob("*/[!.]*.json"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    kept = len(DescriptorStore(folder, hog.fingerprint))
    assert 12 <= kept < 80
    embedding = embed(open_frames(root), hog, store=folder)
    assert embedding.computed == 80 - kept
    whole = embed(open_frames(root), hog, store=tmp_path / "fresh")
    for band in embedding.bands:
        np.testing.assert_allclose(
            embedding.bands[band].pooled.rows(0, 40), whole.bands[band].pooled.rows(0, 40), atol=1e-3
        )


def test_only_some_bands_may_be_required(tmp_path, make_pairs, hog):
    frames = open_frames(make_pairs(tmp_path / "pairs", n=3))
    for path in frames.paths("rgb"):
        path.write_bytes(b"")
    assert list(embed(frames, hog, store=tmp_path / "store", required=[Band.TIR]).bands) == [Band.TIR]
    assert list(embed(frames, hog, store=tmp_path / "store", required=False).bands) == [Band.TIR]
    for required in (True, [Band.RGB]):
        with pytest.raises(CrossbandError, match=r"rgb"):
            embed(frames, hog, store=tmp_path / "store", required=required)


def test_a_file_is_read_once_until_it_changes(pairs, hog, tmp_path, monkeypatch):
    module, read = importlib.import_module("crossband.retrieval.embed"), []
    real = module.read_bytes
    monkeypatch.setattr(module, "read_bytes", lambda path: read.append(Path(path)) or real(path))
    monkeypatch.setattr("crossband.io.memo._SETTLED", 0.0)
    root = Path(shutil.copytree(pairs.root, tmp_path / "pairs"))
    frames = Frames(pairs.table, root)
    first = embed(frames, hog, store=tmp_path / "store")
    assert len(read) == len(frames.bands) * len(frames)
    read.clear()
    again = embed(frames, hog, store=tmp_path / "store")
    assert (read, again.computed) == ([], 0)
    for band in first.bands:
        assert again.bands[band].digests == first.bands[band].digests
        assert np.array_equal(again.bands[band].pooled.rows(0, 99), first.bands[band].pooled.rows(0, 99))
    changed = root / frames.table["rgb"][1]
    changed.write_bytes((root / frames.table["rgb"][0]).read_bytes())
    rgb = embed(frames, hog, store=tmp_path / "store").bands[Band.RGB]
    assert rgb.digests[:2] == 2 * first.bands[Band.RGB].digests[:1]
    assert read == [changed]
