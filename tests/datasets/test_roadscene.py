import pytest

from crossband.datasets import dataset, scan

from .conftest import rows

TREE = ["crop_LR_visible/FLIR_1.jpg", "cropinfrared/FLIR_1.jpg", "crop_HR_visible/FLIR_1.jpg"]


def test_the_layout_is_recognized_and_paired(plant):
    root = plant(TREE)
    assert dataset("roadscene").found_in(root)
    assert rows(scan(root), "frame", "rgb", "tir") == [("FLIR_1", TREE[0], TREE[1])]


@pytest.mark.shared
def test_the_real_set_has_221_pairs(shared):
    frames = scan(shared / "data" / "roadscene")
    assert len(frames) == 221
    assert frames.table[["rgb", "tir"]].notna().all(axis=None)
