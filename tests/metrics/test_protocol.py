"""What is right under each protocol, told from the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics import Protocol


def frames(n: int, **columns: object) -> Frames:
    return Frames.make([{"frame": f"f{i}", "rgb": f"{i}.png"} for i in range(n)], ".").assign(**columns)


def right(name: str, queries: Frames, gallery: Frames) -> np.ndarray:
    return Protocol.parse(name).positives(queries, gallery).block(0, len(queries))


def _reference_haversine(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Meters on a sphere of the earth's mean radius."""
    (lat1, lon1), (lat2, lon2) = ([math.radians(v) for v in p] for p in (a, b))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(h))


def test_exact_is_the_frame_of_the_same_name_wherever_it_stands():
    gallery = frames(4).select([2, 0, 3, 1])
    assert right("exact", frames(4), gallery).tolist() == (np.eye(4)[:, [2, 0, 3, 1]] > 0).tolist()


def test_place_is_every_frame_of_the_place_and_none_without_one():
    queries = frames(3, place=["bridge", None, "mill"])
    gallery = frames(4, place=["mill", "bridge", None, "bridge"])
    assert right("place", queries, gallery).tolist() == [
        [False, True, False, True],
        [False, False, False, False],
        [True, False, False, False],
    ]


def test_within_counts_meters_of_x_and_y_up_to_and_with_the_limit():
    queries = frames(2, x=[0.0, math.nan], y=[0.0, 0.0])
    gallery = frames(4, x=[15.0, 15.0, 0.0, math.nan], y=[20.0, 20.1, -25.0, 0.0])
    assert right("within:25", queries, gallery).tolist() == [[True, False, True, False], [False] * 4]


@pytest.mark.parametrize(
    "where", [(46.52, 6.63), (0.0, 0.0), (-33.9, 151.2), (71.0, -179.9999), (-60, 120), (89.9, 10)]
)
def test_within_of_latitude_and_longitude_is_the_great_circle(where):
    rng = np.random.default_rng(0)
    lat = where[0] + rng.normal(0, 25 / 111_195, 200)
    lon = where[1] + rng.normal(0, 25 / 111_195 / max(math.cos(math.radians(where[0])), 1e-6), 200)
    lon = (lon + 180) % 360 - 180  # some lie beyond the date line
    table = frames(200, lat=lat, lon=lon)
    meters = np.array(
        [[_reference_haversine(a, b) for b in zip(lat, lon, strict=True)] for a in zip(lat, lon, strict=True)]
    )
    clear = abs(meters - 25) > 1e-4
    assert (meters <= 25).any()
    assert (meters > 25).any()
    assert (right("within:25", table, table) == (meters <= 25))[clear].all()


def test_within_of_many_kilometers_is_the_arc_not_the_chord():
    a, b = (0.0, 0.0), (0.0, 90.0)
    arc = _reference_haversine(a, b)
    queries, gallery = frames(1, lat=[a[0]], lon=[a[1]]), frames(1, lat=[b[0]], lon=[b[1]])
    assert not right(f"within:{arc - 1}", queries, gallery).any()
    assert right(f"within:{arc + 1}", queries, gallery).all()
    assert right("within:40000000", queries, gallery).all()


def test_a_block_of_queries_is_those_rows_of_the_whole():
    table = frames(9, x=np.arange(9.0), y=np.zeros(9))
    mask = Protocol.parse("within:2").positives(table, table)
    assert (mask.block(3, 7) == mask.block(0, 9)[3:7]).all()


@pytest.mark.parametrize("name", ["exact", "place", "within:25", "within:0.5"])
def test_a_name_reads_back_as_it_is_written(name):
    assert str(Protocol.parse(name)) == name


@pytest.mark.parametrize(
    "name", ["", "exakt", "within", "within:", "within:-1", "within:0", "within:far", "within:nan"]
)
def test_an_unknown_protocol_is_one_sentence(name):
    with pytest.raises(CrossbandError):
        Protocol.parse(name)


def test_missing_columns_are_one_sentence_that_names_them():
    with pytest.raises(CrossbandError, match="'place'"):
        Protocol.parse("place").check(frames(2), same_band=False)
    with pytest.raises(CrossbandError, match="lat and lon"):
        Protocol.parse("within:25").check(frames(2, x=[1.0, 2.0]), same_band=False)


def test_query_equal_to_gallery_is_refused_where_each_would_only_find_itself():
    with pytest.raises(CrossbandError):
        Protocol.parse("exact").check(frames(2), same_band=True)
    Protocol.parse("place").check(frames(2, place=["a", "a"]), same_band=True)
