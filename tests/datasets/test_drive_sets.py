"""FMB, Freiburg Thermal, MS2, place recognition sets with positions in their names, and Parrot Sequoia."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.datasets import scan
from crossband.datasets.ms2 import read_ms2
from crossband.errors import CrossbandError
from crossband.io import read_labels
from crossband.segmentation.classes import class_names, palette

from .conftest import rows


def test_fmb_has_labels_and_a_class_list_of_fourteen(published):
    frames = scan(published("fmb"))
    assert rows(frames, "frame", "rgb", "tir", "labels", "split")[0] == (
        "test/00001",
        "test/Visible/00001.png",
        "test/Infrared/00001.png",
        "test/Label/00001.png",
        "test",
    )
    names = class_names("fmb")
    assert len(names) == 1 + 14
    assert (names[8], names[14]) == ("person", "pole")
    assert len({tuple(color) for color in palette(names).tolist()}) == 15


def test_freiburg_pairs_the_aligned_thermal_image_and_finds_both_kinds_of_labels(published):
    frames = scan(published("freiburg_thermal"))
    assert rows(frames, "frame", "split", "condition") == [
        ("test/day/1579080512_296238130", "test", "day"),
        ("test/night/1579080512_296238130", "test", "night"),
        ("train/seq_00_day/00/1570722156_952177040", "train", "day"),
        ("train/seq_01_night/00/1570722156_952177040", "train", "night"),
    ]
    table = frames.table
    assert table["tir"][2].endswith("fl_ir_aligned/fl_ir_aligned_1570722156_952177040.png")
    assert table["labels"].notna().tolist() == [True, True, True, False]
    assert table["time"][2] == "2019-10-10T15:42:36.952177"
    labels = read_labels(frames.root / table["labels"][0])
    assert labels.dtype == np.uint16
    assert labels.max() < len(class_names("freiburg_thermal"))


def test_ms2_has_three_bands_positions_and_the_conditions_of_its_lists(published):
    root = published("ms2")
    frames = scan(root)
    columns = ("frame", "split", "condition", "lat", "lon", "odom_x", "odom_y", "time")
    first, second = rows(frames, *columns)
    drive = "_2021-08-13-21-36-10"
    assert first[:3] == (f"{drive}/000000", "train", "night")
    assert first[3:] == (36.3741, 127.3625, 2.5, 7.5, "2021-08-06T01:59:34.691250")
    assert second[0] == f"{drive}/000001"
    assert np.isnan(second[3])
    assert frames.table["tir"][0] == f"sync_data/{drive}/thr/img_left/000000.png"
    assert read_ms2(root, "right").table["nir"][0].endswith("nir/img_right/000000.png")
    (root / "test_rainy_list.txt").write_text(f"{drive}\n")
    (root / "train_list.txt").unlink()
    assert rows(scan(root), "split", "condition")[0] == ("test", "rain")


@pytest.mark.parametrize(("text", "says"), [("north\n", "does not hold numbers only")])
def test_ms2_names_a_position_that_is_none(published, text, says):
    root = published("ms2")
    next(root.rglob("gps_imu/data/000000.txt")).write_text(text)
    with pytest.raises(CrossbandError, match=says):
        scan(root)


def test_ms2_names_an_unknown_side(published):
    with pytest.raises(CrossbandError, match="left"):
        read_ms2(published("ms2"), "lefft")


def test_places_are_read_from_the_names(published):
    frames = scan(published("vpr"))
    columns = ("split", "role", "x", "y", "lat", "lon", "heading", "time", "note")
    told = (585001.12, 4477001.5, 40.44, -79.99, 90.0, "2023-07-12T10:15:00")
    assert rows(frames, *columns) == [
        (split, role, *told, note)
        for splits in (("train", "train"), ("val", "val"), ("gallery", "query"))
        for split, role, note in zip(splits, ("database", "queries"), "ab", strict=True)
    ]


def test_several_query_folders_are_conditions_and_short_names_will_do(plant):
    root = plant(
        ["gallery/@1.5@-2@.jpg", "queries_night/@3@4@x@.jpg", "queries_night/sub/@3@5@y@.png", "notes/list.txt"]
    )
    frames = scan(root)
    assert rows(frames, "frame", "split", "x", "y")[:2] == [
        ("gallery/@1.5@-2@", "gallery", 1.5, -2.0),
        ("queries_night/@3@4@x@", "query", 3.0, 4.0),
    ]
    assert frames.table["condition"].tolist()[1:] == ["night", "night"]


def test_a_name_without_a_place_is_refused(plant):
    root = plant(["database/@1@2@.jpg", "queries/@north@2@.jpg"])
    with pytest.raises(CrossbandError, match="is not named by its place"):
        scan(root)


def test_sequoia_pairs_photograph_and_near_infrared_by_capture(published, plant):
    root = published("sequoia")
    plant(["0002/IMG_700101_000010_0000_NIR.TIF", "0002/IMG_700101_000010_0000_RED.TIF"], root)
    frames = scan(root)
    assert rows(frames, "frame", "rgb", "nir", "time")[0] == (
        "0001/IMG_170805_173944_0004",
        "0001/IMG_170805_173944_0004_RGB.JPG",
        "0001/IMG_170805_173944_0004_NIR.TIF",
        "2017-08-05T17:39:44",
    )
    last = frames.table.iloc[-1]
    assert last[["rgb", "time"]].isna().all()  # the photograph was switched off, the clock never set
