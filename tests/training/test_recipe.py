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


def test_val_may_not_be_test(recipe):
    content = recipe()
    content["data"]["val"] = content["data"]["test"]["night"]
    with pytest.raises(CrossbandError, match="test"):
        read_recipe(content)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(CrossbandError, match=r"none\.yaml"):
        read_recipe(tmp_path / "none.yaml")
    for text in ("a: [", "- 1", "\0"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(CrossbandError, match=r"bad\.yaml"):
            read_recipe(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("title: x")
    with pytest.raises(CrossbandError, match=r"bad\.yaml"):
        read_recipe(tmp_path / "bad.yaml")
