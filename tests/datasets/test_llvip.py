import pytest

from crossband.datasets import scan

from .conftest import rows


def test_the_published_layout_gives_splits_and_scenes(plant):
    root = plant(
        f"{band}/{split}"
        for band in ("visible", "infrared")
        for split in ("train/010001.jpg", "train/260002.jpg", "test/190001.jpg")
    )
    assert rows(scan(root), "frame", "rgb", "tir", "split", "place", "sequence") == [
        ("test/190001", "visible/test/190001.jpg", "infrared/test/190001.jpg", "test", "19", "19"),
        ("train/010001", "visible/train/010001.jpg", "infrared/train/010001.jpg", "train", "01", "01"),
        ("train/260002", "visible/train/260002.jpg", "infrared/train/260002.jpg", "train", "26", "26"),
    ]


def test_the_sample_layout_and_one_split_alone_are_read(plant):
    root = plant(["Test_LLVIP_vi/190001.jpg", "Test_LLVIP_ir/190001.jpg"])
    assert rows(scan(root), "frame", "rgb", "split", "place") == [
        ("test/190001", "Test_LLVIP_vi/190001.jpg", "test", "19")
    ]


def test_a_users_folders_of_the_same_names_are_not_taken_for_it(plant):
    root = plant(["visible/train/a.png", "infrared/train/a.png"])
    assert rows(scan(root), "frame", "rgb") == [("train/a", "visible/train/a.png")]


@pytest.mark.shared
def test_the_real_sample_has_44_pairs_of_three_scenes(shared):
    frames = scan(shared / "data" / "llvip_sample")
    assert len(frames) == 44
    assert sorted(frames.table["place"].unique()) == ["01", "19", "20"]
    assert (len(frames.split("train")), len(frames.split("test"))) == (32, 12)
