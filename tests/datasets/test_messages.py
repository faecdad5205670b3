"""What reading a folder says where it cannot: a tree of files, how it is read, the words."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import dataset, open_frames, scan
from crossband.datasets.oxford_radar_robotcar import (
    develop_images,
    read_oxford_radar_robotcar,
    undistort,
)
from crossband.datasets.rgbnt100 import split_rgbnt100
from crossband.io import read_labels
from crossband.io.boxes import read_boxes

from ..messages import assert_says

NIGHT = "val/1_60_50_0_00319.jpg"
COCO = "annotations/val.json"
FLIR = [
    "video_rgb_test/data/video-BzZ-frame-000745-SSC.jpg",
    "video_thermal_test/data/video-4fi-frame-000745-L6K.jpg",
    "images_rgb_train/data/video-x-frame-000001-y.jpg",
    "images_thermal_train/data/video-z-frame-000001-w.jpg",
]
MFNET = ["images/00003D.png", "labels/00003D.png", "train.txt", "val.txt", "test.txt"]
DRIVE = "2019-01-10-11-46-21-radar-oxford-10k"


def boxes(root):
    return read_boxes(scan(root, kind="hit_uav"))


def as_kind(kind):
    return lambda root: scan(root, kind=kind)


def manifest_elsewhere(root):
    scan(root).write(root / "frames.parquet")
    open_frames(root, "/nope")


FOLDERS = {
    "nothing": ([], scan, "no bands recognized in ... give the folders of rgb and tir images"),
    "nothing to open": ([], open_frames, "no bands recognized in ... crossband data scan makes a manifest"),
    "pictures only": (["a.png", "b.png"], scan, "no bands recognized in"),
    "no pair": (
        ["rgb/a.png", "tir/b.png"],
        scan,
        "no file stem occurs in two of the folders ... rgb 'a' and tir 'b'",
    ),
    "no image": (["rgb/a.png", "tir/a.txt"], scan, "no images in the tir folder"),
    "one stem twice": (
        ["rgb/a.png", "rgb/a.jpg", "tir/a.png"],
        scan,
        "a.jpg and a.png in ... have the same stem; keep one",
    ),
    "a dataset below": (
        ["M3FD_Fusion/Vis/00000.png", "M3FD_Fusion/Ir/00000.png"],
        scan,
        "but ... M3FD_Fusion is a known dataset; scan that",
    ),
    "two datasets": (
        ["Vis/00000.png", "Ir/00000.png", "crop_LR_visible/a.jpg", "cropinfrared/a.jpg"],
        scan,
        "looks like m3fd, roadscene; say which kind it is",
    ),
    "gone": ([], lambda root: scan(root / "gone"), "no folder ... gone"),
    "a band gone": ([], lambda root: scan(rgb=root / "gone", tir=root), "no folder ... gone"),
    "neither": ([], lambda root: scan(), "nothing to scan"),
    "outside": (
        ["rgb/a.png", "tir/a.png", "b/a.txt"],
        lambda root: scan(root / "b", rgb=root / "rgb", tir=root / "tir"),
        "lies outside",
    ),
    "a picture": (["a.png"], lambda root: open_frames(root / "a.png"), "is a single image; give its folder"),
    "no such": (["a.png"], lambda root: open_frames(root / "gone"), "gone does not exist; give a folder"),
    "root without manifest": (
        ["rgb/a.png", "tir/a.png"],
        lambda root: open_frames(root, "/nope"),
        "a root says where ... has no manifest",
    ),
    "root of another": (
        ["rgb/a.png", "tir/a.png"],
        manifest_elsewhere,
        "should lie in /nope, which is no folder",
    ),
    "unknown band": (
        ["a_t.png"],
        lambda root: scan(root, suffixes={"thermal": "_t"}),
        "unknown band 'thermal'",
    ),
    "unknown dataset": ([], lambda root: dataset("lvip"), "unknown dataset 'lvip'; did you mean llvip"),
    "llvip": (["a.jpg"], as_kind("llvip"), "does not have the layout visible/train and infrared/train"),
    "hit_uav": ([NIGHT], as_kind("hit_uav"), "does not have HIT-UAV's layout"),
    "color_thermal_objects": (
        ["color/car.jpg", "thermal/car7_01.png"],
        as_kind("color_thermal_objects"),
        "car.jpg does not name an identity",
    ),
    "ino": (
        ["INO_A/INO_A_RGB.avi", "INO_A/INO_A_T.avi"],
        scan,
        "ffmpeg -i INO_X_T.avi INO_X_T/%06d.png",
    ),
    "cold": (
        [
            "seq4_cloudy1/std_cam/t1152283190.500000_x1.250000_y-0.500000_a0.100000.jpeg",
            "seq4_cloudy1/std_cam/mine.jpeg",
        ],
        scan,
        "mine.jpeg is not named by its pose",
    ),
    "boson_nighttime": (
        ["train_database/@1@2.png", "train_queries/@1@2.png", "train_queries/one.png"],
        scan,
        "train/one is not named after its crop's center",
    ),
    "boson_nighttime, packed": (
        ["test_database.h5", "test_queries.h5"],
        scan,
        "extract_boson_nighttime",
    ),
    "rgbn300": (
        ["bounding_box_train/rgb/car.png", "bounding_box_train/nir/car.png"],
        as_kind("rgbn300"),
        "car is not named by identity and camera",
    ),
    "rgbnt201": (
        [f"test/{band}/mine.jpg" for band in ("RGB", "NI", "TI")],
        as_kind("rgbnt201"),
        "as in 000001_cam1_0_00",
    ),
    "msvr310": (
        [f"query3/1/{band}/mine.jpg" for band in ("vis", "ni", "th")],
        as_kind("msvr310"),
        "as in 0001_s001_v1_000",
    ),
    "oxford, positions": (
        [],
        lambda root: read_oxford_radar_robotcar(root, "odometri"),
        "unknown source of positions 'odometri'; did you mean odometry",
    ),
    "oxford, models": (
        [f"{DRIVE}/mono_left/0000000.png"],
        lambda root: develop_images(root, root),
        "no camera model",
    ),
    "oxford, another camera": (
        [],
        lambda root: undistort(np.zeros((3, 5, 3), np.uint8), np.zeros((2, 20))),
        "camera model has 20 pixels",
    ),
}

FILES = {
    "hit_uav, no JSON": ([NIGHT], {COCO: "{"}, boxes, "val.json is not valid JSON"),
    "hit_uav, no list": ([NIGHT], {COCO: '{"images": []}'}, boxes, "val.json is not a COCO box file"),
    "hit_uav, a number": (
        [NIGHT],
        {COCO: json.dumps({"images": [], "categories": [], "annotations": 3})},
        boxes,
        "val.json is not a COCO box file",
    ),
    "flir_adas": (
        FLIR,
        {"rgb_to_thermal_vid_map.json": "[]"},
        scan,
        "rgb_to_thermal_vid_map.json is not a map",
    ),
    "mfnet, twice": (
        MFNET,
        {"val.txt": "00003D\n", "test.txt": "00003D\n"},
        scan,
        "00003D is in val.txt and in test.txt",
    ),
    "mfnet, gone": (
        MFNET,
        {"val.txt": "00009D\n", "test.txt": "00003D\n"},
        scan,
        "'00009D', which has no image or labels",
    ),
    "oxford, columns": (
        [f"{DRIVE}/mono_left/0000000.png"],
        {f"{DRIVE}/gps/ins.csv": "timestamp,x\n1,2\n"},
        as_kind("oxford_radar_robotcar"),
        "ins.csv lacks northing, easting, yaw",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_says(plant, case):
    tree, read, words = FOLDERS[case]
    root = plant(tree)
    assert_says(lambda: read(root), words)


@pytest.mark.parametrize("case", FILES)
def test_a_file_says(plant, case):
    tree, contents, read, words = FILES[case]
    root = plant(tree)
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    assert_says(lambda: read(root), words)


def test_panels_say_how_they_are_split(tmp_path):
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "rgbir" / name).mkdir(parents=True)
        PIL.Image.new("RGB", (32, 8)).save(tmp_path / "rgbir" / name / "0001_c1_0001.jpg")
    assert_says(
        lambda: split_rgbnt100(tmp_path, tmp_path / "out"),
        "0001_c1_0001.jpg is 32x8, not 3 panels",
    )
    assert_says(
        lambda: scan(tmp_path, kind="rgbnt100"),
        "split it once with crossband.datasets.rgbnt100.split_rgbnt100",
    )


def test_a_picture_in_color_is_no_label_map(tmp_path):
    PIL.Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png")
    assert_says(lambda: read_labels(tmp_path / "a.png"), "one class per pixel ... a color image")
