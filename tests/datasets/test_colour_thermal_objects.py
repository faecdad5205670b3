import pytest

from crossband.datasets import scan
from crossband.errors import CrossbandError

from .conftest import rows


def test_identities_are_what_stands_before_the_underscore(plant):
    root = plant(["colour/car7_a.jpg", "colour/dog1_a.jpg", "thermal/car7_01.png"])
    frames = scan(root)
    assert rows(frames, "frame", "identity", "camera", "split") == [
        ("colour/car7_a", "car7", "colour", "query"),
        ("colour/dog1_a", "dog1", "colour", "query"),
        ("thermal/car7_01", "car7", "thermal", "gallery"),
    ]
    assert frames.table["rgb"].notna().tolist() == [True, True, False]
    assert frames.table["tir"].notna().tolist() == [False, False, True]


def test_parts_are_splits(plant):
    root = plant(
        [f"{part}/{folder}/a_1.png" for part in ("train", "val", "test") for folder in ("colour", "thermal")]
    )
    assert scan(root, kind="colour_thermal_objects").table["split"].value_counts().to_dict() == {
        "train": 2,
        "val": 2,
        "query": 1,
        "gallery": 1,
    }


def test_an_image_without_identity_is_named(plant):
    root = plant(["colour/car.jpg", "thermal/car7_01.png"])
    with pytest.raises(CrossbandError, match=r"car\.jpg names no identity"):
        scan(root, kind="colour_thermal_objects")
