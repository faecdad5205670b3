import sys

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import scan
from crossband.datasets.boson_nighttime import extract_boson_nighttime
from crossband.errors import CrossbandError

from .conftest import rows


def test_crops_with_one_center_are_one_frame(plant):
    tree = ["train_database/@1203@4571.png", "train_queries/@1203@4571.png", "train_queries/@9@10.5.png"]
    frames = scan(plant([*tree, "test_database/@1@2.png", "test_queries/@1@2.png"]))
    assert rows(frames, "frame", "split", "x", "y") == [
        ("test/@1@2", "test", 2.0, 1.0),
        ("train/@9@10.5", "train", 10.5, 9.0),
        ("train/@1203@4571", "train", 4571.0, 1203.0),
    ]
    assert rows(frames, "rgb", "tir")[2] == (tree[0], tree[1])
    assert frames.table["rgb"].isna().tolist() == [False, True, False]


class _FakeH5py:
    """What of h5py the exporter uses: a file that holds image_data and image_name."""

    class File(dict):
        def __init__(self, path, mode):
            gray = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3)
            data = gray if "queries" in path.name else gray + np.array([0, 1, 2], np.uint8)
            super().__init__(image_data=data, image_name=[b"@1@2"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None


def test_the_exporter_writes_what_the_adapter_reads(plant, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", _FakeH5py)
    root = plant(["test_database.h5", "test_queries.h5", "extended_database.h5"])
    assert extract_boson_nighttime(root, tmp_path / "out") == 2
    assert rows(scan(tmp_path / "out"), "frame", "rgb", "tir") == [
        ("test/@1@2", "test_database/@1@2.png", "test_queries/@1@2.png")
    ]
    assert PIL.Image.open(tmp_path / "out/test_queries/@1@2.png").mode == "L"
    assert PIL.Image.open(tmp_path / "out/test_database/@1@2.png").mode == "RGB"


def test_a_real_hdf5_file_is_extracted(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("val_database.h5", "val_queries.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["image_data"] = np.zeros((2, 8, 8, 3), np.uint8)
            file.create_dataset("image_name", data=["@1@2", "@3@4"], dtype=h5py.string_dtype("utf-8"))
    assert extract_boson_nighttime(tmp_path, tmp_path / "out") == 4
    assert scan(tmp_path / "out").names == ["val/@1@2", "val/@3@4"]


def test_without_h5py_the_fix_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CrossbandError, match="h5py"):
        extract_boson_nighttime(tmp_path, tmp_path / "out")


def test_a_folder_without_hdf5_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", _FakeH5py)
    with pytest.raises(CrossbandError, match=r"train_database.h5"):
        extract_boson_nighttime(tmp_path, tmp_path / "out")
