"""The recipes of the papers are whole, and their figures stand beside the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from crossband.errors import CrossbandError
from crossband.papers import reproduce
from crossband.papers.vpr_finetuning import PUBLISHED_FCM, published_rows
from crossband.training import read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "vpr").glob("*.yaml"))
OF_THE_PAPER = [path for path in RECIPES if not path.stem.startswith("city")]


def test_every_figure_of_the_paper_has_a_recipe():
    assert len(OF_THE_PAPER) == 24
    rows = [row for path in OF_THE_PAPER for row in published_rows(path.stem)]
    assert len(rows) == 48
    everything = [row for table in PUBLISHED_FCM.values() for row in table]
    assert sorted(map(str, rows)) == sorted(map(str, everything))


@pytest.mark.slow
def test_every_recipe_can_be_read(subtests):
    for path in RECIPES:
        with subtests.test(path.stem):
            recipe = read_recipe(path)
            assert recipe.task == "places"
            assert recipe.title


@pytest.mark.slow
def test_each_recipe_of_the_paper_is_what_its_name_says_and_marks_what_was_chosen(subtests):
    for path in OF_THE_PAPER:
        with subtests.test(path.stem):
            recipe = read_recipe(path)
            dataset, pooling, backbone, loss = path.stem.split("_")
            assert recipe.paper == "vpr-finetuning"
            assert (recipe.model.encoder, recipe.model.aggregator, recipe.loss.name) == (
                backbone,
                pooling,
                loss,
            )
            assert recipe.scoring.thresholds == list(published_rows(path.stem)[0].fcm)
            assert set(recipe.data.test) == {"test01", "test02"}
            assert {"optimizer", "loss", "sampling", "data.val"} <= set(recipe.chosen)
            assert dataset in str(recipe.data.train.kind)
            if pooling == "netvlad":
                assert recipe.model.options["clusters"] == 64


def test_published_figures_are_the_papers_own():
    row = published_rows("robotcar_gem_resnet50_arcface")[1]
    assert (row.table, row.test) == ("III", "test02")
    assert row.fcm == {25.0: 92.0, 10.0: 89.0, 5.0: 84.62, 2.0: 65.08}
    assert published_rows("cold_netvlad_resnet50_arcface")[1].fcm[0.25] == 37.22
    for table in PUBLISHED_FCM.values():
        assert all(0 < value < 100 for row in table for value in row.fcm.values())


@pytest.fixture
def one_row(recipe, tmp_path) -> Path:
    content = recipe(paper="vpr-finetuning", trainer={"epochs": 1})
    content["data"]["test"] = {"test01": content["data"]["test"]["night"]}
    content["scoring"] = {"thresholds": [1.0, 0.75, 0.5, 0.25]}
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "cold_gem_vgg16_arcface.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.slow
def test_rows_are_trained_and_stand_beside_the_paper(one_row, street, tmp_path):
    out = tmp_path / "out"
    empty = reproduce("vpr-finetuning", street, recipes=one_row, out=out)
    assert [row["ours"] for row in empty.rows] == [None] * 8
    assert "no checkpoint" in empty.missing["cold_gem_vgg16_arcface"]
    done = reproduce("vpr-finetuning", street, recipes=one_row, out=out, mode="train")
    assert not done.missing
    first = done.rows[0]
    assert (first["table"], first["test"], first["threshold"], first["published"]) == (
        "IV",
        "test01",
        "1 m",
        95.1,
    )
    assert 0 <= first["ours"] <= 100
    assert json.loads((out / "reproduction.json").read_text())["rows"] == done.rows
    assert reproduce("vpr-finetuning", street, recipes=one_row, out=out).rows == done.rows
    assert len(done.to_display()) == 8


def test_unknown_papers_and_rows_are_named(one_row, street):
    with pytest.raises(CrossbandError, match=r"vpr"):
        reproduce("vpr", street)
    with pytest.raises(CrossbandError, match="cold_gem_vgg16"):
        reproduce("vpr-finetuning", street, recipes=one_row, rows=["cold_gem_vgg16"])
