import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.frames import COLUMNS, Frames
from crossband.io import read_image
from crossband.simulation import list_presets, simulate, worker
from crossband.simulation import render as module
from crossband.simulation.files import RECORDS
from crossband.simulation.presets import plan

from ..messages import assert_says

TINY = (32, 48)


@pytest.fixture
def one_city(monkeypatch, city, studio):
    """The city of seed 0 and its studio are built once for all tests that ask for this."""
    monkeypatch.setattr(module, "build_city", lambda seed: city)
    monkeypatch.setattr(worker, "Studio", lambda of: studio)


def _content(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_every_file_is_there_and_of_its_kind(drive):
    again = Frames.read(drive.root / "frames.parquet")
    assert again.names == drive.names
    assert len(again.bands) == 3
    for _, row in drive.table.iterrows():
        for column in ("rgb", "nir", "tir8", "labels", "semantic", "tir", "instances", "depth", "temperature"):
            deep = column in ("tir", "instances", "depth", "temperature")
            kind = np.uint16 if deep else np.uint8
            pixels = read_image(drive.root / row[column]).pixels
            assert (pixels.dtype, pixels.shape[:2]) == (kind, (32, 48)), column
    assert set(drive.table["condition"]) == {"day", "night"}
    assert set(drive.table["tir_units"]) == {"centikelvin"}


def test_temperatures_are_those_of_a_city(drive):
    kelvin = read_image(drive.root / drive.table["temperature"][0]).pixels / 100
    assert kelvin.min() > 200
    assert kelvin.max() < 420
    seen = read_image(drive.root / drive.table["tir"][0], "tir", "centikelvin")
    assert seen.pixels.min() / 100 > 200


def test_boxes_lie_around_their_instances(drive):
    coco = json.loads((drive.root / "boxes.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["person", "car", "bicycle", "dog"]
    for box in coco["annotations"]:
        name = drive.names[box["image_id"] - 1]
        instances = read_image(drive.root / f"instances/{name}.png").pixels
        x, y, width, height = box["bbox"]
        inside = instances[y : y + height, x : x + width] == box["instance"]
        assert inside.sum() >= box["area"]
        assert (box["area"] < 12) == bool(box["iscrowd"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(drive, tmp_path):
    simulate("driving", 7, TINY, 0, tmp_path, workers=2, samples=1, eight_bit=True)
    first, second = _content(drive.root), _content(tmp_path)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(drive, tmp_path, monkeypatch):
    job = module._checked("driving", 7, TINY, 0, 1, False, True, None)
    folder, _ = module._prepared(tmp_path / "resumed", job)
    share = worker.render_share(job, folder, 0, 1)
    done = [next(share), next(share)]
    share.close()  # the process dies: two frames are whole
    (folder / "rgb" / f"{drive.names[2]}.png").write_bytes(b"half a pict")  # and the third is not
    before = {name: (folder / "rgb" / f"{name}.png").stat().st_mtime_ns for name in done}
    simulate("driving", 7, TINY, 0, folder, workers=1, samples=1, eight_bit=True)
    assert {name: (folder / "rgb" / f"{name}.png").stat().st_mtime_ns for name in done} == before
    assert _content(folder) == _content(drive.root)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["retrieval", "places", "vehicles", "uav"])
def test_presets_fill_their_columns(preset, one_city, tmp_path):
    frames = simulate(preset, 5, TINY, 0, tmp_path, workers=1, samples=1)
    table = frames.table
    assert len(frames) == 5
    added_by_users = {"rig", "turn", "view"}
    assert set(COLUMNS) - {"place", "identity"} - added_by_users <= set(table.columns)
    needed = {
        "retrieval": ("place", "sequence", "condition"),
        "places": ("place", "lat", "lon", "x", "y", "heading"),
        "vehicles": ("identity", "camera", "tags"),
        "uav": ("lat", "lon", "altitude", "heading"),
    }[preset]
    for column in needed:
        assert column in table, column
        assert table[column].notna().any(), column
    if preset == "retrieval":
        by_place = table.groupby("place")["condition"].nunique()
        assert by_place.iloc[0] == 2
        assert len(table["sequence"].unique()) == 2
    if preset == "places":
        assert set(table["condition"]) == {"day", "dusk", "night", "rain"}
        assert set(table["split"]) == {"gallery", "query"}
    if preset == "uav":
        index = json.loads((tmp_path / "map" / "tiles.json").read_text())
        assert len(index["tiles"]) > 20
        assert (tmp_path / "map" / index["tiles"][0]["file"]).is_file()
        assert (tmp_path / "probes" / "probes.json").is_file()


@pytest.mark.slow
def test_streets_are_the_drives_with_more_people_about(city):
    quiet, busy = (plan(preset, city, 12, TINY, 3) for preset in ("driving", "streets"))
    for one, other in zip(quiet, busy, strict=True):
        np.testing.assert_array_equal(one.camera.position, other.camera.position)
        assert (one.frame, one.conditions, one.split) == (other.frame, other.conditions, other.split)
        assert other.people.cyclists > one.people.cyclists
        assert other.people.walkers > one.people.walkers


@pytest.mark.slow
def test_misaligned_frames_have_a_flow(one_city, tmp_path):
    frames = simulate("driving", 1, TINY, 0, tmp_path, workers=1, samples=1, misaligned=True)
    flow = read_image(frames.root / frames.table["flow"][0]).pixels
    assert flow.shape == (32, 48, 3)
    assert flow.dtype == np.uint16
    valid = flow[..., 2] == 1
    assert valid.mean() > 0.4
    assert np.abs((flow[valid][:, :2].astype(float) - 32768) / 64).max() < 48


def test_another_simulations_folder_is_refused(drive):
    with pytest.raises(CrossbandError):
        simulate("driving", 7, TINY, 1, drive.root)


@pytest.mark.slow
def test_what_an_older_version_rendered_is_kept_whole_and_refused_half(drive, tmp_path, one_city, monkeypatch):
    monkeypatch.setattr(module, "_WORLDS", {"driving": module._WORLDS["driving"] + 1})
    folder = shutil.copytree(drive.root, tmp_path / "older")
    settings = json.loads((folder / "simulation.json").read_text())
    del settings["world"]
    (folder / "simulation.json").write_text(json.dumps(settings))
    assert len(simulate("driving", 7, TINY, 0, folder, samples=1, eight_bit=True)) == 7
    (folder / RECORDS / f"{drive.names[2]}.json").unlink()
    assert_says(
        lambda: simulate("driving", 7, TINY, 0, folder, samples=1, eight_bit=True),
        "another version",
        parameter="out",
    )


@pytest.mark.parametrize("damaged", ["", "{", "[1]", "null"])
def test_a_folder_whose_settings_are_damaged_is_refused(tmp_path, damaged):
    (tmp_path / "simulation.json").write_text(damaged)
    assert_says(lambda: simulate("driving", 1, TINY, 0, tmp_path), "another simulation", parameter="out")


def test_presets_are_listed_and_nothing_heavy_is_imported():
    expected = ["driving", "fleet", "flight", "places", "retrieval", "streets", "uav", "vehicles"]
    assert [p.name for p in list_presets()] == expected
    said = re.search(r"preset: (.*)\.\n", simulate.__doc__)[1]
    assert sorted(re.split(", | or ", said)) == expected
    code = "import sys, crossband.simulation; print('numpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.slow
def test_a_rig_without_baseline_has_one_transform_and_with_one_depth_moves_pixels(one_city, tmp_path):
    flows = {}
    for baseline in (0.0, 0.5):
        folder = tmp_path / str(baseline)
        frames = simulate("driving", 1, (48, 64), 0, folder, workers=1, samples=1, baseline=baseline)
        raw = read_image(folder / frames.table["flow"].iloc[0]).pixels.astype(float)
        seen = raw[..., 2] > 0
        rows, columns = np.mgrid[:48, :64]
        design = np.stack([columns[seen], rows[seen], np.ones(seen.sum())], 1)
        moved = (raw[..., :2][seen] - 32768) / 64
        fit = design @ np.linalg.lstsq(design, moved, rcond=None)[0]
        flows[baseline] = float(np.abs(fit - moved).max())
    assert flows[0.0] < 0.1 < 0.5 < flows[0.5]
    with pytest.raises(CrossbandError, match="2 meters apart, not 9") as refused:
        simulate("driving", 1, (48, 64), 0, tmp_path / "far", baseline=9)
    assert refused.value.parameter == "baseline"
