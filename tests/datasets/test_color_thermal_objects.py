import pytest

from crossband.datasets import scan
from crossband.errors import CrossbandError

from .conftest import rows


def test_identities_are_what_stands_before_the_underscore(plant):
    root = plant(["color/car7_a.jpg", "color/dog1_a.jpg", "thermal/car7_01.png"])
    frames = scan(root)
    assert rows(frames, "frame", "identity", "camera", "split") == [
        ("color/car7_a", "car7", "color", "query"),
        ("color/dog1_a", "dog1", "color", "query"),
        ("thermal/car7_01", "car7", "thermal", "gallery"),
    ]
    assert frames.table["rgb"].notna().tolist() == [True, True, False]
    assert frames.table["tir"].notna().tolist() == [False, False, True]


def test_parts_are_splits(plant):
    root = plant(
        [f"{part}/{folder}/a_1.png" for part in ("train", "val", "test") for folder in ("color", "thermal")]
    )
    assert scan(root, kind="color_thermal_objects").table["split"].value_counts().to_dict() == {
        "train": 2,
        "val": 2,
        "query": 1,
        "gallery": 1,
    }


def test_an_image_without_identity_is_named(plant):
    root = plant(["color/car.jpg", "thermal/car7_01.png"])
    with pytest.raises(CrossbandError, match=r"car\.jpg does not name an identity"):
        scan(root, kind="color_thermal_objects")
