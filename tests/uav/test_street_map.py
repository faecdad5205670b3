"""OpenStreetMap's extracts, drawn as classes of the ground."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.geo import METERS_PER_DEGREE
from crossband.uav.ground_classes import GROUND, UNKNOWN
from crossband.uav.semantic_map import read_map

SOUTH, WEST = 48.7, 9.1


def place(x: float, y: float) -> list[float]:
    return [WEST + x / (METERS_PER_DEGREE * np.cos(np.radians(SOUTH))), SOUTH + y / METERS_PER_DEGREE]


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [place(x + a * side, y + b * side) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))]


def feature(kind: str, places: list, **tags: str) -> dict:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": places}, "properties": tags}


@pytest.fixture
def extract(tmp_path):
    features = [
        feature("Polygon", [square(0, 0, 200)], landuse="grass"),
        feature("Polygon", [square(20, 20, 40), square(30, 30, 20)], building="yes"),
        feature("LineString", [place(0, 100), place(200, 100)], highway="residential", width="8 m"),
        feature("LineString", [place(100, 0), place(100, 60)], highway="footway"),
        feature("MultiPolygon", [[square(120, 120, 40)]], natural="wood"),
        feature("Point", place(30, 150), natural="tree"),
        feature("Point", place(60, 150), shop="books"),
        {"type": "Feature", "geometry": None, "properties": {"building": "yes"}},
    ]
    path = tmp_path / "town.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [
        (180, 20, "grass"),
        (25, 25, "building"),
        (40, 40, "grass"),  # the yard
        (50, 103, "road"),
        (50, 106, "grass"),
        (100, 30, "pavement"),
        (140, 140, "tree"),
        (30, 150, "tree"),
    ],
)
def test_what_is_where(extract, x, y, name):
    assert GROUND[int(read_map(extract).at(np.array(x), np.array(y)))] == name


def test_the_map_lies_where_it_should(extract):
    ground = read_map(extract)
    assert (ground.latitude, ground.longitude) == pytest.approx((SOUTH, WEST))
    assert ground.extent == pytest.approx((200, 200), abs=1)
    assert ground.at(np.array(260), np.array(20)) == UNKNOWN


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"type": "Feature"}, "not a GeoJSON FeatureCollection; export"),
        ({"features": [feature("Point", [9, 48], shop="books")]}, "no building, street, wood or green"),
        (
            {"features": [feature("Polygon", [[[900, 4], [1, 2], [2, 3]]], building="yes")]},
            "not on the earth, first feature 1; export it in longitude and latitude",
        ),
        (
            {"features": [feature("Polygon", [], building="yes") | {"id": "way/7\x1b"}]},
            r"empty or nowhere on the earth, first feature way/7\\x1b; export it again",
        ),
        ({"features": [feature("MultiPolygon", [], building="yes")]}, "empty or nowhere"),
        ({"features": [feature("Polygon", [[]], building="yes")]}, "empty or nowhere"),
        ({"features": [feature("LineString", [], highway="primary")]}, "empty or nowhere"),
        ({"features": [feature("Point", [], natural="tree")]}, "empty or nowhere"),
        ({"features": [feature("LineString", [[1, 1], [9, 9]], highway="primary")]}, "too large an area"),
    ],
)
def test_what_is_no_map_says_so(tmp_path, content, words):
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    with pytest.raises(CrossbandError, match=words):
        read_map(tmp_path / "a.geojson")


EMPTY = [
    feature("Polygon", [], building="yes"),
    feature("MultiPolygon", [[]], natural="wood"),
    feature("Polygon", [[[9.1, 48.7], [9.2, None], [9.2, 48.8]]], building="yes"),
    feature("LineString", [], highway="primary"),
]


def test_what_has_no_place_is_left_out_and_said(extract, capsys):
    whole = read_map(extract)
    assert capsys.readouterr().err == ""
    content = json.loads(extract.read_text())
    extract.write_text(json.dumps({**content, "features": [*EMPTY, *content["features"]]}))
    np.testing.assert_array_equal(read_map(extract).labels, whole.labels)
    assert capsys.readouterr().err == f"{extract}: 4 of 10 shapes have no place, and are left out\n"
