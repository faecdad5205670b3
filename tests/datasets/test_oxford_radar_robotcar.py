from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import scan
from crossband.datasets.oxford_radar_robotcar import (
    demosaic,
    develop_images,
    read_oxford_radar_robotcar,
    undistort,
)
from crossband.errors import CrossbandError

from .conftest import rows

TRAIN, GALLERY = "2019-01-10-11-46-21-radar-oxford-10k", "2019-01-10-12-32-52-radar-oxford-10k"
INS = "timestamp,ins_status,latitude,longitude,altitude,northing,easting,down,utm_zone,roll,pitch,yaw\n"


@pytest.fixture
def oxford(plant):
    """Two drives to the east at 10 m/s; the second starts 5 m further north."""
    root = plant(f"{drive}/mono_left/{i}000000.png" for drive in (TRAIN, GALLERY) for i in range(5))
    for drive, north in ((TRAIN, 1000.0), (GALLERY, 1005.0)):
        lines = [f"{i}000000,GOOD,0,0,0,{north},{500 + 10 * i},0,30U,0,0,{np.pi / 2}\n" for i in range(4)]
        (root / drive / "gps").mkdir()
        (root / drive / "gps" / "ins.csv").write_text(INS + "".join(lines))
        (root / drive / "gt").mkdir()
        steps = [f"{i}000000,{i + 1}000000,10.0,0.0,0,0,0,0,0,0\n" for i in range(3)]
        head = "source_timestamp,destination_timestamp,x,y,z,roll,pitch,yaw,source_radar_timestamp,"
        (root / drive / "gt" / "radar_odometry.csv").write_text(
            head + "destination_radar_timestamp\n" + "".join(steps)
        )
    return root


@pytest.mark.parametrize("positions", ["ins", "odometry"])
def test_positions_are_meters_that_the_drives_share(oxford, positions):
    frames = read_oxford_radar_robotcar(oxford, positions)
    table = rows(frames, "frame", "split", "x", "y", "condition")
    assert table[3][:2] == (f"{TRAIN}/3000000", "train")
    assert table[3][2:4] == pytest.approx((30.0, 0.0))
    assert table[7][1] == "gallery"
    assert table[7][2:4] == pytest.approx((20.0, 5.0))
    assert table[7][4] == "cloudy"
    assert frames.table["x"].isna().tolist() == [False] * 4 + [True] + [False] * 4 + [True]


def test_the_layout_is_recognized_and_missing_positions_are_named(oxford):
    assert len(scan(oxford)) == 10
    (oxford / TRAIN / "gps" / "ins.csv").write_text("timestamp,x\n1,2\n")
    with pytest.raises(CrossbandError, match=r"ins\.csv lacks northing, easting, yaw"):
        scan(oxford)
    with pytest.raises(CrossbandError, match="did you mean odometry"):
        read_oxford_radar_robotcar(oxford, "odometri")  # type: ignore[arg-type]


def test_a_mosaic_of_one_color_is_that_color_everywhere():
    mosaic = np.zeros((6, 8), np.uint8)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2] = 10, 20, 20, 30
    assert (demosaic(mosaic) == (10, 20, 30)).all()


def test_undistortion_looks_up_rows_and_columns_between_pixels():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")).reshape(2, -1)
    assert (undistort(image, grid) == image).all()
    half = undistort(image, np.where(np.arange(2)[:, None] == 1, np.minimum(grid + 0.5, 4), grid))
    assert half[0, 0].tolist() == [2, 2, 4]  # rounded half to even
    assert not undistort(image, grid - 10).any()
    with pytest.raises(CrossbandError, match="camera model has 20 pixels"):
        undistort(image[:3], grid)


def test_images_are_developed_once_and_then_read_instead(oxford, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0), indexing="ij")).reshape(2, -1)
    grid[::-1].copy().tofile(models / "mono_left_distortion_lut.bin")
    assert develop_images(oxford, models, size=2) == 10
    assert develop_images(oxford, models, size=2) == 0
    picture = oxford / TRAIN / "mono_left_undistorted" / "0000000.png"
    assert PIL.Image.open(picture).size == (2, 2)
    assert rows(scan(oxford), "rgb")[0] == (f"{TRAIN}/mono_left_undistorted/0000000.png",)
    with pytest.raises(CrossbandError, match="no camera model"):
        develop_images(oxford, tmp_path)
