"""report.html: one file that needs nothing else, shows the tables and the pictures, and trusts no name."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import PIL.Image
import pytest

from crossband.datasets import open_frames
from crossband.frames import Frames
from crossband.papers.rgbt_retrieval import RGBT_RETRIEVAL, published_retrieval
from crossband.retrieval import Benchmark, Options, benchmark
from crossband.retrieval.report import write_report

HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Collects the tags, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory, make_pairs):
    """The report of a faulty set with a hostile frame name, in a folder with a hostile name."""
    root = tmp_path_factory.mktemp("set") / "<b>set"
    plain = open_frames(make_pairs(root, n=6))
    table = plain.table.copy()
    table.loc[0, "frame"] = HOSTILE
    (root / "rgb" / "0003.png").write_text("not an image")
    (root / "tir" / "<i>.png").write_bytes(b"")
    table.loc[5, "tir"] = "tir/<i>.png"
    frames = Frames.make(table, root)
    out = tmp_path_factory.mktemp("out")
    options = Options(size=(64, 64), device="cpu")
    result = benchmark(frames, ["hog", "hog:avg"], store=out / "store", options=options)
    return result, write_report(result, frames, out).read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_asks_nothing_of_any_network(report):
    page = Page(report[1])
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert not {"script", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", report[1])


def test_it_shows_a_table_for_every_direction_with_every_model(report):
    result, text = report
    page = Page(text)
    words = " ".join(page.words)
    assert page.tags.count("table") == 3  # two directions, and the comparisons
    assert "rgb query, tir gallery" in words
    assert "tir query, rgb gallery" in words
    for run in result.runs:
        assert f"{run.recall['1']:.1f}" in words
        assert run.model in words


def test_it_shows_the_strips_as_pictures_that_open(report):
    result, text = report
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(pictures) == len(result.runs)
    for picture in pictures:
        with PIL.Image.open(BytesIO(base64.b64decode(picture))) as image:
            image.load()
            assert image.width > 500


def test_hostile_names_are_text(report):
    text = report[1]
    assert "<script" not in text
    assert "<b>set" not in text
    assert "<i>.png" not in text
    assert "&lt;i&gt;.png" in text


def test_it_says_what_was_left_out_and_how_it_was_measured(report):
    words = " ".join(" ".join(Page(report[1]).words).split())
    assert "Left out" in words
    assert "not an image" in words
    assert "64x64" in words
    assert "ties are ranked pessimistically; search breaks them by gallery order" in words


def test_the_paper_s_row_stands_beside_ours_for_its_own_datasets_only(tmp_path, make_pairs):
    root = make_pairs(tmp_path / "RoadScene", n=3)
    (root / "rgb").rename(root / "crop_LR_visible")
    (root / "tir").rename(root / "cropinfrared")
    frames = open_frames(root)
    options = Options(size=(64, 64), device="cpu")
    result = benchmark(frames, ["hog"], "rgb", "tir", store=tmp_path / "store", options=options)
    forged = type(result)(
        result.protocol,
        [replaced(run, model="squeezenet1_1", size=(320, 320)) for run in result.runs],
        [],
        result.faults,
        result.frames,
    )

    def written(one: Benchmark) -> str:
        path = write_report(one, frames, tmp_path, published=published_retrieval)
        return path.read_text().replace("&#39;", "'")

    assert "the paper's squeezenet1_1" in written(forged)
    assert "the paper's" not in written(result)


def replaced(run, **changes):
    from dataclasses import replace

    return replace(run, **changes)


def test_published_figures_are_those_of_tables_1_and_2():
    road = RGBT_RETRIEVAL["roadscene"]
    assert (road["squeezenet1_1"].recall_1, road["squeezenet1_1"].recall_5) == (96.38, 99.10)
    assert road["squeezenet1_1"].cka == 0.8738
    assert RGBT_RETRIEVAL["llvip"]["alexnet"].recall_1 == 30.67
    assert RGBT_RETRIEVAL["vtuav"]["resnet152"].recall_5 == 89.24
    assert published_retrieval("roadscene", "hog") is None
    assert published_retrieval("own", "squeezenet1_1") is None
