"""The whole of ``reproduce thermal-reid`` on a known world: trained, measured, kept, and beside table 2."""

from __future__ import annotations

import json

import pytest
import yaml

from crossband.errors import CrossbandError
from crossband.papers import reproduce
from crossband.papers import thermal_reid as module
from crossband.papers.thermal_reid import RECIPES
from crossband.uav.ground_classes import GROUND

from ..uav.conftest import CLASSES, write_world
from ..uav.test_tasks import SMALL

TASKS = {
    "city_translation": "translation",
    "city_labeling": "labeling",
    "city_localization": "localization",
    "city_detection": "detection",
    "city_detection_plain": "detection",
    "city_vrai": "objects",
    "city_bot_bs": "objects",
}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """A folder of recipes that train in a second each, and the data's root."""
    root = tmp_path_factory.mktemp("reproduce")
    for number in (1, 2, 3):
        write_world(root / "data" / f"world{number}", flights=3)
    folder = root / "recipes" / "thermal_reid"
    folder.mkdir(parents=True)
    for name, task in TASKS.items():
        content = {
            "task": task,
            "paper": "thermal-reid",
            "title": name,
            "data": {
                "train": {"frames": "world1"},
                "val": {"frames": "world2"},
                "size": 32,
                "cache_mb": 8,
                "test": {"all": {"frames": "world3"}},
            },
            "trainer": {"epochs": 1, "batch_size": 2, "device": "cpu"},
            **SMALL[task],
        }
        if name == "city_detection_plain":
            content["model"] = {**content["model"], "semantics": False}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return root


@pytest.mark.slow
def test_every_stage_is_trained_measured_and_set_beside_the_paper(recipes, tmp_path, monkeypatch):
    import crossband.uav.stage_evaluation as experiment

    flow = {"before_px": 2.0, "after_px": 1.0, "improved": 100.0, "n_frames": 1}
    monkeypatch.setattr(module._Measures, "_alignment", lambda self: flow)  # it would simulate a city
    untrained = experiment.descriptor_curve
    monkeypatch.setattr(module, "descriptor_curve", lambda matcher, probe: untrained(matcher, probe, "hog"))
    run = {"mode": "train", "out": tmp_path, "recipes": recipes / "recipes"}
    done = reproduce("thermal-reid", recipes / "data", **run)
    assert not done.missing
    assert len(done.rows) == 18
    ours = {(row["method"], row["figure"]): row["ours"] for row in done.rows}
    for method in ("VRAI", "BoT-BS", "ThermalReID"):
        curve = [ours[method, f"r = {rank}"] for rank in (1, 5, 10, 15, 20)]
        assert curve == sorted(curve)
        assert curve[0] <= ours[method, "nAUC"] <= curve[-1]
    published = {(row["method"], row["figure"]): row["published"] for row in done.rows}
    assert published["ThermalReID", "nAUC"] == 39.11
    results = json.loads((tmp_path / "results.json").read_text())
    calibration = json.loads((tmp_path / "models" / "calibration.json").read_text())
    assert calibration["beta"] == results["matching"]["translated"]["beta"]
    tables = (tmp_path / "tables.md").read_text()
    assert "| VRAI |" in tables
    assert "localization by predicted labelings" in tables
    before = (tmp_path / "measures" / "chain.json").stat().st_mtime_ns
    again = reproduce("thermal-reid", recipes / "data", **run)
    assert again.rows == done.rows
    assert (tmp_path / "measures" / "chain.json").stat().st_mtime_ns == before


def test_without_checkpoints_it_says_which_are_missing(recipes, tmp_path):
    done = reproduce("thermal-reid", recipes / "data", out=tmp_path, recipes=recipes / "recipes")
    assert set(done.missing) == set(RECIPES)
    assert {row["ours"] for row in done.rows} == {None}


def test_a_recipe_that_is_missing_is_named(recipes, tmp_path):
    (tmp_path / "thermal_reid").mkdir()
    (tmp_path / "thermal_reid" / "x.yaml").write_text("task: detection")
    with pytest.raises(CrossbandError, match=r"city_translation\.yaml"):
        reproduce("thermal-reid", recipes / "data", out=tmp_path, recipes=tmp_path)


def test_the_projects_own_recipes_are_read():
    from pathlib import Path

    from crossband.training import read_recipe

    folder = Path(__file__).parents[2] / "recipes" / "thermal_reid"
    for path in sorted(folder.glob("*.yaml")):
        assert read_recipe(path).paper == "thermal-reid"
    assert {path.stem for path in folder.glob("*.yaml")} >= set(RECIPES)
    assert set(GROUND) < set(CLASSES)
