"""RegDB and SYSU-MM01: images of one band each, of persons."""

from __future__ import annotations

import pytest

from crossband.datasets import scan
from crossband.errors import CrossbandError

from .conftest import rows


def test_regdb_has_the_splits_of_each_trial_and_those_of_the_first(published):
    frames = scan(published("regdb"))
    assert rows(frames, "frame", "identity", "camera", "split", "split_1", "split_2")[::2] == [
        ("Visible/1/male_back_v_00001_1", "1", "visible", "train", "train", "query"),
        ("Visible/2/male_back_v_00001_2", "2", "visible", "query", "query", "train"),
        ("Thermal/1/male_back_t_00001_1", "1", "thermal", "train", "train", "gallery"),
        ("Thermal/2/male_back_t_00001_2", "2", "thermal", "gallery", "gallery", "train"),
    ]
    assert frames.table["rgb"].notna().tolist() == [True] * 4 + [False] * 4


def test_regdb_without_its_lists_has_no_splits(plant):
    frames = scan(plant(["Visible/1/male_back_v_00001_1.bmp", "Thermal/1/male_back_t_00001_1.bmp"]))
    assert len(frames) == 2
    assert "split" not in frames.table


def test_a_list_of_regdb_that_names_a_missing_image_is_refused(published):
    root = published("regdb")
    (root / "Thermal/1/male_back_t_00001_1.bmp").unlink()
    with pytest.raises(CrossbandError, match="male_back_t_00001_1', which has no image"):
        scan(root)


def test_sysu_has_color_and_near_infrared_cameras_in_and_out_of_doors(published):
    frames = scan(published("sysu_mm01"))
    table = frames.table.set_index("frame")
    assert table["split"].to_dict() == {
        f"cam{camera}/{identity:04d}/0001": {1: "train", 2: "val"}.get(
            identity, "query" if camera in (3, 6) else "gallery"
        )
        for camera in range(1, 7)
        for identity in (1, 2, 6)
    }
    assert set(table.index[table["nir"].notna()].str[:4]) == {"cam3", "cam6"}
    assert set(table["camera"][table["condition"] == "indoor"]) == {"cam1", "cam2", "cam3"}
    indoor = table[(table["split"] == "gallery") & (table["condition"] == "indoor")]
    assert set(indoor["camera"]) == {"cam1", "cam2"}  # the gallery of the indoor search


def test_a_list_of_sysu_that_holds_no_numbers_is_named(published):
    root = published("sysu_mm01")
    (root / "exp/train_id.txt").write_text("one,two\n")
    with pytest.raises(CrossbandError, match=r"train_id.txt is no list of numbers"):
        scan(root)
