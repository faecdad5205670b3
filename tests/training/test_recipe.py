"""Recipes say what they mean: unknown keys and values are refused with the nearest."""

from __future__ import annotations

import pytest
import yaml

from crossband.errors import CrossbandError
from crossband.training import read_recipe


def test_a_recipe_of_a_file_is_the_recipe_of_its_content(recipe, tmp_path):
    content = recipe()
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    assert read_recipe(tmp_path / "r.yaml") == read_recipe(content)
    assert read_recipe(read_recipe(content).model_dump(mode="json")) == read_recipe(content)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimizer.lr=1e-4", 1e-4),
        ("trainer.epochs=7", 7),
        ("data.query_bands=[tir]", ["tir"]),
        ("model.options.clusters=8", 8),
        ("loss.name=arcface", "arcface"),
    ],
)
def test_overrides_reach_inside(recipe, override, value):
    content = recipe()
    found = read_recipe(content, [override])
    for key in override.split("=")[0].split("."):
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    assert found == value
    assert content == recipe()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.clpi=1", "unknown key 'optimizer.clpi'; did you mean 'clip'?"),
        ("optimiser.lr=1", "unknown key 'optimiser'; did you mean 'optimizer'?"),
        ("data.val.query=1", "unknown key 'data.val.query'; did you mean 'queries'?"),
        ("data.test.night.querys=1", "unknown key 'data.test.night.querys'; did you mean 'queries'?"),
        ("loss.name=triplets", "loss.name: "),
        ("trainer.epochs=0", "trainer.epochs: "),
        ("data.query_bands=[uv]", "unknown band 'uv'"),
        ("trainer.select_on=test", "selected on val, never on test"),
        ("trainer.processes=3", "batch_size 4 is shared by 3 processes"),
        ("task=place", "unknown task 'place'; did you mean places"),
        ("epochs", "an override is KEY=VALUE"),
        ("title.long=1", "has no keys inside"),
    ],
)
def test_what_is_wrong_is_named_with_the_nearest(recipe, override, message):
    with pytest.raises(CrossbandError) as caught:
        read_recipe({**recipe(), "title": "t"}, [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_val_may_not_be_test(recipe):
    content = recipe()
    content["data"]["val"] = content["data"]["test"]["night"]
    with pytest.raises(CrossbandError, match="never on test"):
        read_recipe(content)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(CrossbandError, match="no recipe at"):
        read_recipe(tmp_path / "none.yaml")
    for text in ("a: [", "- 1", "\0"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(CrossbandError, match=r"bad\.yaml is no"):
            read_recipe(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("title: x")
    with pytest.raises(CrossbandError, match="names no task"):
        read_recipe(tmp_path / "bad.yaml")
