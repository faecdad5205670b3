"""Pendota and Channappayya, "Are Deep Learning Models Pre-trained on RGB Data Good Enough for RGB-Thermal Image
Retrieval?": tables 1 to 4, for whichever of the eight datasets and of the models' weights are there.

The paper does not say how many frames it sampled, but its recalls are multiples of one over it: 123 of 401 is
30.67 %, and so for each dataset. Which frames, it does not say; the recipe takes each n-th of a sequence, n
such that as many remain as can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, ValidationError

from ..datasets import dataset, scan
from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from ..models import list_models
from ..progress import note
from ..reports.published import CENTROIDS, PARAMETERS, RGBT_RETRIEVAL
from ._registry import Reproduction, find_recipe, register_paper

__all__ = ["Recipe", "read_recipe", "reproduce_rgbt_retrieval", "sample"]

_RECIPE = "retrieval/rgbt_retrieval.yaml"


class _Set(BaseModel):
    """How a dataset is sampled: the paper's number of frames and places, and the splits to take, all where
    empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    frames: int
    correlated: bool = False
    splits: tuple[str, ...] = ()


class Recipe(BaseModel):
    """The protocol: sizes, bands, what is right, how many items a model re-ranks, each dataset's sampling."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    paper: str
    size: tuple[int, int]
    query: str
    gallery: str
    protocol: str
    normalisation: dict[str, str]
    rerank: dict[str, int] = {}
    datasets: dict[str, _Set]
    chosen: dict[str, str]


def read_recipe(recipes: str | Path | None = None) -> Recipe:
    """The recipe, checked.

    Raises:
        CrossbandError: it is nowhere, or says something that no recipe says.
    """
    path = find_recipe(_RECIPE, recipes)
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError, OSError) as error:
        raise CrossbandError(
            f"{path} is no recipe of rgbt-retrieval: {' '.join(str(error).split())[:160]}"
        ) from None


def sample(frames: Frames, most: int) -> Frames:
    """Each n-th frame of a sequence, n such that the number left is nearest to ``most``.

    Example:
        >>> frames = Frames.make([{"frame": str(i), "rgb": f"{i}.png"} for i in range(100)], ".")
        >>> sample(frames, 20).names[:3]
        ['0', '5', '10']
    """
    steps = range(1, max(2, -(-2 * len(frames) // max(most, 1))))
    return frames.every(min(steps, key=lambda n: abs(len(frames.every(n)) - most)))


@register_paper(
    "rgbt-retrieval", "Are Deep Learning Models Pre-trained on RGB Data Good Enough for RGB-T Retrieval?"
)
def reproduce_rgbt_retrieval(
    data_root: Path, rows: Sequence[str] | None, out: Path, recipes: Path | None
) -> Reproduction:
    """Tables 1 to 4, each figure beside the paper's and the difference.

    Args:
        data_root: a folder that holds the datasets, each in a folder of its own.
        rows: models; all of the paper's where ``None``.
        out: where descriptors are stored.
        recipes: another folder of recipes.

    Raises:
        CrossbandError: an unknown model, or a recipe that is none.
    """
    recipe = read_recipe(recipes)
    models = list(next(iter(RGBT_RETRIEVAL.values())))
    for name in rows or ():
        if name not in models:
            raise unknown_name("row", name, models)
    models = [name for name in models if rows is None or name in rows]
    missing: dict[str, str] = {}
    usable = [name for name in models if _has_weights(name, recipe, missing)]
    measured: dict[tuple[str, str], Any] = {}
    for name in recipe.datasets:
        found = _frames(name, recipe, data_root, missing)
        if found is not None:
            measured.update(_measure(name, found, usable, recipe, out, missing))
    lines = [*_table_1(models, measured), *_table_2(models, measured), *_table_3(models, measured)]
    return Reproduction([*lines, *_table_4(models)], missing)


def _has_weights(name: str, recipe: Recipe, missing: dict[str, str]) -> bool:
    from ..models import create_model

    try:
        create_model(name)
    except CrossbandError as error:
        (info,) = list_models(name)
        missing[name] = f"{error} (published at {info.source})"
        return False
    return True


def _frames(name: str, recipe: Recipe, data_root: Path, missing: dict[str, str]) -> Frames | None:
    """The dataset's frames, sampled; ``None`` where it is not there, which is said."""
    entry, plan = dataset(name), recipe.datasets[name]
    candidates = [data_root / name, *sorted(path for path in data_root.iterdir() if path.is_dir())]
    root = next((path for path in candidates if path.is_dir() and entry.found_in(path)), None)
    if root is None:
        missing[name] = (
            f"no {entry.title} in a folder of {data_root}; get it from {entry.source} ({entry.licence})"
        )
        return None
    try:
        frames = scan(root, kind=name)
    except CrossbandError as error:
        missing[name] = str(error)
        return None
    if plan.splits and frames.has("split"):
        frames = frames.split(*plan.splits)
    frames = sample(frames, plan.frames) if plan.correlated else frames
    if frames.has("split"):  # no split is a query or a gallery here
        frames = frames.assign(split=None)
    if len(frames) < plan.frames // 2:
        note(f"{name}: {len(frames)} frames are here; the paper has {plan.frames}")
    return frames


def _measure(
    name: str, frames: Frames, models: list[str], recipe: Recipe, out: Path, missing: dict[str, str]
) -> dict[tuple[str, str], Any]:
    from ..retrieval import Options, benchmark

    options = Options(size=(recipe.size[1], recipe.size[0]), normalisation=recipe.normalisation)
    found = {}
    for model in models:
        note(f"{name}: {model}")
        try:
            result = benchmark(
                frames, [model], recipe.query, recipe.gallery, store=out / "store", protocol=recipe.protocol,
                misaligned=False, rerank=recipe.rerank.get(model), options=options,
            )  # fmt: skip
        except CrossbandError as error:
            missing[f"{name}: {model}"] = str(error)
            continue
        found[name, model] = result.runs[0]
    return found


def _row(
    table: int, dataset_: str, model: str, figure: str, published: float, ours: float | None, n: object
) -> dict:
    difference = None if ours is None else round(ours - published, 4)
    return {
        "table": table, "dataset": dataset_, "model": model, "figure": figure, "published": published,
        "ours": None if ours is None else round(ours, 4), "difference": difference,
        "frames": None if n is None else str(n),
    }  # fmt: skip


def _table_1(models: list[str], measured: dict[tuple[str, str], Any]) -> list[dict]:
    lines = []
    for name, published in RGBT_RETRIEVAL.items():
        for model in models:
            run = measured.get((name, model))
            for figure, value in (("R@1", published[model].recall_1), ("R@5", published[model].recall_5)):
                ours = None if run is None else run.recall[figure[2:]]
                lines.append(_row(1, name, model, figure, value, ours, run and run.n_queries))
    return lines


def _table_2(models: list[str], measured: dict[tuple[str, str], Any]) -> list[dict]:
    lines = []
    for name, published in RGBT_RETRIEVAL.items():
        for model in models:
            run, value = measured.get((name, model)), published[model].cka
            if value is not None:
                lines.append(_row(2, name, model, "CKA", value, run and run.cka, run and run.n_queries))
    return lines


def _table_3(models: list[str], measured: dict[tuple[str, str], Any]) -> list[dict]:
    lines = []
    for name, (places, scores) in CENTROIDS.items():
        for model in (model for model in models if model in scores):
            run = measured.get((name, model))
            found = run.centroid if run else None
            label = (
                f"places of {places}" if found is None else f"places of {places} (ours of {found['places']})"
            )
            ours = None if found is None else float(found["score"])
            lines.append(_row(3, name, model, label, scores[model], ours, run and run.n_queries))
    return lines


def _table_4(models: list[str]) -> list[dict]:
    lines = []
    for model in (model for model in models if model in PARAMETERS):
        (info,) = list_models(model)
        ours = int(info.params_m * 100) / 100  # cut, as the paper's are
        lines.append(_row(4, "", model, "M parameters", PARAMETERS[model], ours, None))
    return lines
