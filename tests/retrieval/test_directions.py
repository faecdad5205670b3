"""Directions, their two sides, and the examples that people look at."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics import Protocol, centroid_condition
from crossband.retrieval import embed
from crossband.retrieval.directions import Direction, Sides, directions
from crossband.retrieval.search import DEFAULT_MEMORY

EXACT = Protocol.parse("exact")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, pairs, hog):
    return embed(pairs, hog, store=tmp_path_factory.mktemp("store"))


def without(frames: Frames, **gaps: list[int]) -> Frames:
    """Frames in which some rows lack a band."""
    table = frames.table.copy()
    for band, missing in gaps.items():
        table.loc[missing, band] = None
    return Frames.make(table, frames.root)


def test_all_against_all_is_every_ordered_pair_of_two_bands(pairs):
    ways = [str(way) for way in directions(pairs, "all", "all", EXACT)]
    assert sorted(ways) == ["nir -> rgb", "nir -> tir", "rgb -> nir", "rgb -> tir", "tir -> nir", "tir -> rgb"]


def test_one_band_against_all_is_against_the_others(pairs):
    assert [str(way) for way in directions(pairs, "rgb", "all", EXACT)] == ["rgb -> nir", "rgb -> tir"]
    assert [str(way) for way in directions(pairs, "all", "tir", EXACT)] == ["rgb -> tir", "nir -> tir"]
    assert directions(pairs, "rgb", "tir", EXACT) == [Direction(Band.RGB, Band.TIR)]


def test_a_band_against_itself_has_to_be_asked_for_by_place(pairs):
    placed = pairs.assign(place=["a", "b"] * 6)
    ways = directions(placed, "rgb", "rgb", Protocol.parse("place"))
    assert ways == [Direction(Band.RGB, Band.RGB)]
    with pytest.raises(CrossbandError):
        directions(pairs, "rgb", "rgb", EXACT)


def test_the_sides_are_the_frames_that_have_the_bands(tmp_path, pairs, hog):
    frames = without(pairs, rgb=[0, 5], tir=[3])
    sides = Sides.of(embed(frames, hog, store=tmp_path), Direction(Band.RGB, Band.TIR))
    assert sides.query_frames.names == [n for i, n in enumerate(pairs.names) if i not in (0, 5)]
    assert sides.gallery_frames.names == [n for i, n in enumerate(pairs.names) if i != 3]
    assert sides.queries.shape == (10, 128)
    ranks = sides.ranks(EXACT, DEFAULT_MEMORY)
    assert (ranks.n_queries, ranks.n_dropped) == (9, 1)  # frame 3 has nothing to find


def test_splits_query_and_gallery_are_honoured_for_the_manifest_as_a_whole(tmp_path, pairs, hog):
    split = ["query"] * 4 + ["gallery"] * 5 + ["train"] * 3
    frames = without(
        pairs.assign(split=split, place=["a"] * 12), rgb=list(range(4, 9))
    )  # no rgb in the gallery
    sides = Sides.of(embed(frames, hog, store=tmp_path), Direction(Band.RGB, Band.TIR))
    assert sides.query_frames.names == pairs.names[:4]
    assert sides.gallery_frames.names == pairs.names[4:9]


def test_without_both_splits_every_frame_is_query_and_gallery(tmp_path, pairs, hog):
    frames = pairs.assign(split=["query"] * 4 + ["train"] * 8)
    sides = Sides.of(embed(frames, hog, store=tmp_path), Direction(Band.RGB, Band.TIR))
    assert len(sides.query_frames) == len(sides.gallery_frames) == 12


def test_ranks_are_those_of_the_full_matrix(plain):
    sides = Sides.of(plain, Direction(Band.NIR, Band.TIR))
    q, g = sides.queries.rows(0, 12), sides.gallery.rows(0, 12)
    squared = ((q[:, None].astype(float) - g[None]) ** 2).sum(-1)
    expected = (squared <= np.diag(squared)[:, None]).sum(1)
    for memory in (DEFAULT_MEMORY, 40_000):
        assert sides.ranks(EXACT, memory).ranks.tolist() == expected.tolist()


def test_in_one_band_the_query_s_own_image_does_not_count(pairs, plain, tmp_path, hog):
    placed = pairs.assign(place=[f"p{i // 2}" for i in range(12)])
    sides = Sides.of(embed(placed, hog, store=tmp_path), Direction(Band.RGB, Band.RGB))
    rule = Protocol.parse("place")
    q = sides.queries.rows(0, 12).astype(float)
    squared = ((q[:, None] - q[None]) ** 2).sum(-1)
    np.fill_diagonal(squared, np.inf)
    partner = np.arange(12) ^ 1
    expected = (squared <= squared[np.arange(12), partner][:, None]).sum(1)
    assert sides.ranks(rule, DEFAULT_MEMORY).ranks.tolist() == expected.tolist()
    for example in sides.examples(sides.ranks(rule, DEFAULT_MEMORY), rule, DEFAULT_MEMORY):
        assert example.query not in [name for name, _, _ in example.found]


def test_examples_are_some_successes_and_the_worst_failures_with_what_was_found(plain):
    sides = Sides.of(plain, Direction(Band.RGB, Band.TIR))
    ranks = sides.ranks(EXACT, DEFAULT_MEMORY)
    forged = type(ranks)(np.array([1, 3, 1, 9, 1, 1, 2, 1, 0, 1, 1, 1]))
    examples = sides.examples(forged, EXACT, DEFAULT_MEMORY)
    assert [example.rank for example in examples] == [1, 1, 9, 3]
    for example in sides.examples(ranks, EXACT, DEFAULT_MEMORY):
        assert len(example.found) == 5
        distances = [distance for _, distance, _ in example.found]
        assert distances == sorted(distances)
        assert all(right == (name == example.query) for name, _, right in example.found)
        assert (example.rank == 1) == example.found[0][2]


def test_a_moved_band_replaces_the_later_of_the_two(tmp_path, pairs, hog, plain):
    from crossband.data.preprocess import Warp

    moved = embed(pairs, hog.with_warp(Warp(shift=0.2)), ["nir", "tir"], store=tmp_path)
    for way in (Direction(Band.RGB, Band.TIR), Direction(Band.TIR, Band.RGB)):
        still, shifted = Sides.of(plain, way), Sides.of(plain, way, moved, way.later)
        sides = {way.query: (still.queries, shifted.queries), way.gallery: (still.gallery, shifted.gallery)}
        assert not np.allclose(*(rows.rows(0, 12) for rows in sides[Band.TIR]), atol=1e-2)
        np.testing.assert_array_equal(*(rows.rows(0, 12) for rows in sides[Band.RGB]))


def test_the_centroid_condition_is_that_of_all_vectors_at_once(tmp_path, pairs, hog):
    places = [f"p{i % 5}" for i in range(12)]
    sides = Sides.of(embed(pairs.assign(place=places), hog, store=tmp_path), Direction(Band.RGB, Band.TIR))
    expected = centroid_condition(sides.queries.rows(0, 12), places, sides.gallery.rows(0, 12), places)
    assert sides.centroid() == {"score": expected.score, "places": 5}


def test_without_two_places_there_is_no_centroid_condition(tmp_path, pairs, hog, plain):
    assert Sides.of(plain, Direction(Band.RGB, Band.TIR)).centroid() is None
    alone = embed(pairs.assign(place=["a"] * 12), hog, store=tmp_path)
    assert Sides.of(alone, Direction(Band.RGB, Band.TIR)).centroid() is None
