"""MFNet, PST900 and MSRS as published, and the city written in the layouts of the first two."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import scan
from crossband.io import read_image, read_labels

from .conftest import rows


def mfnet(root, names=("00001D", "00002N", "00003D", "00004N")):
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        PIL.Image.fromarray(rng.integers(0, 255, (6, 8, 4), np.uint8)).save(root / "images" / f"{name}.png")
        PIL.Image.fromarray(rng.integers(0, 9, (6, 8), np.uint8)).save(root / "labels" / f"{name}.png")
    (root / "train.txt").write_text("00001D\n00001D_flip\n")
    (root / "val.txt").write_text("00002N\n")
    (root / "test.txt").write_text("00003D\n00004N\n")
    return root


def test_mfnet_is_split_by_its_lists_and_one_file_is_both_bands(tmp_path):
    root = mfnet(tmp_path)
    (root / "test_night.txt").write_text("00003D\n")  # a dusk scene that the authors count as night
    frames = scan(root)
    assert rows(frames, "frame", "split", "condition") == [
        ("00001D", "train", "day"),
        ("00002N", "val", "night"),
        ("00003D", "test", "night"),
        ("00004N", "test", "night"),
    ]
    assert rows(frames, "rgb", "tir", "labels")[0] == (
        "images/00001D.png",
        "images/00001D.png",
        "labels/00001D.png",
    )
    whole = np.asarray(PIL.Image.open(root / "images" / "00001D.png"))
    assert np.array_equal(read_image(frames.paths("tir")[0], "tir").pixels, whole[..., 3])
    assert np.array_equal(read_image(frames.paths("rgb")[0], "rgb").pixels[..., :3], whole[..., :3])


def test_a_transparent_picture_is_not_taken_for_thermal(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 4), np.uint8)
    for name, alpha in (("opaque", 255), ("masked", np.where(np.arange(8) < 4, 0, 255))):
        pixels[..., 3] = alpha
        PIL.Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        assert read_image(tmp_path / f"{name}.png", "tir").pixels.shape == (6, 8, 4)


def in_parts(parts, names):
    return [f"{split}/{part}/{n}.png" for split in ("train", "test") for part in parts for n in names]


def test_pst900_and_msrs_take_val_from_train_and_never_from_test(plant):
    names = [f"{i:05d}D" for i in range(20)]
    pst = plant(in_parts(("rgb", "thermal", "labels"), names))
    frames = scan(pst)
    assert frames.table["split"].value_counts().to_dict() == {"train": 18, "test": 20, "val": 2}
    assert set(frames.split("val").table["frame"]) == {"train/00009D", "train/00019D"}
    assert frames.table["labels"].notna().all()


def test_msrs_is_read_with_day_and_night(plant):
    names = ["00001D", "00002N"]
    root = plant(in_parts(("vi", "ir", "Segmentation_labels"), names))
    frames = scan(root)
    assert rows(frames, "frame", "rgb", "tir", "condition")[2] == (
        "train/00001D",
        "train/vi/00001D.png",
        "train/ir/00001D.png",
        "day",
    )
    assert frames.table["condition"].tolist() == ["day", "night"] * 2
    assert frames.table["labels"][1] == "test/Segmentation_labels/00002N.png"


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_labels_keep_their_numbers_whatever_the_file(tmp_path, mode):
    labels = np.array([[0, 1, 2], [7, 8, 255]], np.uint8)
    picture = PIL.Image.fromarray(labels)
    if mode == "P":
        picture.putpalette([i * 7 % 256 for i in range(768)])
    picture = picture if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").tolist() == labels.tolist()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["01234N", "01477D"])
def test_a_real_mfnet_file_is_split(shared, name):
    path = shared / "data" / "singles" / "mfnet_rgba" / f"{name}.png"
    whole = np.asarray(PIL.Image.open(path))
    thermal = read_image(path, "tir").pixels
    assert thermal.shape == (480, 640)
    assert np.array_equal(thermal, whole[..., 3])
