import pytest

from crossband.datasets import scan

from .conftest import rows

TREE = [f"{band}/0000{i}.png" for band in ("Vis", "Ir") for i in range(3)]


def test_the_published_layout_is_paired(plant):
    frames = scan(plant([*TREE, "Annotation/00000.xml"]))
    assert rows(frames, "frame", "rgb", "tir")[0] == ("00000", "Vis/00000.png", "Ir/00000.png")
    assert len(frames) == 3
    assert "split" not in frames.table


def test_lists_of_names_give_the_splits(plant):
    root = plant([*TREE, "meta/train.txt"])
    (root / "meta" / "train.txt").write_text("00000.png\n00002.png\n")
    (root / "meta" / "val.txt").write_text("00001\n")
    assert rows(scan(root), "frame", "split") == [("00000", "train"), ("00001", "val"), ("00002", "train")]


@pytest.mark.shared
def test_a_single_pair_named_by_suffixes_is_read(shared):
    [pair] = rows(scan(shared / "data" / "singles" / "m3fd"), "frame", "rgb", "tir")
    assert pair == ("M3FD_00471", "M3FD_00471_vi.png", "M3FD_00471_ir.png")
