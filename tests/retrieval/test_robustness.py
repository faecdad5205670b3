"""Recall as a curve over named amounts of shift, scale and rotation."""

from __future__ import annotations

import pandas as pd
import PIL.Image
import pytest

from crossband.data.preprocess import Warp
from crossband.retrieval import benchmark, embed, robustness

AMOUNTS = {"shift": (0.0, 0.25), "scale": (1.0, 1.6), "rotate": (0.0, 40.0)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def curve(pairs, small, store):
    return robustness(pairs, ["hog"], "rgb", "all", store=store, amounts=AMOUNTS, options=small)


def test_there_is_a_point_for_each_model_direction_kind_and_amount(curve):
    assert len(curve.points) == 2 * 6
    assert list(curve.points) == ["model", "query", "gallery", "kind", "amount", "R@1", "R@5"]
    assert set(zip(curve.points["query"], curve.points["gallery"], strict=True)) == {
        ("rgb", "nir"),
        ("rgb", "tir"),
    }


def test_nothing_moved_is_the_aligned_recall(curve, pairs, small, store):
    aligned = benchmark(pairs, ["hog"], "rgb", "tir", store=store, options=small, misaligned=False).runs[0]
    still = curve.points[(curve.points["gallery"] == "tir") & curve.points["amount"].isin([0.0, 1.0])]
    assert len(still) == 3
    assert still["R@1"].tolist() == [aligned.recall["1"]] * 3


def test_large_amounts_cost_recall(curve):
    tir = curve.points[curve.points["gallery"] == "tir"].set_index(["kind", "amount"])["R@1"]
    for kind, (none, much) in AMOUNTS.items():
        assert tir[kind, much] < tir[kind, none]


def test_what_the_store_holds_is_not_computed_again(curve, pairs, hog, store):
    assert embed(pairs, hog.with_warp(Warp(shift=0.25)), ["tir"], store=store).computed == 0


def test_it_writes_a_table_and_a_picture(tmp_path, curve):
    folder = curve.report(tmp_path / "out")
    pd.testing.assert_frame_equal(pd.read_csv(folder / "robustness.csv"), curve.points, check_dtype=False)
    with PIL.Image.open(folder / "robustness.png") as picture:
        assert min(picture.size) > 200


def test_the_gallery_is_what_moves(pairs, hog, small, store):
    """In tir -> rgb the rgb images are the gallery, so the tir queries stay as they are."""
    from crossband.bands import Band
    from crossband.data.preprocess import Warp
    from crossband.metrics import Protocol, recall_at
    from crossband.retrieval import embed
    from crossband.retrieval.directions import Direction, Sides
    from crossband.retrieval.search import DEFAULT_MEMORY

    points = robustness(
        pairs, ["hog"], "tir", "rgb", store=store, options=small, amounts={"shift": (0.2,)}
    ).points
    plain, moved = (embed(pairs, d, store=store) for d in (hog, hog.with_warp(Warp(shift=0.2))))
    sides = Sides.of(plain, Direction(Band.TIR, Band.RGB), moved, Band.RGB)
    assert points["R@1"].tolist() == [recall_at(sides.ranks(Protocol("exact"), DEFAULT_MEMORY), 1)]
