"""The verbs on files: logs and views in a manifest, two videos that become pairs, a search of many."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import scan
from crossband.frames import Frames
from crossband.retrieval import Gallery

from ..conftest import blobs


def test_a_scan_joins_a_log(crossband, make_pairs, tmp_path):
    for i, name in enumerate(("1628000000.000", "1628000001.000")):
        root = make_pairs(tmp_path / "set", n=2)
        for band in ("rgb", "tir"):
            (root / band / f"{i:04d}.png").rename(root / band / f"{name}.png")
    for band in ("rgb", "tir"):
        for path in (root / band).glob("0*.png"):
            path.unlink()
    # names of one stem in both bands say nothing of time: the manifest's own column does
    frames = scan(root)
    (tmp_path / "log.csv").write_text("time,lat,lon\n1628000000,46,6\n1628000001,47,7\n")
    assert len(frames) == 2
    done = crossband("data", "scan", root, "--log", tmp_path / "log.csv", "--out", tmp_path / "set" / "f.csv")
    assert done.status == 0, done.err
    assert Frames.read(tmp_path / "set" / "f.csv").table["lat"].tolist() == [46, 47]
    done = crossband("data", "scan", root, "--log", tmp_path / "gone.gpx", "--out", tmp_path / "set" / "f.csv")
    assert (done.status, "--log" in done.err) == (2, True)


@pytest.fixture
def turned(make_pairs, tmp_path):
    """Pairs whose thermal images are upside down."""
    root = make_pairs(tmp_path / "turned", n=6)
    for path in (root / "tir").iterdir():
        pixels = np.asarray(PIL.Image.open(path))
        PIL.Image.fromarray(np.rot90(pixels, 2).copy()).save(path)
    return root


HOG = ("--models", "hog", "--size", "64x64", "--no-misaligned", "--rerank", "0", "--json")


def recalls(text: str) -> list[float]:
    return [run["recall"]["1"] for run in json.loads(text)["runs"]]


@pytest.mark.slow
def test_a_turn_and_a_view_said_once_are_kept_by_manifest_and_gallery(crossband, turned, tmp_path):
    by_option = crossband(
        "benchmark", turned, *HOG, "--turn", "tir=180", "--view", "rgb=0,0,1,0.9", "--out", "a"
    )
    assert by_option.status == 0, by_option.err
    done = crossband("data", "scan", turned, "--turn", "tir=180", "--view", "rgb=0,0,1,0.9")
    assert done.status == 0, done.err
    table = Frames.read(turned / "frames.parquet").table
    assert set(table["turn"]) == {"tir=180"}
    assert set(table["view"]) == {"rgb=0,0,1,0.9"}
    by_manifest = crossband("benchmark", turned, *HOG, "--out", "b")
    assert recalls(by_manifest.out) == recalls(by_option.out)
    index = ("index", turned, "--gallery", "g", "--model", "hog", "--size", "64x64")
    assert crossband(*index).status == 0
    assert "rgb" in str(Gallery.info(tmp_path / "g")["preprocess"])
    found = crossband("search", turned / "tir" / "0003.png", "--band", "tir", "--gallery", "g", "--json")
    mine = [match for match in json.loads(found.out) if match["band"] == "tir"]
    assert mine[0]["frame"] == "0003"
    assert mine[0]["distance"] < 1e-3  # the query is turned as the gallery's images were
    other = crossband(*index, "--turn", "tir=90")
    assert (other.status, "turn" in other.err) == (2, True)


def test_readers_of_frames_turn_what_the_manifest_says(turned):
    from crossband.data.reader import FrameReader

    frames = scan(turned)
    plain = FrameReader(frames).image(0, "tir").pixels
    assert np.array_equal(FrameReader(frames.assign(turn="tir=180")).image(0, "tir").pixels, np.rot90(plain, 2))
    cut = FrameReader(frames.assign(view="tir=0,0,0.5,0.5")).image(0, "tir").pixels
    assert np.array_equal(cut, plain[:24, :32])


def test_many_queries_are_one_search(crossband, gallery, pairs, tmp_path, monkeypatch):
    loads = []
    real = Gallery.open.__func__
    monkeypatch.setattr(Gallery, "open", classmethod(lambda cls, *a: loads.append(1) or real(cls, *a)))
    (tmp_path / "queries").mkdir()
    for i in (1, 4):
        picture = PIL.Image.open(pairs / "rgb" / f"{i:04d}.png")
        picture.save(tmp_path / "queries" / f"q{i}.png")
    (tmp_path / "queries" / "bad.png").write_text("none")
    one = pairs / "rgb" / "0002.png"
    done = crossband(
        "search",
        one,
        "queries",
        "--gallery",
        gallery,
        "-k",
        2,
        "--csv",
        "found.csv",
        "--strip",
        "s.jpg",
        "--json",
    )
    assert done.status == 0, done.err
    rows = json.loads(done.out)
    queries = list(dict.fromkeys(row["query"] for row in rows))
    assert [name.rpartition("/")[2] for name in queries] == ["0002.png", "q1.png", "q4.png"]
    assert [row["rank"] for row in rows] == [1, 2] * 3
    assert [row["frame"] for row in rows if row["rank"] == 1] == ["0002", "0001", "0004"]
    assert len(loads) == 1
    assert done.err.count("left out: ") == 1
    assert "bad.png" in done.err
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert len(lines) == 7
    assert PIL.Image.open(tmp_path / "s.jpg").height > 600


def test_a_folder_without_images_is_no_query(crossband, gallery, tmp_path):
    (tmp_path / "empty").mkdir()
    done = crossband("search", "empty", "--gallery", gallery)
    assert (done.status, "no images in empty" in done.err) == (2, True)


def write_video(path, rate: int, seconds: float, gray: bool) -> None:
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    scenes = [blobs(rng, (64, 48)) for _ in range(int(seconds) + 1)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "gray" if gray else "bgr0"
        for number in range(int(rate * seconds)):
            pixels = (scenes[number // rate] * 255).astype(np.uint8)
            shown = pixels if gray else np.repeat(pixels[..., None], 3, 2)
            frame = av.VideoFrame.from_ndarray(shown, format="gray" if gray else "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_two_videos_become_pairs_by_their_clocks(crossband, tmp_path):
    write_video(tmp_path / "visible.mkv", 10, 4, gray=False)
    write_video(tmp_path / "thermal.mkv", 4, 4, gray=True)
    done = crossband("data", "extract", "visible.mkv", "thermal.mkv", "--seconds", "1", "--out", "rec")
    assert done.status == 0, done.err
    frames = scan(tmp_path / "rec")
    assert len(frames) == 4
    assert frames.table[["rgb", "tir"]].notna().all().all()
    for rgb, tir in zip(frames.paths("rgb"), frames.paths("tir"), strict=True):
        one, other = (np.asarray(PIL.Image.open(path).convert("L"), float) for path in (rgb, tir))
        assert np.abs(one - other).mean() < 3  # the same second of both


def test_what_has_no_clock_takes_no_seconds(crossband, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint16), photometric="minisblack")
    done = crossband("data", "extract", "a.tif", "--seconds", "1", "--out", "rec")
    assert (done.status, "clock" in done.err) == (2, True)
