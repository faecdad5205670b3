"""Whatever stands in a field of a recipe is taken or refused with a sentence: every field of every task's."""

from __future__ import annotations

import copy
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from crossband.errors import CrossbandError
from crossband.papers.rgbt_retrieval import Recipe as StudyRecipe
from crossband.training import read_recipe
from crossband.training.recipe import Recipe
from crossband.training.task import TASKS

RECIPES = Path(__file__).parents[2] / "recipes"
HOSTILE: dict[str, Any] = {
    "nan": math.nan,
    "infinite": math.inf,
    "below zero": -1,
    "huge": 1e30,
    "a whole number beyond all": 10**400,
    "true": True,
    "pages of text": "x" * 10_000,
    "outside": "../x",
    "the root": "/etc/passwd",
    "a zero byte": "a\0b",
    "a list in a list": [[[]]],
    "deep": None,  # filled in below
}
deep: Any = "x"
for _ in range(1000):
    deep = [deep]
HOSTILE["deep"] = deep

PROSE = {"title", "chosen", "chosen.*", "where", "where.*", "leave_out", "leave_out.*"}
"""Text that is shown, or compared with what a column holds: ``../x`` is a text like another."""
FREE = {"options", "options.*"}
"""A network's own arguments: what it makes of them is in tests/models; here they are plain and bounded."""
SIGNED = {"tested"}
"""Misalignments, which go both ways: -1 is a shift or a turn."""


def leaves(kind: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every field, by the keys that lead to it; of a mapping of models one entry."""
    for name, field in kind.model_fields.items():
        models = [part for part in parts_of(field.annotation) if isinstance(part, type)]
        inner = [part for part in models if issubclass(part, BaseModel)]
        if not inner:
            yield (*at, name), field
            continue
        mapping = any(typing.get_origin(part) is dict for part in [field.annotation])
        if name == "also":
            continue  # a part inside a part: the same fields once more
        yield from leaves(inner[0], (*at, name, "one") if mapping else (*at, name))


def parts_of(annotation: Any) -> list[Any]:
    found = [annotation]
    for part in typing.get_args(annotation):
        found += parts_of(part)
    return found


def content_of(task: str) -> dict[str, Any]:
    part = {"frames": "a"}
    places = {"queries": {"frames": "q"}, "gallery": {"frames": "g"}}
    val, test = (places, {"one": {"queries": {"frames": "t"}, "gallery": {"frames": "g"}}})
    kind = TASKS.get(task).recipe.model_fields["data"].annotation
    if "queries" not in {name for path, _ in leaves(kind) for name in path}:
        val, test = {"frames": "v"}, {"one": {"frames": "t"}}
    return {"task": task, "data": {"train": part, "val": val, "test": test}}


def with_value(content: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    content = copy.deepcopy(content)
    at = content
    for key in path[:-1]:
        at = at.setdefault(key, {})
        if key == "simulate":
            at.setdefault("preset", "places")
    at[path[-1]] = value
    return content


FIELDS = [(entry.name, path, field) for entry in TASKS.list() for path, field in leaves(entry.recipe)]


def test_every_task_is_walked():
    assert {task for task, _, _ in FIELDS} == {entry.name for entry in TASKS.list()}
    assert len(FIELDS) > 400
    for task in {task for task, _, _ in FIELDS}:
        assert isinstance(read_recipe(content_of(task)), Recipe)


def shapes(field: FieldInfo, value: Any) -> Iterator[tuple[str, Any]]:
    """The value itself, and inside what the field is made of: a list, a pair, a mapping."""
    yield "", value
    for part in parts_of(field.annotation):
        origin = typing.get_origin(part)
        if origin is list:
            yield ".*", [value]
        elif origin is tuple:
            yield ".*", [value] * len(typing.get_args(part))
        elif origin is dict:
            yield ".*", {"a": value}
            yield ".*", {"a": [value]}
            if isinstance(value, str):
                yield ".key", {value: "rgb"}


def allowed(task: str, name: str, inside: str, what: str, field: FieldInfo) -> bool:
    """Whether this value may stand there: the list of what is meant to be taken."""
    kinds = [part for part in parts_of(field.annotation) if isinstance(part, type)]
    if name + inside in FREE or name in FREE:
        return what in ("below zero", "true", "outside", "the root", "a list in a list")
    if name in PROSE:
        return what in ("outside", "the root")
    if name in SIGNED and inside:
        return False  # the factor between them is above 0
    return bool in kinds and what == "true"


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_every_field_takes_what_it_can_use_and_refuses_the_rest_in_a_sentence(what):
    wrong = []
    for task, path, field in FIELDS:
        for inside, value in shapes(field, HOSTILE[what]):
            content = with_value(content_of(task), path, value)
            try:
                read_recipe(content)
            except CrossbandError as error:
                if len(str(error)) > 600:
                    wrong.append((task, path, inside, "a page for a message"))
            except Exception as error:
                wrong.append((task, path, inside, repr(error)[:200]))
            else:
                if not allowed(task, path[-1], inside, what, field):
                    wrong.append((task, path, inside, "taken"))
    assert not wrong, (len(wrong), wrong[:20])


def test_every_number_has_a_least_and_a_most():
    """Whatever is added to a recipe later has a range, or this fails."""
    unbounded = []
    for kind in {*(entry.recipe for entry in TASKS.list()), StudyRecipe}:
        for path, field in leaves(kind):
            for inner in numbers(field.annotation, field.metadata):
                said = {name for one in inner for name in ("ge", "gt", "le", "lt") if hasattr(one, name)}
                if not (said & {"ge", "gt"} and said & {"le", "lt"}):
                    unbounded.append((kind.__name__, path))
    assert not unbounded


def numbers(annotation: Any, metadata: list[Any]) -> Iterator[list[Any]]:
    """What is said of each number in a type."""
    if annotation in (int, float):
        yield metadata
    elif typing.get_origin(annotation) is typing.Annotated:
        first, *rest = typing.get_args(annotation)
        yield from numbers(first, [m for one in rest for m in getattr(one, "metadata", [one])])
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from numbers(part, metadata)
    else:
        for part in typing.get_args(annotation):
            yield from numbers(part, [])


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("seed=0", True),
        ("seed=18446744073709551615", True),
        ("seed=18446744073709551616", False),
        ("seed=-1", False),
        ("seed=1.5", False),
        ("trainer.epochs=99999999999999999999", False),
        ("trainer.epochs=True", False),
        ("trainer.workers=100000", False),
        ("trainer.batch_size=[1, 2]", False),
        ("data.train.frames=../../x", False),
        ("data.test.one.queries.frames=../../x", False),
        ('data.train.frames="a\\0b"', False),
        ("scoring.thresholds=-1", False),
        ("scoring.thresholds=[-1]", False),
        ("scoring.thresholds=[.nan]", False),
        ("data.size=[True, True]", False),
        ("data.size=[100000, 100000]", False),
        ("model.options.clusters=1e30", False),
    ],
)
def test_what_strangers_wrote_is_taken_or_refused(override, kept):
    if kept:
        assert read_recipe(content_of("places"), [override]).seed == int(override.partition("=")[2])
    else:
        with pytest.raises(CrossbandError):
            read_recipe(content_of("places"), [override])


def test_the_largest_seed_seeds_everything_random():
    import numpy as np
    import torch

    from crossband.training.engine import _seed

    largest = (1 << 64) - 1
    assert 0 <= _seed(largest, 2, 0, 0) < 1 << 63
    torch.manual_seed(largest)
    torch.Generator().manual_seed(largest)
    np.random.default_rng([largest, 1])


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_our_own_recipes_lie_in_the_ranges(path):
    if "task" in yaml.safe_load(path.read_text()) or "base" in yaml.safe_load(path.read_text()):
        assert isinstance(read_recipe(path), Recipe)
