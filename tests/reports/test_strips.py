"""Strips: tiles keep the shape of their pictures, mark what is right, and survive images that are gone."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.io import Image
from crossband.reports.strips import Tile, strip, thumbnail
from crossband.retrieval.gallery import Match
from crossband.retrieval.search_result import SearchResult

GREEN, RED = (26, 152, 80), (215, 48, 39)


def colors(picture: PIL.Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()}


def test_a_thumbnail_keeps_the_shape_and_fits_the_size():
    picture = thumbnail(Image(np.zeros((100, 400, 3), np.uint8)), Band.RGB, (240, 180))
    assert picture.mode == "RGB"
    assert picture.size == (240, 60)


def test_a_thermal_thumbnail_is_stretched_whatever_its_depth():
    ramp = np.linspace(29000, 29100, 64 * 48).reshape(48, 64)
    for pixels in (ramp.astype(np.uint16), ramp.astype(np.float32), (ramp - 29000).astype(np.uint8)):
        gray = np.asarray(thumbnail(Image(pixels), Band.TIR))
        assert gray.min() == 0
        assert gray.max() == 255


def test_an_8_bit_photograph_is_shown_as_it_is():
    pixels = np.full((48, 64, 3), (10, 200, 30), np.uint8)
    assert colors(thumbnail(Image(pixels), Band.RGB)) == {(10, 200, 30)}


@pytest.mark.slow
def test_right_is_green_and_wrong_is_red(tmp_path, make_pairs):
    path = make_pairs(tmp_path, n=1) / "rgb" / "0000.png"
    assert GREEN in colors(strip([[Tile(path, "rgb", "a", right=True)]]))
    assert RED in colors(strip([[Tile(path, "rgb", "a", right=False)]]))
    assert not {GREEN, RED} & colors(strip([[Tile(path, "rgb", "a")]]))


def test_rows_of_unequal_length_make_one_sheet(tmp_path):
    gone = Tile(tmp_path / "gone.png", "rgb", "gone")
    one, many = strip([[gone]]), strip([[gone], [gone] * 5])
    assert many.width > one.width
    assert many.height > one.height


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_an_image_that_is_gone_or_damaged_is_a_gray_tile(tmp_path, content):
    if content is not None:
        (tmp_path / "x.png").write_bytes(content)
    assert (236, 238, 241) in colors(strip([[Tile(tmp_path / "x.png", "tir", "x")]]))


def test_a_word_in_the_corner_covers_nothing_else():
    pixels = np.full((180, 240), 80, np.uint8)
    plain, named = (np.asarray(strip([[Tile(Image(pixels), "rgb", "x", corner=word)]])) for word in ("", "tir"))
    rows, columns = np.nonzero((plain != named).any(-1))
    assert len(rows)
    assert rows.max() < 40
    assert columns.max() < 60


@pytest.mark.slow
def test_long_and_foreign_names_do_not_break_it(tmp_path):
    names = ["x" * 500, "Straße über Zürich 夜", "<script>", "\n"]
    strip([[Tile(tmp_path / "gone.png", "rgb", name, name) for name in names]])


@pytest.mark.parametrize("name", ["strip.jpg", "strip.png", "deep/folder/strip.png"])
def test_matches_are_written_by_the_name(tmp_path, make_pairs, name):
    root = make_pairs(tmp_path / "a", n=2)
    matches = [Match(1, "0000", "tir", str(root / "tir" / "0000.png"), 0.5, {})]
    query = root / "rgb" / "0000.png"
    path = SearchResult([str(query)], "rgb", [matches], [query]).save_strip(tmp_path / name)
    with PIL.Image.open(path) as picture:
        assert picture.width > 480


@pytest.mark.parametrize("name", ["strip", "strip.txt", "file/strip.png"])
def test_a_strip_that_cannot_be_written_is_one_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(CrossbandError, match=r"cannot write .*\.jpg or \.png"):
        SearchResult(["q.png"], "rgb", [[]], [tmp_path / "q.png"]).save_strip(tmp_path / name)
