"""A scan accounts for every file it saw: it is an image of a frame, or it is named as left out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossband.datasets import metadata, no_images, scan
from crossband.datasets.check import check_frames
from crossband.errors import CrossbandError

PICTURE = np.add.outer(np.arange(20), np.arange(24)).astype(np.uint8)
STEMS = ("a", "b", "0001", "x y", "é", "1:05", " c", "1628000000.100000")
KINDS = ("png", "jpg", "RJPG", "npy", "seq", "txt", "csv", "tif", "none", "pages", "empty.png")
LAYOUTS = (
    "rgb",
    "thermal",
    "rgb/in",
    "thermal/in",
    "",
    "other",
    "f1/visible",
    "f1/lwir",
    "f2/visible",
    "f2/lwir",
)


def write(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in ("png", "jpg", "tif"):
        PIL.Image.fromarray(PICTURE).save(path)
    elif kind == "RJPG":
        PIL.Image.fromarray(PICTURE).save(path, format="JPEG")
    elif kind == "npy":
        np.save(path, PICTURE)
    elif kind == "pages":
        tifffile.imwrite(path, np.stack([PICTURE, PICTURE + 1, PICTURE + 2]), photometric="minisblack")
    else:
        path.write_bytes(b"" if kind == "empty.png" else b"time,lat\n1,2\n")


TREES = st.lists(
    st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(STEMS), st.sampled_from(KINDS)), min_size=1, max_size=14
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_files_seen_are_images_of_frames_or_named_as_left_out(tree):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        stems: set[str] = set()
        for where, stem, kind in tree:
            suffix = {"none": "", "pages": ".tiff", "empty.png": ".png"}.get(kind, f".{kind}")
            name = Path(where) / f"{stem}{suffix}"
            if (
                name.with_suffix("").as_posix() not in stems
            ):  # two images of one stem are refused, which is said
                stems.add(name.with_suffix("").as_posix())
                write(root / name, kind)
        seen = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        try:
            frames = scan(root)
        except CrossbandError:
            return  # no two bands in this tree: refused as a whole, with a sentence
        taken = {
            path.relative_to(root).as_posix() for band in frames.bands for path in frames.paths(band) if path
        }
        left_out = metadata(root, frames)
        whole = [one for one in left_out if one.kind != "files of several images"]
        named = [name for one in whole for name in one.files]
        assert len(named) == len(set(named))
        assert taken | set(named) == seen
        assert not taken & set(named)
        several = {name for one in left_out if one.kind == "files of several images" for name in one.files}
        assert several == {name for name in taken if name.endswith(".tiff")}


def test_what_is_left_out_is_said_once_by_kind_with_a_count_and_the_first_name(tmp_path, capsys):
    for i in range(3):
        write(tmp_path / "rgb" / f"{i}.png", "png")
        write(tmp_path / "thermal" / f"{i}.png", "png")
        write(tmp_path / "thermal" / f"{i}.seq", "seq")
    write(tmp_path / "rgb_extra" / "9.png", "png")
    scan(tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert len(lines) == 2
    assert "1 images in no frame" in lines[0]
    assert "rgb_extra/9.png" in lines[0]
    assert "3 .seq files" in lines[1]
    assert "thermal/0.seq" in lines[1]


@pytest.mark.parametrize("suffix", ["RJPG", "JPG", "unknown"])
def test_a_jpeg_under_any_suffix_takes_part(tmp_path, suffix):
    write(tmp_path / "rgb" / "0.png", "png")
    write(tmp_path / "thermal" / f"0.{suffix}", "RJPG")
    assert scan(tmp_path).bands == ("rgb", "tir")


def test_files_of_frames_that_are_no_images_are_named_and_stay(tmp_path):
    for i in range(5):
        write(tmp_path / "rgb" / f"{i}.png", "png")
        write(tmp_path / "thermal" / f"{i}.png", "png")
    for i in (1, 2):
        (tmp_path / "thermal" / f"{i}.png").write_bytes(b"")
    (tmp_path / "thermal" / "3.png").write_text("moved to the archive")
    frames = scan(tmp_path)
    assert len(frames) == 5
    assert {str(one) for one in no_images(frames)} == {
        "2 empty files, first thermal/1.png",
        "1 files that are no images, first thermal/3.png",
    }
    told = {name for one in no_images(frames) for name in one.files}
    faults = [fault for fault in check_frames(frames).faults if fault.kind == "unreadable"]
    assert told == {os.path.relpath(fault.path, tmp_path) for fault in faults}
