"""What a recipe and a run say where they cannot: an override on the left, the words on the right."""

from __future__ import annotations

import pickle

import pytest
import torch

from crossband.training import evaluate, read_recipe, train

from ..messages import assert_says

OVERRIDES = {
    "optimizer.clpi=1": "unknown key 'optimizer.clpi'; did you mean 'clip'?",
    "optimiser.lr=1": "unknown key 'optimiser'; did you mean 'optimizer'?",
    "data.val.query=1": "unknown key 'data.val.query'; did you mean 'queries'?",
    "data.test.night.querys=1": "unknown key 'data.test.night.querys'; did you mean 'queries'?",
    "loss.name=triplets": "loss.name: ",
    "trainer.epochs=0": "trainer.epochs: ",
    "data.query_bands=[uv]": "unknown band 'uv'",
    "trainer.select_on=test": "selected on val, never on test",
    "trainer.processes=3": "batch_size 4 must be divisible by trainer.processes 3",
    "task=place": "unknown task 'place'; did you mean places",
    "epochs": "an override is KEY=VALUE",
    "title.long=1": "is a value, not a section",
}
FILES = {
    "a: [": "bad.yaml is no",
    "- 1": "bad.yaml is no",
    "\0": "bad.yaml is no",
    "title: x": "has no task; add one",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_an_override_says(recipe, override):
    assert_says(lambda: read_recipe({**recipe(), "title": "t"}, [override]), OVERRIDES[override])


@pytest.mark.parametrize("text", FILES)
def test_a_file_says(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    assert_says(lambda: read_recipe(tmp_path / "bad.yaml"), FILES[text])
    assert_says(lambda: read_recipe(tmp_path / "none.yaml"), "no recipe at")


def test_a_folder_says(recipe, street, tmp_path):
    (tmp_path / "state.pt").write_bytes(pickle.dumps({"a": print}))
    assert_says(lambda: train(read_recipe(recipe()), (), tmp_path, data_root=street), "state.pt is damaged")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_is_no_device_here_says(recipe, street):
    made = read_recipe(recipe(trainer={"device": "cuda"}))
    assert_says(lambda: evaluate(made, data_root=street), "use device 'cpu'")
