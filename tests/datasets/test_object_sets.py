"""KAIST, CVC-14, DroneVehicle and VEDAI: pairs of images with a file of boxes each."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import scan
from crossband.datasets.check import check_frames
from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.io.boxes import read_boxes
from crossband.io.object_files import read_object_file

from .conftest import rows


def boxes_of(frames):
    found = read_boxes(frames)
    return found.classes, dict(zip(frames.names, [part[:, :5].tolist() for part in found.rows], strict=True))


def test_kaist_has_time_of_day_place_and_split_by_its_sets(published):
    frames = scan(published("kaist"))
    assert rows(frames, "frame", "split", "condition", "place", "sequence") == [
        ("set00/V000/I00000", "train", "day", "campus", "set00/V000"),
        ("set04/V001/I00000", "train", "night", "road", "set04/V001"),
        ("set11/V000/I00000", "test", "night", "downtown", "set11/V000"),
    ]
    assert rows(frames, "rgb", "tir")[0] == (
        "images/set00/V000/visible/I00000.jpg",
        "images/set00/V000/lwir/I00000.jpg",
    )


def test_kaist_prefers_the_sanitized_boxes_and_falls_back_to_the_published(published):
    root = published("kaist")
    classes, boxes = boxes_of(scan(root))
    assert classes == ["person"]
    assert boxes["set00/V000/I00000"] == [[11, 21, 41, 61, 0]]
    assert boxes["set04/V001/I00000"] == boxes["set11/V000/I00000"] == []
    (root / "annotations-xml-new-sanitized/set00/V000/I00000.xml").unlink()
    assert boxes_of(scan(root))[1]["set00/V000/I00000"] == [[10, 20, 40, 60, 0]]


def test_kaist_without_the_folder_images_is_the_same(published):
    root = published("kaist")
    for folder in (root / "images").iterdir():
        folder.rename(root / folder.name)
    (root / "images").rmdir()
    frames = scan(root)
    assert frames.names[0] == "set00/V000/I00000"
    assert frames.has("boxes")


def test_cvc14_has_boxes_of_each_camera_and_the_moment(published):
    frames = scan(published("cvc14"))
    assert rows(frames, "frame", "split", "condition", "time")[0] == (
        "Day/NewTest/FramesPos/2014_05_01_17_53_06_010000",
        "test",
        "day",
        "2014-05-01T17:53:06.010000",
    )
    assert sorted(set(frames.table["condition"])) == ["day", "night"]
    assert boxes_of(frames)[1][frames.names[0]] == []
    visible = frames.assign(boxes=frames.table["rgb_boxes"])
    assert boxes_of(visible)[1][frames.names[0]] == [[90, 180, 110, 220, 0]]  # a center, counted from 1


def test_drone_vehicle_is_read_without_its_border_and_its_boxes_likewise(tmp_path):
    rng = np.random.default_rng(0)
    inner = rng.integers(0, 200, (512, 640, 3), np.uint8)
    whole = np.full((712, 840, 3), 255, np.uint8)
    whole[100:612, 100:740] = inner
    for kind in ("img", "imgr"):
        (tmp_path / "val" / f"val{kind}").mkdir(parents=True)
        PIL.Image.fromarray(whole).save(tmp_path / "val" / f"val{kind}" / "00001.png")
    (tmp_path / "val" / "vallabelr").mkdir()
    corners = [(90, 150), (190, 140), (200, 200), (95, 210)]
    polygon = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(corners, 1))
    objects = "".join(
        f"<object><name>{name}</name><polygon>{polygon}</polygon></object>" for name in ("feright car", "*")
    )
    (tmp_path / "val/vallabelr/00001.xml").write_text(f"<annotation>{objects}</annotation>")
    frames = scan(tmp_path)
    assert frames.names == ["val/00001"]
    for band in ("rgb", "tir"):
        pixels = read_image(frames.paths(band)[0], band).pixels
        assert np.array_equal(pixels, inner)
    classes, boxes = boxes_of(frames)
    assert classes == ["freight_car"]
    assert boxes["val/00001"] == [[0, 40, 100, 110, 0]]  # cut at the border's edge
    # color and thermal are one file here, and no other fault is seen
    assert [fault.kind for fault in check_frames(frames).faults] == ["band twice"]


def test_a_picture_smaller_than_its_border_is_named(published):
    frames = scan(published("drone_vehicle"))
    with pytest.raises(CrossbandError, match=r"00001.jpg is 4x4, smaller than the view"):
        read_image(frames.paths("rgb")[0])


def test_vedai_is_color_and_near_infrared_with_ten_folds(published):
    frames = scan(published("vedai"))
    assert [band.value for band in frames.bands] == ["rgb", "nir"]
    assert rows(frames, "frame", "nir", "split", "split_1", "split_2") == [
        ("00000000", "Vehicules512/00000000_ir.png", "train", "train", "test"),
        ("00000001", "Vehicules512/00000001_ir.png", "train", "train", "train"),
        ("00000002", "Vehicules512/00000002_ir.png", "test", "test", "train"),
    ]
    classes, boxes = boxes_of(frames)
    assert classes == ["car", "pickup"]
    assert boxes["00000000"] == [[90, 70, 112, 90, 0], [1, 5, 4, 8, 1]]
    assert boxes["00000001"] == []


def test_both_sizes_of_vedai_are_told_apart(published, plant):
    root = published("vedai")
    plant([f"1024/Vehicules1024/00000000_{end}.png" for end in ("co", "ir")], root)
    assert scan(root).names == ["512/00000000", "512/00000001", "512/00000002", "1024/00000000"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.xml", "<annotation>", "no file of an image's boxes"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "entities of its own"),
        ("a.txt", "1 2 3", "a line of 3 values"),
        ("a.txt", "one two", "could not convert"),
        ("a.txt", "% bbGt version=3\nperson 1 2", "a line of 3 values"),
        ("gone.txt", None, "gone.txt cannot be read"),
    ],
)
def test_a_file_of_boxes_says_what_is_wrong(tmp_path, name, text, says):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(CrossbandError, match=says):
        read_object_file(tmp_path / name)


def test_pascal_voc_and_what_is_to_be_ignored(tmp_path):
    (tmp_path / "a.xml").write_text(
        "<annotation><object><name>cyclist</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax>"
        "<ymax>9</ymax></bndbox></object><object><name>none</name></object></annotation>"
    )
    assert read_object_file(tmp_path / "a.xml") == [(1, 2, 5, 9, "cyclist")]
    (tmp_path / "b.txt").write_text(
        "% bbGt version=3\npeople 1 2 3 4 0 0 0 0 0 1 0\nperson? 1 2 3 4 2 0 0 0 0 0 0\n"
    )
    assert read_object_file(tmp_path / "b.txt") == [(1, 2, 4, 6, "person?")]
