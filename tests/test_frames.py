"""The manifest: what it takes, what it refuses, and that it reads back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.frames import COLUMNS, Frames

ROWS = [
    {"frame": "007", "rgb": "rgb/007.png", "tir": "tir/007.png", "place": "007", "split": "query", "x": 1.5},
    {"frame": "NA", "rgb": "rgb/é ü.png", "place": "NA", "split": "gallery", "condition": "night"},
    {"frame": "c,d", "tir": "tir/c.png", "place": "1e5", "time": "2024-01-02T03:04:05", "own": 3},
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_reads_back_as_it_was_written(tmp_path, suffix):
    frames = Frames.make(ROWS, tmp_path)
    again = Frames.read(frames.write(tmp_path / f"frames{suffix}"))
    pd.testing.assert_frame_equal(again.table, frames.table)
    assert again.root == tmp_path
    assert again.table["place"].tolist() == ["007", "NA", "1e5"]
    assert again.table["own"].tolist()[-1] == 3


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_empty_column_keeps_its_type(tmp_path, suffix):
    frames = Frames.make([{"frame": "a", "rgb": "a.png", "identity": None, "lat": None}], tmp_path)
    again = Frames.read(frames.write(tmp_path / f"frames{suffix}"))
    assert again.table["identity"].dtype == "string"
    assert again.table["lat"].dtype == "float64"
    assert not again.has("identity")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_manifest_and_its_images_move_together(tmp_path, suffix):
    images, out = tmp_path / "a" / "images", tmp_path / "a" / "out"
    images.mkdir(parents=True)
    Frames.make(ROWS, images).write(out / f"frames{suffix}")
    (tmp_path / "a").rename(tmp_path / "b")
    assert Frames.read(tmp_path / "b" / "out" / f"frames{suffix}").root == tmp_path / "b" / "images"


def test_a_manifest_in_a_linked_folder_finds_its_images(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "images").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    Frames.make(ROWS, tmp_path / "real" / "images").write(tmp_path / "link" / "frames.csv")
    assert Frames.read(tmp_path / "link" / "frames.csv").root == tmp_path / "real" / "images"


def test_a_spreadsheets_csv_is_read(tmp_path):
    text = "\ufeffframe,rgb,tir,place\r\n1,a.png,b.png, 01 \r\n2,c.png,,\r\n"
    (tmp_path / "f.csv").write_text(text, encoding="utf-8", newline="")
    frames = Frames.read(tmp_path / "f.csv")
    assert frames.names == ["1", "2"]
    assert frames.table["place"].tolist() == ["01", pd.NA]
    assert frames.paths("tir") == [tmp_path / "b.png", None]


def test_another_root_can_be_named(tmp_path):
    Frames.make(ROWS, tmp_path).write(tmp_path / "frames.csv")
    (tmp_path / "other").mkdir()
    assert Frames.read(tmp_path / "frames.csv", root=tmp_path / "other").root == tmp_path / "other"


def test_numbers_as_names_stay_whole(tmp_path):
    frames = Frames.make(pd.DataFrame({"frame": [1, 2], "rgb": ["a", "b"], "place": [7, None]}), tmp_path)
    assert frames.names == ["1", "2"]
    assert frames.table["place"].tolist() == ["7", pd.NA]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hosts",
        "../a.png",
        "rgb/../../a.png",
        "..\\a.png",
        "C:\\a.png",
        "\\\\host\\a.png",
        "~/a.png",
        "a\0b",
    ],
)
@pytest.mark.parametrize("column", ["rgb", "labels", "boxes"])
def test_a_path_that_leaves_the_folder_is_refused(column, path):
    row = {"frame": "a", "rgb": "a.png"} | {column: path}
    with pytest.raises(CrossbandError, match=f"paths must stay inside the manifest's folder; {column} has"):
        Frames.make([row], "data")


def test_a_link_below_the_root_is_followed(tmp_path, make_pairs):
    recordings = make_pairs(tmp_path / "elsewhere", n=1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rgb").symlink_to(recordings / "rgb")
    [path] = Frames.make([{"frame": "a", "rgb": "rgb/0000.png"}], tmp_path / "data").paths("rgb")
    assert path is not None
    assert path.is_file()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"frame": "a", "rgb": "a"}, {"frame": "a", "rgb": "b"}],
            "frame names must be unique; 'a' appears twice",
        ),
        ([{"frame": None, "rgb": "a"}], "some have an empty 'frame'"),
        ([{"frame": "a", "place": "b"}], "at least one of rgb, nir, tir"),
        ([{"rgb": "a"}], "a column 'frame'"),
        ([{"frame": "a", "rgb": "a", "x": "north"}], "column 'x' of the manifest must hold numbers"),
        ([{"frame": "a", "rgb": "a", "tir_units": "fahrenheit"}], "unknown units 'fahrenheit'"),
        ([], "a column 'frame'"),
    ],
)
def test_what_is_no_manifest_is_refused(rows, message):
    with pytest.raises(CrossbandError, match=message):
        Frames.make(rows, ".")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.parquet", b"not a parquet file"),
        ("f.parquet", b""),
        ("f.csv", b""),
        ("f.csv", b"\xff\xfe\x00\x01"),
        ("f.csv", b"frame,rgb\na,b,c,d,e\nf,g,h,i,j,k\n"),
    ],
)
def test_an_unreadable_manifest_is_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CrossbandError) as caught:
        Frames.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_manifest_says_how_to_write_one(tmp_path):
    with pytest.raises(CrossbandError, match=r"crossband data scan ROOT --out f.csv"):
        Frames.read(tmp_path / "f.csv")


def test_a_manifest_whose_images_are_gone_says_so(tmp_path):
    (tmp_path / "f.csv").write_text("# root: gone\nframe,rgb\na,a.png\n")
    with pytest.raises(CrossbandError, match="which is not a folder; give --root"):
        Frames.read(tmp_path / "f.csv")


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(CrossbandError, match=r"a .parquet or .csv file, not f.txt"):
        Frames.make(ROWS, tmp_path).write(tmp_path / "f.txt")


def test_an_unwritable_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CrossbandError, match=r"cannot write .*choose another --out"):
        Frames.make(ROWS, tmp_path).write(tmp_path / "file" / "f.csv")


def test_columns_that_parquet_cannot_hold_are_one_sentence(tmp_path):
    frames = Frames.make(
        [{"frame": "a", "rgb": "a", "own": 1}, {"frame": "b", "rgb": "b", "own": "x"}], tmp_path
    )
    with pytest.raises(CrossbandError, match="cannot hold these columns"):
        frames.write(tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_manifest(tmp_path, monkeypatch):
    path = Frames.make(ROWS, tmp_path).write(tmp_path / "f.parquet")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(CrossbandError, match="No space left"):
        Frames.make(ROWS[:1], tmp_path).write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_bands_are_those_that_a_frame_has():
    frames = Frames.make([{"frame": "a", "rgb": "a", "nir": None, "tir": "b"}], "data")
    assert frames.bands == (Band.RGB, Band.TIR)
    with pytest.raises(CrossbandError, match="no frames have the band nir; these have rgb, tir"):
        frames.paths("nir")
    assert frames.paths("tir") == [Path("data/b")]


def test_units_are_said_by_frame():
    frames = Frames.make([{"frame": "a", "tir": "a", "tir_units": "kelvin"}, {"frame": "b", "tir": "b"}], ".")
    assert frames.units() == ["kelvin", None]
    assert Frames.make(ROWS, ".").units() == [None] * 3


def test_frames_are_selected_by_mask_position_and_slice():
    frames = Frames.make(ROWS, ".")
    assert frames.select(np.array([True, False, True])).names == ["007", "c,d"]
    assert frames.select(np.array([2, 0])).names == ["c,d", "007"]
    assert frames.select(slice(1, None)).names == ["NA", "c,d"]
    assert len(frames.select(np.array([]))) == 0


def test_splits_are_selected_and_a_missing_one_named():
    frames = Frames.make(ROWS, ".")
    assert frames.split("query", "gallery").names == ["007", "NA"]
    with pytest.raises(CrossbandError, match="no frames in split test; there are gallery, query"):
        frames.split("test")
    with pytest.raises(CrossbandError, match="there are none"):
        Frames.make([{"frame": "a", "rgb": "a"}], ".").split("test")


def test_every_nth_frame_is_counted_within_its_sequence():
    rows = [{"frame": f"{s}{i}", "rgb": f"{s}{i}", "sequence": s} for s in "ab" for i in range(5)]
    frames = Frames.make(rows, ".")
    assert frames.every(2).names == ["a0", "a2", "a4", "b0", "b2", "b4"]
    assert frames.every(1) is frames
    no_sequence = Frames(frames.table.drop(columns="sequence"), frames.root)
    assert no_sequence.every(4).names == ["a0", "a4", "b3"]


def test_own_columns_stand_after_the_known():
    table = Frames.make([{"own": 1, "tir": "t", "frame": "a", "rgb": "r"}], ".").table
    assert list(table) == ["frame", "rgb", "tir", "own"]
    assert set(table) - set(COLUMNS) == {"own"}


def test_a_folder_whose_name_is_not_utf8_holds_its_own_manifest_and_no_other_names_it(tmp_path):
    root = tmp_path / "\udcff"
    root.mkdir()
    frames = Frames.make([{"frame": "a", "rgb": "a.png"}], root)
    for name in ("frames.parquet", "frames.csv"):
        assert Frames.read(frames.write(root / name)).names == ["a"]
        with pytest.raises(CrossbandError, match="not UTF-8; write it next to them"):
            frames.write(tmp_path / name)
