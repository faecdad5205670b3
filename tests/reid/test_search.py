"""``crossband reid``: what it finds, what it leaves out, and what it says when it cannot."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from crossband import cli, object_search
from crossband.data.items import FrameItems
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.reid.describe import describe_frames
from crossband.reid.search import load_reid, reid
from crossband.training import read_recipe, train

from .test_task import content, write_vehicles


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A folder with ``vehicles/`` and ``others/``, and a checkpoint of three bands."""
    root = tmp_path_factory.mktemp("reid")
    write_vehicles(root / "vehicles")
    write_vehicles(root / "others", seed=1)
    run = train(read_recipe(content(trainer={"epochs": 1})), [], root / "run", data_root=root)
    return root, Path(run.checkpoint)


@pytest.mark.slow
def test_matches_are_the_nearest_frames_by_the_sum_of_features(made):
    root, checkpoint = made
    frames = Frames.read(root / "vehicles" / "frames.parquet")
    loaded = load_reid(checkpoint)
    vectors = describe_frames(loaded.network, FrameItems(frames, loaded.bands, loaded.preprocess))
    summed = vectors.features.sum(1)
    summed /= np.linalg.norm(summed, axis=1, keepdims=True)
    row = frames.names.index("v4c1")
    found = reid("v4c1", root / "vehicles", checkpoint, k=5)
    expected = [i for i in np.argsort(1 - summed @ summed[row], kind="stable") if i != row][:5]
    assert [match.frame for match in found.matches] == [frames.names[i] for i in expected]
    assert found.matches[0].distance == pytest.approx(float(1 - summed[expected[0]] @ summed[row]), abs=1e-5)
    assert [match.rank for match in found.matches] == [1, 2, 3, 4, 5]
    assert (found.n_gallery, found.n_left_out, found.identity, found.camera) == (23, 1, "v4", "c1")


@pytest.mark.slow
def test_an_image_of_one_band_is_searched_for_in_all(made, tmp_path):
    root, checkpoint = made
    copy = shutil.copy(root / "vehicles" / "tir" / "v4c1.png", tmp_path / "car.png")
    found = reid(copy, root / "vehicles", checkpoint, band="tir")
    assert (found.query_bands, found.gallery_bands) == (["tir"], ["rgb", "nir", "tir"])
    assert found.identity is None
    assert len(found.matches) == 10
    alone = reid({"tir": copy}, root / "vehicles", checkpoint, gallery_bands=["tir"])
    assert alone.matches[0].frame == "v4c1"
    assert alone.matches[0].distance == pytest.approx(0, abs=1e-5)


def test_a_frame_of_the_gallery_that_is_asked_for_by_its_file_is_left_out(made, monkeypatch):
    root, checkpoint = made
    monkeypatch.chdir(root / "vehicles")
    found = reid("rgb/v4c1.png", root / "vehicles", checkpoint, k=30)
    assert found.n_left_out == 1
    assert "v4c1" not in {match.frame for match in found.matches}
    assert reid("rgb/v4c1.png", root / "others", checkpoint, k=30).n_left_out == 0
    assert reid("tir/v4c1.png", root / "vehicles", checkpoint, k=30).n_left_out == 1  # the band is not said
    (root / "linked").mkdir()
    for band in ("rgb", "nir", "tir"):
        (root / "linked" / band).symlink_to(root / "vehicles" / band)
    shutil.copy(root / "vehicles" / "frames.parquet", root / "linked")
    assert reid("rgb/v4c1.png", root / "linked", checkpoint, k=30).n_left_out == 1


def test_a_thermal_file_that_is_taken_for_color_is_said(made, tmp_path, capsys):
    root, checkpoint = made
    PIL.Image.fromarray(np.full((16, 32), 29_500, np.uint16)).save(tmp_path / "car.png")
    reid(tmp_path / "car.png", root / "vehicles", checkpoint)
    assert "car.png has one channel of 16 bits" in capsys.readouterr().err
    reid(tmp_path / "car.png", root / "vehicles", checkpoint, band="tir")
    assert "one channel" not in capsys.readouterr().err


def test_bands_that_are_not_shared_are_compared_by_scores(made):
    root, checkpoint = made
    found = reid("v4c1", root / "vehicles", checkpoint, query_bands=["rgb"], gallery_bands=["tir"])
    assert found.descriptor == "scores"


def test_cameras_and_times_are_chosen_by_the_manifest(made):
    root, checkpoint = made
    by_camera = reid("v4c1", root / "vehicles", checkpoint, k=30, camera=["c0", "c3"])
    assert {match.camera for match in by_camera.matches} == {"c0", "c3"}
    assert by_camera.n_gallery == 12
    late = reid(
        "v4c1", root / "vehicles", checkpoint, k=30, after="2025-01-01T02:00:00", before="2025-01-01T02:30"
    )
    assert {match.camera for match in late.matches} == {"c2"}
    assert late.n_gallery == 6


@pytest.mark.slow
def test_what_the_store_has_is_not_described_again_and_gives_the_same(made, tmp_path, monkeypatch):
    root, checkpoint = made
    first = reid("v4c1", root / "vehicles", checkpoint, store=tmp_path)
    module = importlib.import_module("crossband.reid.search")  # crossband.reid is the function

    described = []
    honest = module.describe_frames
    monkeypatch.setattr(
        module,
        "describe_frames",
        lambda n, items, **how: described.append(len(items)) or honest(n, items, **how),
    )
    again = reid("v4c1", root / "vehicles", checkpoint, store=tmp_path)
    assert described == [1]  # the query alone
    assert [m.frame for m in again.matches] == [m.frame for m in first.matches]
    PIL.Image.new("L", (32, 16), 99).save(root / "vehicles" / "nir" / "v0c0.png")
    reid("v4c1", root / "vehicles", checkpoint, store=tmp_path)
    assert described == [1, 1, 1]  # the frame that has changed, and the query


def test_re_ranking_keeps_every_frame_and_stays_between_0_and_1(made):
    root, checkpoint = made
    found = reid("v4c1", root / "vehicles", checkpoint, k=30, rerank=True)
    assert len(found.matches) == 23
    assert all(-1e-6 <= match.distance <= 1 + 1e-6 for match in found.matches)


@pytest.mark.slow
def test_the_strip_shows_every_band_and_marks_right_and_wrong(made, tmp_path):
    root, checkpoint = made
    found = reid("v4c1", root / "vehicles", checkpoint, k=8)
    picture = PIL.Image.open(found.save_strip(tmp_path / "deep" / "strip.png"))
    one = PIL.Image.open(reid("v4c1", root / "vehicles", checkpoint, k=1).save_strip(tmp_path / "one.png"))
    assert picture.width > 3 * one.width
    assert picture.height == one.height
    colors = set(
        picture.convert("RGB").get_flattened_data()
        if hasattr(picture, "get_flattened_data")
        else picture.convert("RGB").getdata()
    )
    right = any(match.identity == "v4" for match in found.matches)
    assert ((26, 152, 80) in colors) == right
    assert (215, 48, 39) in colors


@pytest.mark.slow
def test_a_band_that_nothing_was_trained_for_is_named(made, tmp_path):
    root, _ = made
    recipe = read_recipe(content(data={"bands": ["nir"]}, trainer={"epochs": 1}))
    run = train(recipe, [], tmp_path / "run", data_root=root)
    with pytest.raises(CrossbandError, match="tir"):
        reid("v4c1", root / "vehicles", run.checkpoint, query_bands=["tir"])


@pytest.mark.slow
def test_a_damaged_query_and_a_damaged_gallery_image_are_said(made, tmp_path, capsys):
    _, checkpoint = made
    write_vehicles(tmp_path / "vehicles")
    (tmp_path / "vehicles" / "rgb" / "v0c0.png").write_bytes(b"no picture")
    found = reid("v4c1", tmp_path / "vehicles", checkpoint, k=30)
    assert found.n_gallery == 23  # its other bands count
    assert "v0c0.png" in capsys.readouterr().err
    with pytest.raises(CrossbandError, match=r"v0c0\.png"):
        reid(tmp_path / "vehicles" / "rgb" / "v0c0.png", tmp_path / "vehicles", checkpoint)


@pytest.mark.slow
def test_the_query_is_read_before_the_gallery_is_described(made, tmp_path, monkeypatch):
    root, checkpoint = made
    (tmp_path / "a.png").write_bytes(b"no picture")
    described = []
    monkeypatch.setattr(importlib.import_module("crossband.reid.search"), "_describe", described.append)
    with pytest.raises(CrossbandError, match="the query cannot be read"):
        reid(tmp_path / "a.png", root / "vehicles", checkpoint)
    assert not described


@pytest.mark.slow
def test_without_a_gallery_the_pictures_beside_the_query_are_searched(made, tmp_path, monkeypatch, capsys):
    root, checkpoint = made
    car = root / "others" / "rgb" / "v4c1.png"
    beside, said = object_search.reid(car, checkpoint=checkpoint, k=5), capsys.readouterr().err
    asked = object_search.reid(car, root / "others", checkpoint, k=5)
    assert [(m.frame, m.distance) for m in beside.matches] == [(m.frame, m.distance) for m in asked.matches]
    assert "searches the pictures beside it: 24 frames" in said
    shutil.copytree(car.parent, tmp_path / "cars")  # a folder of one band, of any name
    alone = object_search.reid(tmp_path / "cars" / "v4c1.png", checkpoint=checkpoint, k=5)
    assert (alone.gallery_bands, alone.n_gallery, alone.n_left_out) == (["rgb"], 23, 1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CrossbandError, match="gone is no picture, beside which others could be searched"):
        object_search.reid("gone", checkpoint=checkpoint)


@pytest.mark.slow
def test_the_command_prints_what_the_function_finds(made, tmp_path, monkeypatch, capsys):
    root, checkpoint = made
    car = root / "vehicles"
    query = f"rgb={car / 'rgb' / 'v4c1.png'},tir={car / 'tir' / 'v4c1.png'}"
    command = ["reid", query, "--gallery", car, "--checkpoint", checkpoint, "--json"]

    def run(*options: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["crossband", *map(str, (*command, *options))])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), *capsys.readouterr()

    status, out, err = run("-k", 3, "--camera", "c1", "--out", tmp_path / "s.png")
    assert status == 0, err
    said = json.loads(out)
    assert said["query_bands"] == ["rgb", "tir"]
    assert said["n_gallery"] == 5  # the camera's, less the query's own frame
    assert len(said["matches"]) == 3
    assert (tmp_path / "s.png").is_file()
    status, out, err = run("--after", "never")
    assert (status, out) == (2, ""), err
    assert err.count("crossband: ") == 1  # a remark on the images may stand before it
    assert "Traceback" not in err
