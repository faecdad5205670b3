"""What re-identification says where it cannot: changes of a recipe or of a search, and the words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossband.checkpoints import write_checkpoint
from crossband.reid.k_reciprocal import rerank_blocks
from crossband.reid.search import load_reid, reid

from ..messages import assert_says
from .test_search import made  # noqa: F401  (a fixture)
from .test_task import task_of, vehicles  # noqa: F401  (a fixture)

RECIPES = {
    "band": ({"data": {"query_bands": ["lwir"]}}, "unknown band 'lwir'"),
    "stream of a band": ({"data": {"bands": ["rgb"], "gallery_bands": ["tir"]}}, "no stream of tir"),
    "protocol": (
        {"scoring": {"protocol": "same-kamera"}},
        "unknown protocol 'same-kamera'; did you mean",
    ),
    "stream": ({"model": {"stream": "pbc"}}, "unknown stream 'pbc'"),
    "triplets": ({"loss": {"triplet": 1.0}}, "set sampling.each"),
    "options": ({"model": {"options": {"color": 3}}}, "stream ide does not take these options"),
}
SEARCHES = {
    "query": ({"query": "nobody"}, "neither an image file nor the name of a gallery frame"),
    "image": ({"query": {"tir": "gone.png"}}, "no image ... gone.png"),
    "camera": ({"camera": ["c7"]}, "unknown camera 'c7'"),
    "time": ({"after": "yesterday"}, "after is neither seconds nor ISO 8601", "after"),
    "too late": ({"after": "2030-01-01T00:00"}, "nothing is left of the gallery"),
    "band": ({"query_bands": ["lwir"]}, "unknown band 'lwir'"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_says(vehicles, case):  # noqa: F811
    changes, words = RECIPES[case]
    assert_says(lambda: task_of(vehicles, **changes), words)


@pytest.mark.slow
@pytest.mark.parametrize("case", SEARCHES)
def test_a_search_says(made, case):  # noqa: F811
    root, checkpoint = made
    changes, words, *parameter = SEARCHES[case]
    given = {"query": "v4c1", **changes}
    assert_says(
        lambda: reid(given.pop("query"), root / "vehicles", checkpoint, **given),
        words,
        parameter=parameter[0] if parameter else None,
    )


def test_files_and_settings_say(tmp_path):
    other = write_checkpoint(tmp_path / "a.safetensors", torch.nn.Linear(1, 1), {"recipe": {"task": "places"}})
    assert_says(lambda: load_reid(other), "was trained for places")
    assert_says(lambda: next(rerank_blocks(np.zeros((1, 2)), np.zeros((2, 2)), k1=0)), "re-ranking needs")
