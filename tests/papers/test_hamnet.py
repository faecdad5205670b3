"""The recipes of HAMNet's tables are whole, and their figures stand beside the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from crossband.errors import CrossbandError
from crossband.models import find_model
from crossband.papers import reproduce
from crossband.papers.hamnet import PUBLISHED_REID, beside_published
from crossband.reid.apart import join_bands, train_apart
from crossband.training import evaluate, read_recipe

from ..reid.test_task import content, write_vehicles

FOLDER = Path(__file__).parents[2] / "recipes" / "reid"
OF_THE_PAPER = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.startswith("city"))
SIZES = {"seresnet50": (224, 224), "inceptionresnet": (299, 299)}


def test_every_row_of_tables_2_to_5_has_a_recipe():
    assert len(OF_THE_PAPER) == 65
    assert {path.stem for path in OF_THE_PAPER} == set(PUBLISHED_REID)
    assert sum(len(row.figures) for row in PUBLISHED_REID.values()) == 55 * 4 + 10 * 2


@pytest.mark.slow
def test_each_recipe_of_the_paper_is_what_its_name_says_and_trains_as_the_paper_does(subtests):
    for path in OF_THE_PAPER:
        with subtests.test(path.stem):
            recipe = read_recipe(path)
            dataset, backbone, what = path.stem.split("_", 2)
            row = PUBLISHED_REID[path.stem]
            assert recipe.task == "reidentification"
            assert recipe.paper == "hamnet"
            assert set(recipe.data.test) == {dataset} == {row.test}
            every = ["rgb", "nir"] if dataset == "rgbn300" else ["rgb", "nir", "tir"]
            named = {
                "rgb": ["rgb"],
                "nir": ["nir"],
                "tir": ["tir"],
                "msn_rgb_nir": ["rgb", "nir"],
                "msn_rgb_tir": ["rgb", "tir"],
            }
            assert recipe.data.bands == named.get(what, every)
            assert recipe.data.size == SIZES.get(backbone, (128, 256))
            expected = {"hamnet": (0.001, 1.0), "msn_hsc": (0.001, 0.0), "msn_caid": (0.0, 1.0)}.get(
                what, (0.0, 0.0)
            )
            assert (recipe.loss.coherence, recipe.loss.class_aware) == expected
            assert recipe.model.stream == (what if what in ("pcb", "mgn", "abd") else "ide")
            assert find_model(recipe.model.encoder).name == recipe.model.encoder
            o, trainer = recipe.optimizer, recipe.trainer
            assert (o.name, o.lr, o.head_lr, o.milestones, o.decay) == ("adam", 3.5e-4, None, [40, 70], 0.1)
            assert (trainer.epochs, trainer.batch_size) == (120, 16)
            assert {"data.val", "scoring.protocol"} <= set(recipe.chosen)


def test_the_small_recipes_differ_only_in_bands_and_loss(subtests):
    for path in sorted(FOLDER.glob("city*.yaml")):
        with subtests.test(path.stem):
            recipe, other = read_recipe(path), read_recipe(FOLDER / "city_msn.yaml")
            assert recipe.optimizer == other.optimizer
            assert recipe.trainer == other.trainer
            assert recipe.data.model_copy(update={"bands": other.data.bands}) == other.data
            assert recipe.model == other.model


def test_published_figures_are_the_papers_own():
    assert PUBLISHED_REID["rgbn300_resnet50_hamnet"].figures == {
        "mAP": 61.9,
        "R-1": 84.0,
        "R-5": 86.0,
        "R-10": 87.0,
    }
    assert PUBLISHED_REID["rgbnt100_mobilenetv2_msn_rgb_tir"].figures["R-5"] == 82.8
    assert PUBLISHED_REID["rgbnt100_inceptionresnet_tir"].figures["R-10"] == 78.2
    assert PUBLISHED_REID["rgbnt100_resnet50_abd"].figures == {"mAP": 60.4, "R-1": 85.1}
    assert PUBLISHED_REID["rgbn300_resnet50_msn"].tables == "2, 5"
    for row in PUBLISHED_REID.values():
        ranks = [row.figures[f"R-{k}"] for k in (1, 5, 10) if f"R-{k}" in row.figures]
        assert ranks == sorted(ranks)
        assert row.figures["mAP"] < ranks[0]


def test_ours_stand_beside_the_papers():
    results = {"tests": {"rgbn300": {"mAP": 50.0, "rank": {"1": 70.0, "5": 75.0, "10": 80.0}}}}
    rows = beside_published("rgbn300_resnet50_hamnet", None, results)
    assert [(row["figure"], row["published"], row["ours"]) for row in rows] == [
        ("mAP", 61.9, 50.0),
        ("R-1", 84.0, 70.0),
        ("R-5", 86.0, 75.0),
        ("R-10", 87.0, 80.0),
    ]
    assert all(row["ours"] is None for row in beside_published("rgbn300_resnet50_hamnet", None, None))


@pytest.mark.slow
def test_reproduce_trains_a_row_and_writes_it_beside_the_paper(tmp_path):
    write_vehicles(tmp_path / "data" / "vehicles")
    write_vehicles(tmp_path / "data" / "others", seed=1)
    recipe = content(paper="hamnet", trainer={"epochs": 1}, data={"bands": ["rgb", "nir"]})
    recipe["data"]["test"] = {"rgbn300": recipe["data"]["test"]["test"]}
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "rgbn300_resnet50_msn.yaml").write_text(yaml.safe_dump(recipe))
    given = {"out": tmp_path / "out", "recipes": tmp_path / "recipes"}
    nothing = reproduce("hamnet", tmp_path / "data", **given)
    assert "best.safetensors" in nothing.missing["rgbn300_resnet50_msn"]
    done = reproduce("hamnet", tmp_path / "data", mode="train", **given)
    assert not done.missing
    by_figure = {row["figure"]: row for row in done.rows}
    assert by_figure["mAP"]["published"] == 56.9
    assert 0 < by_figure["mAP"]["ours"] <= 100
    assert json.loads((tmp_path / "out" / "reproduction.json").read_text())["paper"] == "hamnet"
    with pytest.raises(CrossbandError, match="rgbn300_resnet50_mns"):
        reproduce("hamnet", tmp_path / "data", rows=["rgbn300_resnet50_mns"], **given)


@pytest.mark.slow
def test_extended_methods_are_trained_band_by_band_and_summed_at_test(tmp_path):
    """What each band finds alone is what its own run found, to the last digit; the row is the sum of both."""
    write_vehicles(tmp_path / "data" / "vehicles")
    write_vehicles(tmp_path / "data" / "others", seed=1)
    pcb = {"stream": "pcb", "encoder": "resnet18", "layer": None, "options": {"width": 8}}
    recipe = content(paper="hamnet", trainer={"epochs": 1}, data={"bands": ["rgb", "nir"]}, model=pcb)
    recipe["data"]["test"] = {"rgbn300": recipe["data"]["test"]["test"]}
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "rgbn300_resnet50_pcb.yaml"
    path.write_text(yaml.safe_dump(recipe))
    done = reproduce(
        "hamnet", tmp_path / "data", mode="train", out=tmp_path / "out", recipes=tmp_path / "recipes"
    )
    assert not done.missing
    row = tmp_path / "out" / "rgbn300_resnet50_pcb"
    joined = evaluate(None, row / "best.safetensors", data_root=tmp_path / "data").tests["rgbn300"]
    assert {r["figure"]: r["ours"] for r in done.rows}["mAP"] == joined["mAP"]
    same = {p["query"]: p["mAP"] for p in joined["pairs"] if p["query"] == p["gallery"]}  # the last: scores
    for band in ("rgb", "nir"):
        alone = evaluate(None, row / band / "best.safetensors", data_root=tmp_path / "data")
        assert same[band] == alone.tests["rgbn300"]["pairs"][-1]["mAP"]
    with pytest.raises(CrossbandError, match="not of nir alone"):
        join_bands({"nir": row / "rgb" / "best.safetensors"}, tmp_path / "x.safetensors", read_recipe(path))
    with pytest.raises(CrossbandError, match="only streams are trained apart"):
        train_apart(FOLDER.parent / "vpr" / "city_gem_triplet.yaml", (), tmp_path / "y")
