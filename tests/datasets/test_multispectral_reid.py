"""RGBN300, RGBNT100, RGBNT201 and MSVR310 as their archives unpack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band
from crossband.datasets import scan
from crossband.datasets.rgbnt100 import split_rgbn300, split_rgbnt100
from crossband.io import read_image
from crossband.metrics.reid import reid_labels

from .conftest import rows


def side_by_side(root: Path, panels: int, above: str = "rgbir/", height: int = 8) -> Path:
    """A vehicle to train on and one to test, whose query is a copy of a gallery image; panel k is of value
    60 k + 20, but for the first, which is red."""
    names = {
        "bounding_box_train": ["0001_c1_0001", "0001_c2_0001"],
        "query": ["0002_c3_0007"],
        "bounding_box_test": ["0002_c3_0007", "0002_c4_0001"],
    }
    picture = np.zeros((height, 2 * height * panels, 3), np.uint8)
    for k in range(panels):
        part = picture[:, 2 * height * k : 2 * height * (k + 1)]
        part[:] = 60 * k + 20 if k else (200, 20, 20)
    for folder, stems in names.items():
        (root / above / folder).mkdir(parents=True)
        for stem in stems:
            PIL.Image.fromarray(picture).save(root / above / folder / f"{stem}.jpg", quality=95, subsampling=0)
    return root


@pytest.mark.parametrize("above", ["rgbir/", ""])
@pytest.mark.parametrize(
    ("name", "split", "panels"), [("rgbn300", split_rgbn300, 2), ("rgbnt100", split_rgbnt100, 3)]
)
def test_the_bands_side_by_side_are_split_once_and_then_recognized(tmp_path, name, split, panels, above):
    out = tmp_path / "out"
    assert split(side_by_side(tmp_path / "in", panels, above), out) == 5
    frames = scan(out)
    assert [band.value for band in frames.bands] == ["rgb", "nir", "tir"][:panels]
    assert rows(frames, "frame", "split", "identity", "camera", "image")[2] == (
        "query/0002_c3_0007",
        "query",
        "0002",
        "c3",
        "0002_c3_0007",
    )
    assert frames.table["split"].value_counts().to_dict() == {"train": 2, "gallery": 2, "query": 1}
    for k, band in enumerate(frames.bands):
        pixels = read_image(frames.paths(band)[0], band).pixels
        assert pixels.shape == ((8, 16, 3) if band is Band.RGB else (8, 16))
        assert abs(pixels.astype(int) - (60 * k + 20 if k else (200, 20, 20))).max() < 12  # JPEG


def test_identities_to_train_on_are_dealt_to_ten_folds(plant):
    stems = [f"{identity:04}_c{camera}_1" for identity in range(1, 13) for camera in (1, 2)]
    root = plant(f"bounding_box_train/{band}/{stem}.png" for band in ("rgb", "nir") for stem in stems)
    folds = scan(root, kind="rgbn300").table.groupby("identity")["fold"].unique()
    assert all(len(fold) == 1 for fold in folds)
    assert [fold[0] for fold in folds] == [*map(str, range(10)), "0", "1"]


def test_the_copy_of_a_query_in_the_gallery_is_left_out_by_protocol_rgbnt100(tmp_path):
    split_rgbnt100(side_by_side(tmp_path / "in", 3), tmp_path / "out")
    frames = scan(tmp_path / "out")
    query, gallery = reid_labels(frames.split("query"), frames.split("gallery"), "rgbnt100")
    assert (gallery.frame == query.frame[0]).tolist() == [True, False]


def test_splitting_again_only_writes_what_is_missing(tmp_path):
    out = tmp_path / "out"
    split_rgbn300(side_by_side(tmp_path / "in", 2), out)
    kept, gone = (out / "query" / band / "0002_c3_0007.png" for band in ("rgb", "nir"))
    before = kept.stat().st_mtime_ns
    other = out / "bounding_box_test" / "rgb" / "0002_c4_0001.png"
    untouched = other.stat().st_mtime_ns
    gone.unlink()
    assert split_rgbn300(tmp_path / "in", out) == 5
    assert gone.exists()
    assert other.stat().st_mtime_ns == untouched
    assert kept.stat().st_mtime_ns >= before


def test_rgbnt201_has_identity_and_camera_in_its_names(plant):
    names = ("train_171/{}/000001_cam1_0_00.jpg", "test/{}/000258_cam4_2_07.jpg")
    frames = scan(plant([name.format(band) for name in names for band in ("RGB", "NI", "TI")]))
    assert set(rows(frames, "frame", "split", "identity", "camera")) == {
        ("train_171/000001_cam1_0_00", "train", "000001", "cam1"),
        ("test/000258_cam4_2_07", "test", "000258", "cam4"),
    }
    assert frames.bands == ("rgb", "nir", "tir")


def test_rgbnt201_keeps_a_frame_that_lacks_a_band(plant):
    paths = [f"test/{band}/000258_cam4_2_07.jpg" for band in ("RGB", "NI", "TI")]
    paths += [f"train_171/{band}/000001_cam1_0_00.jpg" for band in ("RGB", "NI", "TI")]
    frames = scan(plant([*paths, "test/RGB/000258_cam4_2_08.jpg"]))
    assert len(frames) == 3
    assert frames.table["tir"].isna().sum() == 1


def test_msvr310_has_identity_scene_and_view_in_its_names(plant):
    paths = [
        f"{folder}/{vehicle}/{band}/{vehicle}_s{scene:03}_v{view}_000.jpg"
        for folder, vehicle, scene, view in (
            ("bounding_box_train", "0001", 1, 3),
            ("query3", "0002", 2, 8),
            ("bounding_box_test", "0002", 2, 8),
            ("bounding_box_test", "0002", 3, 1),
        )
        for band in ("vis", "ni", "th")
    ]
    frames = scan(plant(paths))
    assert frames.bands == ("rgb", "nir", "tir")
    by_split = {row[0]: row[1:] for row in rows(frames, "split", "identity", "scene", "camera", "image")}
    assert by_split["train"] == ("0001", "s001", "v3", "0001_s001_v3_000")
    assert by_split["query"] == ("0002", "s002", "v8", "0002_s002_v8_000")
    query, gallery = reid_labels(frames.split("query"), frames.split("gallery"), "same-scene")
    assert (gallery.scene == query.scene[0]).sum() == 1
