"""The map from tiles and from GeoTIFF, projections against the city's own camera, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.uav.ground_classes import GROUND, UNKNOWN, label_table
from crossband.uav.projection import Pose, ground_patch, sample
from crossband.uav.semantic_map import SemanticMap, read_map

from .conftest import LATITUDE, LONGITUDE, blocks, pose

rasterio = pytest.importorskip("rasterio")


def write_raster(path, labels, crs="EPSG:4326", transform=None, **options):
    ground = SemanticMap(labels, 1.0, LATITUDE, LONGITUDE)
    north, east = ground.to_geographic(*ground.extent)
    if transform is None:
        transform = rasterio.transform.from_bounds(LONGITUDE, LATITUDE, east, north, *labels.shape[::-1])
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=labels.shape[1],
        height=labels.shape[0],
        count=1,
        dtype=labels.dtype,
        crs=crs,
        transform=transform,
        **options,
    ) as file:
        file.write(labels, 1)
    return path


def test_tiles_are_put_together_with_north_up(world):
    ground = read_map(world / "world")
    assert np.array_equal(ground.labels, blocks())
    assert (ground.meters, ground.latitude, ground.longitude) == (1.0, LATITUDE, LONGITUDE)
    assert ground.at(np.array([0.5, 159.5]), np.array([0.5, 159.5])).tolist() == [
        blocks()[-1, 0],
        blocks()[0, -1],
    ]


def test_a_geotiff_of_the_same_labels_is_the_same_map(world, tmp_path):
    path = write_raster(tmp_path / "map.tif", blocks() + 1)
    path.with_suffix(".json").write_text(json.dumps({name: i + 1 for i, name in enumerate(GROUND)}))
    ground = read_map(path, meters=1.0)
    assert ground.labels.shape == (160, 160)
    assert (ground.labels == blocks()).mean() > 0.99
    assert ground.latitude == pytest.approx(LATITUDE, abs=1e-7)


def test_a_geotiff_in_another_projection_lies_in_the_same_place(world, tmp_path):
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    plain = write_raster(tmp_path / "plain.tif", blocks())
    with rasterio.open(plain) as source:
        transform, width, height = calculate_default_transform(
            source.crs, "EPSG:32632", source.width, source.height, *source.bounds, resolution=0.5
        )
        turned = np.full((height, width), 255, np.uint8)
        reproject(
            source.read(1),
            turned,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_nodata=255,
            dst_transform=transform,
            dst_crs="EPSG:32632",
            resampling=Resampling.nearest,
        )
    ground = read_map(
        write_raster(tmp_path / "utm.tif", turned, "EPSG:32632", transform, nodata=255), meters=1.0
    )
    x, y = np.meshgrid(np.arange(10.5, 150), np.arange(10.5, 150))
    plain_map = read_map(world / "world")
    pairs = zip(x.flat, y.flat, strict=True)
    places = np.array([ground.to_meters(*plain_map.to_geographic(a, b)) for a, b in pairs])
    found = ground.at(places[:, 0], places[:, 1])
    assert (
        found == read_map(world / "world").at(x.ravel(), y.ravel())
    ).mean() > 0.93  # borders move by a pixel


def test_a_rough_position_is_near_the_map_or_named(world):
    ground = read_map(world / "world")
    ground.check_near(-30, 100, 40)
    with pytest.raises(CrossbandError):
        ground.check_near(-50, 100, 40)


@pytest.mark.parametrize(("heading", "pitch"), [(0, -90), (77, -90), (200, -45), (310, -60)])
def test_a_pixel_comes_back_from_the_ground(heading, pitch):
    camera = Pose(12.0, -7.0, 45.0, heading, pitch, 80.0, 48, 64)
    columns, rows = np.meshgrid(np.arange(0.5, 64, 9), np.arange(0.5, 48, 9))
    again = camera.to_pixels(*camera.to_ground(columns, rows))
    assert again[0] == pytest.approx(columns)
    assert again[1] == pytest.approx(rows)


@pytest.mark.parametrize("oblique", [False, True])
def test_the_camera_is_the_citys(oblique):
    cameras = pytest.importorskip("crossband.simulation.cameras")
    eye, target = np.array([100.0, 50.0, 40.0]), np.array([130.0, 90.0, 0.0])
    theirs = cameras.look(eye, target, (48, 64), 50.0) if oblique else cameras.nadir(eye, 123.0, (48, 64), 50.0)
    ours = Pose(100.0, 50.0, 40.0, theirs.heading, theirs.pitch, theirs.focal, 48, 64)
    points = np.array([[110.0, 60.0, 0.0], [95.0, 70.0, 0.0]])
    for mine, other in zip(ours.to_pixels(points[:, 0], points[:, 1]), theirs.project(points)[:2], strict=True):
        assert mine == pytest.approx(other, abs=1e-5)


def test_above_the_horizon_there_is_no_ground():
    camera = Pose(0, 0, 40.0, 0.0, 10.0, 60.0, 48, 64)
    assert np.isnan(camera.to_ground(np.array(32.0), np.array(0.5))).all()
    assert camera.looks_at == (0, 0)


def test_what_a_camera_sees_laid_back_on_the_ground_is_the_map(world):
    ground = read_map(world / "world")
    for camera in (pose(80, 80, 30), pose(70, 75, 250, -60)):
        patch = ground_patch(ground.seen_by(camera), camera, 48.0, 48, UNKNOWN)
        tile = ground.patch(*camera.looks_at, 48.0, 48)
        seen = patch != UNKNOWN
        assert seen.mean() > 0.3
        assert (patch == tile)[seen].mean() > 0.9


def test_a_layer_is_looked_up_by_whole_pixels():
    layer = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert sample(layer, np.array([2.99, 3.0, np.nan]), np.array([1.5, 1.5, 0.5]), 9).tolist() == [5, 9, 9]


def test_classes_are_known_by_their_names_in_any_spelling():
    table = label_table({"Low Vegetation": 4, "car": 200, "nonsense": 3})
    assert (table[4], table[200], table[3]) == (2, 5, UNKNOWN)
