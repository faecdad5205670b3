from __future__ import annotations

import json

import pytest

from crossband.datasets import scan
from crossband.metrics.fcm import near_mask

from .conftest import rows


def gardens(*walks: str, n: int = 11) -> list[str]:
    return [f"{walk}/Image{i:03d}.jpg" for walk in walks for i in range(n)]


def test_gardens_point_counts_frames_along_each_walk(plant):
    frames = scan(plant(gardens("day_left", "day_right", "night_right")))
    assert rows(frames, "frame", "rgb", "split", "sequence", "condition", "index")[11 + 10] == (
        "day_right/Image010",
        "day_right/Image010.jpg",
        "query",
        "day_right",
        "day",
        10,
    )
    assert set(frames.table["condition"]) == {"day", "night"}
    assert len(frames.split("gallery")) == 11


def test_corridor_is_recognized_by_its_folders(plant):
    names = [f"{walk}/{i:07d}.jpg" for walk in ("ref", "query") for i in range(3)]
    frames = scan(plant([*names, "gt.json"]))
    assert rows(frames, "frame", "split", "index")[3:] == [
        ("query/0000000", "query", 0),
        ("query/0000001", "query", 1),
        ("query/0000002", "query", 2),
    ]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "kind", "truth", "queries"),
    [
        ("gardenspoint", "gardens_point", "vprbench_gt/GardensPointWalking.gt.json", 200),
        ("corridor", "corridor", "gt.json", 111),
    ],
)
def test_two_frames_of_index_are_the_published_truth(shared, folder, kind, truth, queries):
    root = shared / "data" / folder
    frames = scan(root)
    assert frames.names == scan(root, kind=kind).names
    asked, gallery = frames.split("query"), frames.split("gallery")
    assert len(asked) == queries
    near = near_mask(asked, gallery, 2, "index").block(0, len(asked))
    for query, references in json.loads((root / truth).read_text()):
        there = [row for row in references if row < len(gallery)]  # the file names a frame behind the last one
        assert near[query].nonzero()[0].tolist() == there
