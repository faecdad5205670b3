"""The explained report: in a browser, on a desk and on a phone, without an error or a request."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from crossband.bands import Band
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.metrics import compare_centroids
from crossband.retrieval import Options, explain
from crossband.retrieval.explain import DistanceCurve, Plane
from crossband.retrieval.figures import DARK, heat_picture, plot_centroids, plot_distances, plot_plane
from crossband.retrieval.report import write_report
from crossband.retrieval.similarity_map import Masks

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


LONG_NAME = "hog@cells:avg5s3+center+center+center+center+center"  # as wide as names get


@pytest.fixture(scope="module")
def explained(tmp_path_factory, make_pairs):
    root = tmp_path_factory.mktemp("pairs")
    frames = open_frames(make_pairs(root, n=8))
    frames = frames.assign(place=["a", "a", "b", "b", "c", "c", "d", "d"])
    options = Options(size=(64, 64), device="cpu")
    out = tmp_path_factory.mktemp("out")
    found = explain(
        frames,
        ["hog", LONG_NAME],
        store=out / "store",
        masks=Masks(16, 16),
        options=options,
        projections=["pca", "tsne"],
        each=2,
    )
    found.write(out)
    return found, frames, write_report(found.result, frames, out, found)


@pytest.mark.slow
def test_the_explanation_holds_every_part(explained):
    found, frames, page = explained
    content = json.loads((page.parent / "explanation.json").read_text())
    for model, plain in zip(found.models, content["models"], strict=True):
        assert len(model.curves) == 2
        assert [len(curve.distances) for curve in model.curves] == [8, 8]
        assert {plane.method for plane in model.planes} == {"pca", "tsne"}
        assert all(plane.points.shape == (16, 2) for plane in model.planes)
        assert model.hubs.counts.sum() == 8
        assert len(model.centroids.places) == 4
        assert model.heats
        assert set(plain["gap"]) == {"raw", "centered"}
        assert plain["gap"]["raw"]["strangers"] > plain["gap"]["raw"]["pairs"]
        assert plain["hubness"]["hub"] in frames.names


@pytest.mark.slow
def test_distances_agree_with_the_ranks_of_the_benchmark(explained):
    found, _, _ = explained
    for model, run in zip(found.models, found.result.runs, strict=True):
        for curve in model.curves:
            (right,) = curve.right
            nearer = (np.delete(curve.distances, right) <= curve.distances[right]).sum()
            assert run.ranks.ranks[curve.row] == curve.rank == nearer + 1


@pytest.mark.slow
def test_the_page_is_whole_and_asks_nothing(explained):
    text = explained[2].read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?://|<script", text)
    assert text.count('<source media="(prefers-color-scheme: dark)"') == text.count("<picture>") >= 8
    for heading in ("What it looks at", "How sure it is", "The gap between the bands", "Places"):
        assert heading in text


# what the page tells of itself once it stands, from inside
PROBE = """<script>addEventListener('load', () => setTimeout(() => {
  const pictures = [...document.images].filter(p => p.checkVisibility());
  const root = document.documentElement, wide = [];
  for (const one of document.querySelectorAll('body *')) {
    let outer = one, scrolls = false;
    while (outer = outer.parentElement) scrolls ||= getComputedStyle(outer).overflowX != 'visible';
    if (!scrolls && one.getBoundingClientRect().right > root.clientWidth + 1) wide.push(one.tagName);
  }
  parent.told = {
    width: innerWidth, sideways: root.scrollWidth - root.clientWidth, wide: wide,
    pictures: pictures.length, empty: pictures.filter(p => !p.complete || !p.naturalWidth || !p.width).length,
    asked: performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length,
    errors: window.errors};
}, 50));</script></body>"""
EARLY = "<head><script>errors = 0; addEventListener('error', () => errors++, true);</script>"
# a headless window is no narrower than 500 pixels; a frame is as wide as it is told
FRAME = """<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>
onload = () => setTimeout(() => document.title = 'probe ' + JSON.stringify(window.told), 400)</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page cannot be opened")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_errors_requests_or_sideways_scrolling(explained, tmp_path, width):
    text = explained[2].read_text(encoding="utf-8")
    probed = text.replace("<head>", EARLY, 1).replace("</body>", PROBE, 1)
    (tmp_path / "page.html").write_text(probed, encoding="utf-8")
    outer = tmp_path / "outer.html"
    outer.write_text(FRAME.format(width=width), encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1400,1000",
        "--allow-file-access-from-files",
        "--virtual-time-budget=5000",
        "--enable-logging=stderr",
        "--v=0",
        "--dump-dom",
        outer.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    told = re.search(r"<title>probe (\{.*?\})</title>", done.stdout)
    assert told, done.stderr[-500:]
    seen = json.loads(told[1].replace("&quot;", '"'))
    assert seen["width"] == width
    assert seen["pictures"] >= 12
    assert seen["empty"] == seen["asked"] == seen["errors"] == 0
    assert seen["sideways"] <= 0
    assert seen["wide"] == []
    assert "CONSOLE" not in done.stderr


@pytest.mark.slow
def test_named_queries_are_drawn_and_unknown_ones_are_one_sentence(explained, tmp_path):
    frames, options = explained[1], Options(size=(64, 64), device="cpu")
    asked = {"store": tmp_path, "options": options, "masks": None, "projections": ()}
    found = explain(frames, ["hog"], queries=["0003"], **asked)
    assert [curve.query for curve in found.models[0].curves] == ["0003"]
    assert found.models[0].heats == []
    with pytest.raises(CrossbandError, match="3003"):
        explain(frames, ["hog"], queries=["3003"], **asked)


def test_a_distance_plot_marks_the_match_and_the_nearest():
    curve = DistanceCurve("q", 0, np.array([1.0, 0.2, 0.6], np.float32), [2], 2)
    (ax,) = plot_distances(curve).axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["its match, rank 2", "nearest: another"]
    assert "nearest: its match" in str(
        [
            t.get_text()
            for t in plot_distances(DistanceCurve("q", 0, curve.distances, [1], 1))
            .axes[0]
            .get_legend()
            .get_texts()
        ]
    )


def test_a_plane_has_a_color_a_place_and_a_shade_a_band():
    plane = Plane(
        "pca", np.random.default_rng(0).random((6, 2)), np.arange(6) < 3, list("abcabc"), list("123123")
    )
    (ax,) = plot_plane(plane, ("rgb", "tir"), DARK).axes
    ours, theirs = ax.collections
    assert np.allclose(ours.get_facecolor()[:, :3], theirs.get_facecolor()[:, :3])
    assert len({tuple(c) for c in ours.get_facecolor()}) == 3
    assert ours.get_alpha() > theirs.get_alpha()


def test_the_centroid_plot_rings_the_nearest():
    found = compare_centroids(np.eye(3), np.eye(3)[[0, 2, 1]], ["a", "b", "c"])
    ax = plot_centroids(found, ("rgb", "tir")).axes[0]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines] == [(0, 0), (2, 1), (1, 2)]
    assert found.score == 1


def test_heat_is_warm_where_the_values_are_and_a_lost_image_is_gray(make_pairs, tmp_path):
    path = make_pairs(tmp_path, n=1) / "tir" / "0000.png"
    values = np.zeros((64, 64), np.float32)
    values[:32, :32] = 1
    pixels = np.asarray(heat_picture(path, Band.TIR, values), float)
    half = pixels.shape[0] // 2 - 6, pixels.shape[1] // 2 - 6
    warm = pixels[: half[0], : half[1]]
    assert (
        (warm[..., 0] - warm[..., 2]).mean()
        > 40
        > abs(pixels[-half[0] :, -half[1] :, 0] - pixels[-half[0] :, -half[1] :, 2]).mean()
    )
    assert heat_picture(tmp_path / "gone.png", Band.RGB, None).getpixel((0, 0)) == (136, 136, 136)
