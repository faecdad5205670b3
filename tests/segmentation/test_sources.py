"""Segmentation of pictures of one band, folders of them and videos: bands, resuming, tables, counts."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.io import read_labels
from crossband.segmentation import predict, segment
from crossband.segmentation.objects import coco, find_objects, run_lengths, share_table
from crossband.segmentation.sources import open_source

from ..videos import write_test_video
from .test_predict import CLASSES, checkpoint  # noqa: F401  (a fixture)

NEITHER = {Band.TIR: None, Band.NIR: None}


def picture(path: Path, seed: int, color: bool = False) -> Path:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    PIL.Image.fromarray(pixels if color else pixels[..., 0]).save(path)
    return path


@pytest.fixture
def gray(tmp_path) -> Path:
    for number in range(3):
        picture(tmp_path / "gray" / f"{number}.png", number)
    return tmp_path / "gray"


@pytest.fixture
def videos(tmp_path) -> tuple[Path, Path]:
    """A video in color of five frames, and one of four in 16 bits."""
    rng = np.random.default_rng(0)
    color = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(5)]
    deep = [rng.integers(27000, 31000, (48, 64), np.uint16) for _ in range(4)]
    write_test_video(tmp_path / "rgb.mkv", color, rate=12)
    write_test_video(tmp_path / "tir.mkv", deep, rate=12)
    return tmp_path / "rgb.mkv", tmp_path / "tir.mkv"


def bands_of(source: object, band: str | None = None, **beside: Path) -> list[list[str]]:
    given = [source] if isinstance(source, Path) else source
    opened = open_source(given, band, {Band(name): path for name, path in beside.items()})
    return [[one.value for one in frame.paths] for frame in opened.frames.values()]


def test_what_has_no_colors_is_taken_for_thermal_and_that_is_said(gray, tmp_path, capsys):
    assert bands_of(gray / "0.png") == [["tir"]]
    said = "0.png has no colors: taken for a thermal image; the band rgb if it is not\n"
    assert capsys.readouterr().err == said
    assert bands_of(gray) == [["tir"]] * 3
    assert "gray has no colors: taken for thermal images" in capsys.readouterr().err
    assert bands_of(gray / "0.png", "rgb") == [["rgb"]]
    assert bands_of(gray / "0.png", tir=gray / "1.png") == [["rgb", "tir"]]
    assert bands_of(picture(tmp_path / "c.png", 0, color=True)) == [["rgb"]]
    assert bands_of(picture(tmp_path / "c.png", 0, color=True), "tir") == [["tir"]]
    assert capsys.readouterr().err == ""


def test_a_folder_of_pictures_is_paired_with_a_folder_of_thermal_ones(gray, tmp_path):
    for number in range(3):
        picture(tmp_path / "color" / f"{number}.jpg", number, color=True)
    assert bands_of(tmp_path / "color") == [["rgb"]] * 3
    assert bands_of(tmp_path / "color", tir=gray) == [["rgb", "tir"]] * 3
    (gray / "2.png").unlink()
    with pytest.raises(CrossbandError, match="gray has no image called 2"):
        bands_of(tmp_path / "color", tir=gray)


def test_a_band_that_is_given_twice_or_known_already_is_refused(gray, make_pairs, tmp_path):
    with pytest.raises(CrossbandError, match="two tir images are given for each frame"):
        bands_of(gray / "0.png", "tir", tir=gray / "1.png")
    with pytest.raises(CrossbandError, match="pairs says itself which bands its frames have"):
        bands_of(make_pairs(tmp_path / "pairs", n=2), "tir")


def test_videos_are_paired_by_number_and_the_shorter_counts(videos, checkpoint, tmp_path, capsys):  # noqa: F811
    rgb, tir = videos
    assert bands_of(rgb) == [["rgb"]] * 5
    assert bands_of(tir) == [["tir"]] * 4
    capsys.readouterr()
    found = segment(rgb, checkpoint, tmp_path / "out", tir=tir, units="centikelvin")
    said = capsys.readouterr().err
    assert "rgb.mkv 5 and tir.mkv 4 frames: the first 4 are paired, the others left out" in said
    assert "4 frames, " in said
    assert " a second" in said
    assert [one.frame for one in found] == ["000000", "000001", "000002", "000003"]
    assert {Path(one.overlay).name for one in found} == {"annotated.mp4"}
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "out" / "annotated.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(12)
        assert sum(1 for _ in container.decode(video=0)) == 4
    alone = segment(tir, checkpoint, tmp_path / "alone", units="centikelvin")
    assert alone[0].shares != found[0].shares
    with pytest.raises(CrossbandError, match=r"rgb\.mkv is a video; give it as the only source"):
        segment([rgb, tir], checkpoint, tmp_path / "no")
    with pytest.raises(CrossbandError, match=r"is no video, as .*rgb\.mkv is"):
        segment(rgb, checkpoint, tmp_path / "no", tir=tmp_path)


def test_a_killed_run_goes_on_and_other_settings_start_anew(
    gray,
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    whole = segment(gray, checkpoint, tmp_path / "whole")
    real, calls = predict.LoadedSegmenter.labels, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(predict.LoadedSegmenter, "labels", dying)
    with pytest.raises(KeyboardInterrupt):
        segment(gray, checkpoint, tmp_path / "out")
    again = segment(gray, checkpoint, tmp_path / "out")
    assert len(calls) == 4  # two, the one that died, and it alone again
    assert [one.shares for one in again] == [one.shares for one in whole]
    Path(again[1].labels).unlink()
    segment(gray, checkpoint, tmp_path / "out")
    assert len(calls) == 5
    capsys.readouterr()
    segment(gray, checkpoint, tmp_path / "out", band="rgb")
    assert len(calls) == 8
    assert "another run's label maps, which are replaced" in capsys.readouterr().err
    picture(gray / "0.png", 9)  # another picture of the same name
    segment(gray, checkpoint, tmp_path / "out", band="rgb")
    assert len(calls) == 11


def blocks(*lefts: int) -> np.ndarray:
    labels = np.zeros((48, 64), np.uint8)
    for left in lefts:
        labels[10:20, left : left + 8] = 1
    return labels


def test_objects_are_counted_once_over_the_frames_of_a_video(
    videos,
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    maps = [blocks(0, 40), blocks(2, 40), blocks(4, 40), blocks(6, 40, 20), blocks(8)]
    monkeypatch.setattr(predict.LoadedSegmenter, "labels", lambda *_: maps.pop(0))
    found = segment(videos[0], checkpoint, tmp_path / "out")
    assert found.counts == {"car": 2, "person": 0}  # one frame shows no object
    assert [one.objects["car"] for one in found] == [2, 2, 2, 3, 1]
    table = pd.read_csv(tmp_path / "out" / "segments.csv", dtype={"frame": str})
    cars = table[table["class"] == "car"]
    assert cars["objects"].tolist() == [2, 2, 2, 3, 1]
    assert table[table["class"] == "nothing"]["objects"].isna().all()
    assert cars["share"].iloc[0] == pytest.approx(100 * 160 / (48 * 64), abs=1e-4)
    written = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert written["annotations"][0]["bbox"] == [0, 10, 8, 10]
    assert len({one["track_id"] for one in written["annotations"]}) == 3
    assert json.loads((tmp_path / "out" / "segments.json").read_text()) == [one.to_dict() for one in found]


def test_specks_and_what_cannot_be_counted_are_no_objects():
    labels = blocks(0)
    labels[40, 60] = 1
    labels[30:40, :] = 0
    assert len(find_objects(labels, CLASSES)) == 1
    assert find_objects(labels, ["nothing", "curve"]) == []
    shares = {"a": {"nothing": 90.0, "curve": 10.0}}
    assert share_table(shares, {"a": []}, ["nothing", "curve"])["objects"].isna().all()


def test_masks_are_those_that_coco_reads():
    mask_util = pytest.importorskip("faster_coco_eval.core.mask")
    rng = np.random.default_rng(0)
    for mask in (blocks(3, 30) > 0, rng.random((48, 64)) > 0.5, np.ones((200, 300), bool)):
        given = {"size": list(mask.shape), "counts": run_lengths(mask)}
        assert np.array_equal(mask_util.decode(given).astype(bool), mask)
    found = find_objects(blocks(3, 30), CLASSES)
    tables = coco(["a.png"], [(48, 64)], [found], [np.arange(2)], CLASSES)
    whole = sum(mask_util.decode(one["segmentation"]) for one in tables["annotations"])
    assert np.array_equal(whole, blocks(3, 30))
    assert [one["area"] for one in tables["annotations"]] == [80, 80]


def test_the_label_maps_of_a_video_have_the_size_of_its_frames(videos, checkpoint, tmp_path):  # noqa: F811
    found = segment(videos[1], checkpoint, tmp_path / "out", units="centikelvin")
    assert read_labels(found[0].labels).shape == (48, 64)


def test_frames_with_positions_are_points_with_their_shares(gray, checkpoint, tmp_path):  # noqa: F811
    rows = [
        "frame,tir,tir_units,lat,lon",
        "0,0.png,counts,48.5,9.25",
        "1,1.png,counts,,",
        "2,2.png,counts,48.6,9.3",
    ]
    (gray / "frames.csv").write_text("\n".join(rows) + "\n")
    found = segment(gray / "frames.csv", checkpoint, tmp_path / "out")
    points = json.loads((tmp_path / "out" / "segments.geojson").read_text())["features"]
    assert [one["geometry"]["coordinates"] for one in points] == [[9.25, 48.5], [9.3, 48.6]]
    shares = {name: share for name, share in found[0].shares.items() if share}
    assert points[0]["properties"] == pytest.approx(
        {"frame": "0", "position": "of the camera", **shares}, abs=1e-3
    )
    (gray / "frames.csv").unlink()
    segment(gray, checkpoint, tmp_path / "out")
    assert not (tmp_path / "out" / "segments.geojson").exists()


def test_a_run_into_the_folder_of_its_source_is_refused(gray, videos, checkpoint, tmp_path):  # noqa: F811
    own = videos[0].rename(tmp_path / "annotated.mp4")
    before = own.read_bytes()
    for source, out in ((own, tmp_path), (gray, gray)):
        with pytest.raises(CrossbandError, match="choose another folder"):
            segment(source, checkpoint, out)
    assert own.read_bytes() == before


def test_a_frame_that_could_not_be_read_is_tried_again(gray, checkpoint, tmp_path, capsys):  # noqa: F811
    whole = (gray / "1.png").read_bytes()
    at = (gray / "1.png").stat()
    (gray / "1.png").write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    os.utime(gray / "1.png", ns=(at.st_atime_ns, at.st_mtime_ns))
    assert len(segment(gray, checkpoint, tmp_path / "out")) == 2
    (gray / "1.png").write_bytes(whole)
    os.utime(gray / "1.png", ns=(at.st_atime_ns, at.st_mtime_ns))
    assert len(segment(gray, checkpoint, tmp_path / "out")) == 3
    assert json.loads((tmp_path / "out" / "coco.json").read_text())["images"][1]["file_name"] == "1.png"


def test_a_network_for_color_alone_takes_gray_pictures_for_color(gray):
    opened = open_source([gray / "0.png"], None, {}, thermal=False)
    assert [[*frame.paths] for frame in opened.frames.values()] == [[Band.RGB]]
