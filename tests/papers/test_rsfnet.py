"""Every recipe of RSFNet is a row of the paper, and its network has the paper's counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossband.papers import reproduce
from crossband.papers.rsfnet import PUBLISHED, beside_published
from crossband.training import read_recipe

FOLDER = Path(__file__).parents[2] / "recipes" / "rsfnet"
OF_THE_PAPER = [path for path in sorted(FOLDER.glob("*.yaml")) if not path.stem.startswith("city")]
# what the paper says of networks that it does not describe: see docs/segmentation.md
OPEN = ("pstnet", "fuseseg", "rsfnet50_18_gma")


def test_every_figure_has_its_recipe_and_every_recipe_its_figures():
    wanted = {
        f"{dataset}_{name}"
        for name, row in PUBLISHED.items()
        for dataset in ("mfnet", "pst900")
        if getattr(row, dataset) is not None
    }
    assert {path.stem for path in OF_THE_PAPER} == wanted


def test_each_recipe_is_the_papers_setting(subtests):
    for path in OF_THE_PAPER:
        with subtests.test(path.stem):
            recipe: Any = read_recipe(path)
            assert recipe.paper == "rsfnet"
            assert recipe.row
            assert recipe.optimizer.schedule == "poly"
            assert recipe.scoring.protocol == "rtfnet"
            dataset = path.stem.partition("_")[0]
            assert recipe.data.size == {"mfnet": (480, 640), "pst900": (720, 1280)}[dataset]
            assert recipe.trainer.epochs == {"mfnet": 300, "pst900": 100}[dataset]


@pytest.mark.slow
def test_each_recipes_network_has_the_published_counts(subtests):
    named = [path for path in OF_THE_PAPER if path.stem.startswith("mfnet_")]
    assert {path.stem.partition("_")[2] for path in named} > set(OPEN)
    for path in named:
        with subtests.test(path.stem):
            if path.stem.partition("_")[2] in OPEN:
                pytest.skip("the paper does not describe this network: docs/segmentation.md")
            figures = {row["figure"]: row for row in beside_published(path.stem, read_recipe(path), None)}
            for figure, off in (("parameters, M", 0.02), ("thop's FLOPs, G", None)):
                if figure in figures:
                    published, ours = figures[figure]["published"], figures[figure]["ours"]
                    assert ours == pytest.approx(published, abs=off, rel=None if off else 0.008), figure


@pytest.mark.slow
def test_a_row_without_data_says_why_and_keeps_the_counts(tmp_path):
    done = reproduce("rsfnet", tmp_path, rows=["mfnet_rsfnet50_18"], out=tmp_path / "out")
    assert "no checkpoint" in done.missing["mfnet_rsfnet50_18"]
    found = {row["figure"]: (row["published"], row["ours"]) for row in done.rows}
    assert found["mIoU, %"] == (54.0, None)
    assert found["parameters, M"] == (44.53, pytest.approx(44.53, abs=0.02))


def test_figures_of_the_paper_as_printed():
    assert PUBLISHED["rsfnet101_34_reparam"].night == (73.8, 57.2)
    assert PUBLISHED["rtfnet152"].iou[8] == 55.7
    for name, row in PUBLISHED.items():
        if row.iou and row.mfnet:
            assert sum(row.iou) / 9 == pytest.approx(row.mfnet[1], abs=0.25), name
