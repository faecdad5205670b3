"""The chain: every stage leaves its file, goes on where it was, and can say that an object is not there."""

from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest

from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.uav import stages
from crossband.uav.flight import open_flight
from crossband.uav.networks import Networks
from crossband.uav.pipeline import reid
from crossband.uav.semantic_map import read_map


def run(photo, world, networks, out, **options):
    """Search one of the three flights."""
    one = {"where": {"sequence": ["flight0"]}, **options}
    return reid(photo, world / "world", world / "world", networks, out, **one)


@pytest.mark.slow
def test_from_photograph_to_ranked_objects_on_the_map(photo, world, networks, tmp_path):
    found = run(photo, world, networks, tmp_path / "out", k=7)
    assert [match.rank for match in found.matches] == list(range(1, 8))
    distances = [match.distance for match in found.matches]
    assert distances == sorted(distances)
    assert found.there == (distances[0] <= 0.9)
    written = json.loads((tmp_path / "out" / "matches.json").read_text())
    assert written["matches"][0]["frame"] == found.matches[0].frame
    marks = ElementTree.parse(tmp_path / "out" / "matches.kml").getroot().findall(".//{*}Placemark")
    points = json.loads((tmp_path / "out" / "matches.geojson").read_text())["features"]
    longitude, latitude = points[0]["geometry"]["coordinates"]
    assert len(marks) == len([one for one in found.matches if one.lat is not None])
    written_at = marks[0].findtext(".//{*}coordinates").split(",")
    assert [float(v) for v in written_at] == pytest.approx([longitude, latitude])
    assert (latitude, longitude) == (found.matches[0].lat, found.matches[0].lon)
    assert 48.69 < latitude < 48.71
    with PIL.Image.open(tmp_path / "out" / "matches.jpg") as picture:
        assert picture.width > 1000
    assert read_image(tmp_path / "out" / "probe.png", "tir").pixels.dtype == np.uint16


@pytest.mark.slow
def test_a_second_run_takes_what_is_there_and_a_torn_one_goes_on(photo, world, networks, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = run(photo, world, networks, out)
    calls = []
    label = stages.label_image
    monkeypatch.setattr(stages, "label_image", lambda *a: calls.append(1) or label(*a))
    assert run(photo, world, networks, out) == first
    assert not calls
    path = out / "positions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]) + lines[-2][:20])  # killed in the middle of a line
    assert run(photo, world, networks, out) == first
    assert len(calls) == 2
    assert path.read_text() == "".join(lines)


@pytest.mark.slow
def test_another_network_starts_the_stage_anew(photo, world, networks, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(photo, world, networks, out)
    before = (out / "detections.jsonl").read_text().splitlines()[0]
    other = tmp_path / "models"
    shutil.copytree(networks, other)
    data = bytearray((other / "detection.safetensors").read_bytes())
    data[-4:] = np.float32(0.25).tobytes()
    (other / "detection.safetensors").write_bytes(bytes(data))
    run(photo, world, other, out)
    assert (out / "detections.jsonl").read_text().splitlines()[0] != before


@pytest.mark.slow
def test_a_photograph_without_the_object_is_answered_by_not_there(photo, world, networks, tmp_path):
    strict = tmp_path / "models"
    shutil.copytree(networks, strict)
    (strict / "calibration.json").write_text(json.dumps({"beta": 0.5, "threshold": 1e-9}))
    assert run(photo, world, networks, tmp_path / "a").there
    found = run(photo, world, strict, tmp_path / "b")
    assert not found.there
    assert found.matches  # what is nearest is still said
    assert json.loads((tmp_path / "b" / "matches.json").read_text())["there"] is False


@pytest.mark.slow
def test_a_flight_in_which_nothing_is_detected_has_nothing_to_compare(
    photo, world, networks, tmp_path, monkeypatch
):
    from crossband.uav import pipeline

    monkeypatch.setattr(pipeline, "detect", lambda flight, *_: [np.zeros((0, 6))] * len(flight))
    found = run(photo, world, networks, tmp_path / "out")
    assert (found.there, found.matches, found.n_objects) == (False, [], 0)


def test_networks_that_are_missing_or_of_another_task_are_named(photo, world, networks, tmp_path):
    with pytest.raises(CrossbandError, match=r"none"):
        run(photo, world, tmp_path / "none", tmp_path / "out")
    other = tmp_path / "models"
    shutil.copytree(networks, other)
    shutil.copy(networks / "labeling.safetensors", other / "translation.safetensors")
    with pytest.raises(CrossbandError, match="translation"):
        run(photo, world, other, tmp_path / "out")


def test_a_rough_position_off_the_map_is_named_before_anything_is_computed(world, networks, tmp_path):
    ground, flight = read_map(world / "world"), open_flight(world / "world")
    flight.table.loc[4, "lat"] = 48.9
    loaded = Networks(networks)
    with pytest.raises(CrossbandError, match=r"48\.9"):
        stages.localize(flight, ground, loaded.labeler, loaded.locator, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_tiles_are_kept_in_a_gallery_and_found_again(world, networks, tmp_path):
    from crossband.retrieval.gallery.lance import LanceStore

    ground, locator = read_map(world / "world"), Networks(networks).locator
    first = stages.open_tiles(locator, ground, tmp_path)
    again = stages.open_tiles(locator, ground, tmp_path)
    assert np.array_equal(first.vectors, again.vectors)
    assert np.array_equal(first.positions, again.positions)
    store = LanceStore(next(tmp_path.glob("tiles-*")))
    assert store.count() == len(first.positions) == 100
    assert store.count("x < 16 AND lat < 48.7003") == 2
