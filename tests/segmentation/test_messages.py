"""What segmentation says where it cannot: changes of a recipe, or calls, and the words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossband.checkpoints import write_checkpoint
from crossband.segmentation.predict import load_segmenter, segment
from crossband.segmentation.pseudo_labels import fine_grained_saliency, pseudo_label
from crossband.training import read_recipe, train

from ..messages import assert_says
from .test_predict import checkpoint, labeled  # noqa: F401  (fixtures)
from .test_task import recipe, yard  # noqa: F401  (a fixture)

RECIPES = {
    "val": (
        {"data": {"val": {"frames": "yard", "where": {"split": ["test"]}}}},
        "selected on val, never on test",
    ),
    "crop": ({"data": {"crop": [96, 96]}}, "larger than data.size"),
    "class list": ({"data": {"classes": "mfnets"}}, "unknown class list 'mfnets'; did you mean mfnet"),
    "class": (
        {"data": {"classes": ["nothing", "bright"]}},
        "has the label 2 but the class list ends at 1",
    ),
    "band": ({"data": {"bands": ["rgb", "nir"]}}, "have no nir"),
    "loss": ({"loss": {"regression": "l3"}}, "loss.regression: ... did you mean l2, l1"),
    "protocol": ({"scoring": {"protocol": "own"}}, "scoring.protocol: ... there are objects, present, rtfnet"),
    "network": ({"model": {"name": "rsfnet5"}}, "unknown segmentation network 'rsfnet5'"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_says_before_training(yard, tmp_path, case):  # noqa: F811
    changes, words = RECIPES[case]
    assert_says(lambda: train(recipe(**changes), (), tmp_path / "run", data_root=yard), words)


def test_pictures_say(checkpoint, labeled, tmp_path):  # noqa: F811
    (tmp_path / "empty").mkdir()
    rgb, tir = (labeled.root / band / "0000.png" for band in ("rgb", "tir"))
    for words, pictures, thermal in (
        ("has no image called 0000", [rgb], tmp_path / "empty"),
        ("two frames are called 0000", [rgb, tir], None),
    ):
        assert_says(lambda p=pictures, t=thermal: segment(p, checkpoint, tmp_path / "o", tir=t), words)


def test_files_say(tmp_path):
    said = {"recipe": {"task": "places"}}
    other = write_checkpoint(tmp_path / "other.safetensors", torch.nn.Linear(1, 1), said)
    assert_says(lambda: load_segmenter(other), "is a checkpoint of the task places, not segmentation")
    (tmp_path / "row.yaml").write_text("base: ../base.yaml\n")
    assert_says(lambda: read_recipe(tmp_path / "row.yaml"), "name a recipe in the same folder")


def test_arrays_say():
    color = np.zeros((8, 8, 3), np.uint8)
    assert_says(
        lambda: fine_grained_saliency(color.astype(np.float32)),
        "saliency needs 8-bit pixels, not float32",
    )
    assert_says(lambda: pseudo_label(color, np.zeros((2, 2), np.uint8)), "do not belong to one frame")
