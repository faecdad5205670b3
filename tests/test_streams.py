"""Files of several images, read forward, and drawn videos."""

from __future__ import annotations

import copy
from fractions import Fraction

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.bands import Units
from crossband.errors import CrossbandError
from crossband.io.video import read_video, video_rate
from crossband.streams import (
    StageFile,
    check_apart,
    common_span,
    is_plain_gray,
    open_stream,
    shown,
    span,
    write_video,
)

from .flir_file import RAW, camera_info, fff, sized
from .videos import write_test_video


@pytest.fixture
def frames():
    return list(np.random.default_rng(0).integers(0, 255, (5, 48, 64), np.uint8))


def test_a_video_gives_any_frame_also_after_it_was_sent(frames, tmp_path):
    stream = open_stream(write_test_video(tmp_path / "a.mkv", frames, rate=12))
    assert (len(stream), stream.rate, stream.units, stream.in_color) == (5, 12, None, False)
    for row in (0, 0, 3, 4, 1):
        assert np.array_equal(stream.image(row).pixels, frames[row])
    again = copy.deepcopy(stream)  # as pickle does
    assert np.array_equal(again.image(2, "centikelvin").pixels, frames[2])
    assert again.image(2, "centikelvin").units is Units.CENTIKELVIN


def test_a_video_in_color_is_one_also_when_it_begins_black(tmp_path):
    color = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    frames = [np.zeros_like(color), np.zeros_like(color), color]
    assert open_stream(write_test_video(tmp_path / "a.mkv", frames)).in_color
    assert not open_stream(write_test_video(tmp_path / "b.mkv", frames[:2])).in_color


def test_one_picture_and_what_cannot_be_read_are_no_streams(tmp_path):
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((48, 64), np.uint16))
    (tmp_path / "bad.tif").write_bytes(b"II*\0" + b"\xff" * 40)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert [open_stream(tmp_path / name) for name in ("one.tif", "bad.tif", "gone.mp4")] == [None] * 3
    with pytest.raises(CrossbandError, match=r"empty\.mp4 is no video that can be read"):
        open_stream(tmp_path / "empty.mp4")


def test_a_radiometric_sequence_gives_kelvin(tmp_path):
    frames = [fff({1: sized(8, 6, (RAW + np.uint16(i)).tobytes()), 32: camera_info()}) for i in (0, 900)]
    (tmp_path / "flight.seq").write_bytes(b"".join(frames))
    stream = open_stream(tmp_path / "flight.seq")
    assert (len(stream), stream.units, stream.in_color) == (2, Units.KELVIN, False)
    first, second = stream.image(0).pixels, stream.image(1).pixels
    assert first.dtype == np.float32
    assert (second > first).all()


def test_a_drawn_video_has_the_rate_of_its_source(frames, tmp_path):
    pytest.importorskip("av")
    for rate in (Fraction(12), Fraction(30000, 1001), Fraction(2997003, 100000), Fraction(1, 9)):
        path = write_video(tmp_path / "a.mp4", (shown(one) for one in frames), rate)
        assert float(video_rate(path)) == pytest.approx(max(float(rate), 1.0), rel=1e-3)
    assert len(list(read_video(path))) == 5


def test_deep_values_are_drawn_alike_in_all_frames_of_a_video():
    frames = [np.linspace(100, 200, 3072).reshape(48, 64).astype(np.uint16)] * 9
    hot = frames[0].copy()
    hot[0, :] = 60000
    between = common_span([span(one) for one in [*frames, hot]])
    assert np.array_equal(shown(hot, between)[1:], shown(frames[0], between)[1:])
    assert not np.array_equal(shown(hot)[1:], shown(frames[0])[1:])  # by itself it is nearly black
    assert span(np.zeros((4, 4), np.uint8)) is None
    assert common_span([None]) is None


def test_gray_is_one_channel_or_three_that_are_equal():
    gray = np.full((8, 8, 3), 90, np.uint8)
    assert is_plain_gray(gray)
    assert not is_plain_gray(gray + np.array([3, 0, 0], np.uint8))


def test_a_run_says_how_quick_its_own_part_was(tmp_path, capsys):
    stage = StageFile(tmp_path / "a.jsonl", {})
    stage.run(["a", "b"], lambda row: {"row": row}, rate=True)
    StageFile(tmp_path / "a.jsonl", {}).run(list("abcde"), lambda row: {"row": row}, rate=True)
    StageFile(tmp_path / "a.jsonl", {}).run(list("abcde"), lambda row: {"row": row}, rate=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("2 frames, ")
    assert second.startswith("3 of 5 frames, ")


def test_pages_are_turned_as_pictures_are(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((2, 16, 32), np.uint16),
        photometric="minisblack",
        extratags=[(274, "H", 1, 6)],
    )
    assert open_stream(tmp_path / "a.tif").image(1).pixels.shape == (32, 16)


def test_pages_in_a_palette_stay_a_picture(tmp_path):
    pages = [PIL.Image.fromarray(np.full((16, 32), i, np.uint8)).convert("P") for i in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert open_stream(tmp_path / "a.tif") is None


def test_a_sequence_whose_first_frame_is_damaged_is_still_one(tmp_path):
    whole = fff({1: sized(8, 6, RAW.tobytes()), 32: camera_info()})
    (tmp_path / "a.seq").write_bytes(fff({32: camera_info()}) + whole + whole)
    stream = open_stream(tmp_path / "a.seq")
    assert (len(stream), stream.image(2).pixels.shape) == (3, (6, 8))


@pytest.mark.parametrize("shape", [(1, 40), (16, 9000)])
def test_pictures_of_any_size_are_drawn_into_a_video(tmp_path, shape):
    pytest.importorskip("av")
    path = write_video(tmp_path / "a.mp4", [np.zeros((*shape, 3), np.uint8)] * 2)
    assert len(list(read_video(path))) == 2


def test_what_is_read_is_not_written_over(tmp_path):
    (tmp_path / "annotated.mp4").touch()
    for source in (tmp_path / "annotated.mp4", tmp_path):
        with pytest.raises(CrossbandError, match="which is read; choose another folder"):
            check_apart(tmp_path, [source], ["annotated.mp4"])
    check_apart(tmp_path / "out", [tmp_path, tmp_path / "annotated.mp4"], ["annotated.mp4"])
