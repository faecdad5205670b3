"""Pendota and Channappayya, "Are Deep Learning Models Pre-trained on RGB Data Good Enough for RGB-Thermal Image
Retrieval?": tables 1 to 4, for whichever of the eight datasets and of the models' weights are there.

The paper does not say how many frames it sampled, but its recalls are multiples of one over it: 123 of 401 is
30.67 %, and so for each dataset. Which frames, it does not say; the recipe takes each n-th of a sequence, n
such that as many remain as can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from ..data.parts import Name, Side, Strict
from ..datasets import dataset, scan
from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from ..models import list_models
from ..progress import note
from ..training.recipe import faulty_key
from ..training.safe_yaml import read_yaml
from ._registry import Reproduction, Request, find_recipe, register_paper

if TYPE_CHECKING:
    from ..retrieval import Options

__all__ = ["Recipe", "read_recipe", "reproduce_rgbt_retrieval", "sample"]


@dataclass(frozen=True)
class PublishedRetrieval:
    """RGB query, thermal gallery, 320x320, exact index; recall in percent."""

    recall_1: float
    recall_5: float
    cka: float | None = None


_DATASETS = ("llvip", "m3fd", "roadscene", "boson_nighttime", "flir_adas", "ino", "vot_rgbt", "vtuav")

# Pendota and Channappayya, tables 1 (R@1, R@5) and 2 (CKA), in the order of _DATASETS. The paper's
# SqueezeNet has 0.72 M parameters without the classifier (its table 4), which is version 1.1.
_TABLE_1: dict[str, tuple[tuple[float, float], ...]] = {
    "alexnet": (
        (30.67, 64.84),
        (73.33, 91.0),
        (85.52, 93.67),
        (16.91, 30.83),
        (11.73, 39.47),
        (12.14, 32.24),
        (38.84, 71.35),
        (89.53, 96.51),
    ),
    "vgg16": (
        (43.64, 68.33),
        (76.66, 95.0),
        (93.66, 95.64),
        (25.56, 45.49),
        (11.73, 42.93),
        (13.78, 32.71),
        (29.75, 58.5),
        (88.66, 97.38),
    ),
    "squeezenet1_1": (
        (51.8, 78.8),
        (80.67, 94.67),
        (96.38, 99.10),
        (35.71, 56.39),
        (14.13, 44.80),
        (15.65, 37.85),
        (41.87, 77.69),
        (94.77, 98.84),
    ),
    "resnet18": (
        (25.69, 54.86),
        (63.33, 87.33),
        (84.16, 95.02),
        (10.15, 18.05),
        (8.00, 28.80),
        (10.05, 27.80),
        (16.80, 43.25),
        (69.77, 91.28),
    ),
    "resnet34": (
        (22.94, 48.88),
        (57.33, 84.33),
        (84.62, 95.02),
        (10.9, 21.80),
        (7.73, 25.60),
        (9.11, 23.60),
        (13.50, 32.78),
        (65.99, 87.21),
    ),
    "resnet50": (
        (31.42, 55.11),
        (63.67, 89.33),
        (89.59, 96.83),
        (10.90, 23.31),
        (8.53, 30.13),
        (9.81, 28.04),
        (19.28, 40.50),
        (76.45, 90.99),
    ),
    "resnet101": (
        (26.93, 55.11),
        (65.33, 92.00),
        (90.95, 96.38),
        (11.28, 23.68),
        (7.20, 28.53),
        (10.05, 26.40),
        (14.60, 38.29),
        (70.35, 89.83),
    ),
    "resnet152": (
        (26.43, 57.61),
        (65.33, 91.00),
        (88.24, 97.29),
        (11.28, 25.19),
        (7.47, 29.87),
        (7.48, 23.60),
        (12.12, 36.36),
        (70.06, 89.24),
    ),
    "netvlad": (
        (11.47, 35.56),
        (45.0, 77.33),
        (67.42, 83.26),
        (6.02, 17.67),
        (5.6, 23.47),
        (4.67, 14.49),
        (5.79, 23.14),
        (36.05, 71.22),
    ),
    "patch_netvlad": (
        (38.65, 70.07),
        (70.33, 87.67),
        (93.67, 98.19),
        (10.15, 22.18),
        (12.0, 40.0),
        (8.8, 31.31),
        (19.56, 49.31),
        (85.47, 95.06),
    ),
    "mixvpr": (
        (15.71, 43.64),
        (66.0, 95.0),
        (87.78, 98.19),
        (21.43, 35.71),
        (10.4, 36.26),
        (4.9, 19.62),
        (11.84, 35.81),
        (67.44, 88.08),
    ),
    "r2former": (
        (12.0, 33.4),
        (55.7, 79.7),
        (68.8, 82.8),
        (7.9, 19.5),
        (9.9, 33.3),
        (4.4, 16.8),
        (9.1, 30.9),
        (43.6, 70.9),
    ),
    "omnivore_swinb": (
        (3.24, 11.97),
        (15.66, 41.33),
        (14.93, 28.95),
        (3.75, 10.15),
        (1.06, 5.33),
        (2.1, 7.24),
        (4.95, 14.87),
        (2.9, 10.17),
    ),
    "imagebind": (
        (2.99, 10.22),
        (0.66, 1.33),
        (0.45, 2.71),
        (0.37, 1.87),
        (0.26, 1.33),
        (0.46, 2.1),
        (0.27, 0.82),
        (0.29, 1.16),
    ),
    "sgm_resnet18": (
        (22.69, 49.87),
        (61.66, 83.66),
        (84.61, 91.4),
        (77.44, 98.87),
        (12.26, 28.53),
        (7.24, 22.66),
        (18.45, 44.9),
        (61.91, 78.77),
    ),
}
_TABLE_2: dict[str, tuple[float, ...]] = {
    "alexnet": (0.9569, 0.8530, 0.7483, 0.6135, 0.9424, 0.9894, 0.9508, 0.9139),
    "vgg16": (0.9732, 0.8748, 0.8481, 0.6939, 0.9558, 0.9910, 0.9614, 0.9329),
    "squeezenet1_1": (0.9785, 0.8766, 0.8738, 0.7616, 0.9563, 0.9924, 0.9688, 0.9540),
    "patch_netvlad": (0.8483, 0.7654, 0.4718, 0.4257, 0.7915, 0.9675, 0.8482, 0.8173),
    "sgm_resnet18": (0.8022, 0.6965, 0.6306, 0.6367, 0.8406, 0.9639, 0.8369, 0.8269),
}

# Table 3: places, and how many of them each model finds.
_COMPARED = ("alexnet", "vgg16", "squeezenet1_1", "patch_netvlad", "sgm_resnet18")
CENTROIDS: dict[str, tuple[int, dict[str, int]]] = {
    "llvip": (19, dict(zip(_COMPARED, (7, 8, 9, 8, 13), strict=True))),
    "ino": (9, dict(zip(_COMPARED, (9, 9, 9, 7, 9), strict=True))),
    "vot_rgbt": (14, dict(zip(_COMPARED, (13, 12, 14, 7, 13), strict=True))),
}

# Table 4: millions of parameters without the classifier.
PARAMETERS: dict[str, float] = {
    "alexnet": 2.46,
    "vgg16": 14.71,
    "squeezenet1_1": 0.72,
    "resnet18": 11.17,
    "resnet34": 21.28,
    "resnet50": 23.50,
    "resnet101": 42.50,
    "resnet152": 58.14,
}

RGBT_RETRIEVAL: dict[str, dict[str, PublishedRetrieval]] = {
    dataset: {
        model: PublishedRetrieval(*rows[i], _TABLE_2[model][i] if model in _TABLE_2 else None)
        for model, rows in _TABLE_1.items()
    }
    for i, dataset in enumerate(_DATASETS)
}


def published_retrieval(dataset: str, model: str) -> PublishedRetrieval | None:
    """Return the paper's figures for a dataset and a model, RGB to thermal; ``None`` where it has none.

    Example:
        >>> published_retrieval("roadscene", "squeezenet1_1")
        PublishedRetrieval(recall_1=96.38, recall_5=99.1, cka=0.8738)
    """
    return RGBT_RETRIEVAL.get(dataset, {}).get(model)


_RECIPE = "retrieval/rgbt_retrieval.yaml"
MASKS = (40, 16)
"""Window and stride of the similarity maps, pixels."""


class _Set(Strict):
    """How a dataset is sampled: the paper's number of frames and places, and the splits to take, all where
    empty."""

    frames: int = Field(ge=1, le=1_000_000_000)
    correlated: bool = False
    splits: tuple[Name, ...] = ()


class Recipe(Strict):
    """The protocol of the study.

    Sizes, bands, what is right, how many items a model re-ranks, each dataset's sampling.
    """

    paper: Name
    size: tuple[Side, Side]
    query: Name
    gallery: Name
    protocol: Name
    normalization: dict[Name, Name]
    rerank: dict[Name, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict)
    datasets: dict[Name, _Set]
    chosen: dict[str, str]


def read_recipe(recipes: str | Path | None = None) -> Recipe:
    """Read and check the recipe.

    Raises:
        CrossbandError: it is nowhere, or says something that no recipe says.
    """
    path = find_recipe(_RECIPE, recipes)
    content = read_yaml(path)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise CrossbandError(f"{path} is not a recipe of rgbt-retrieval: {faulty_key(error, Recipe)}") from None


def sample(frames: Frames, most: int) -> Frames:
    """Sample each n-th frame of a sequence, with n such that about ``most`` are left.

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
def reproduce_rgbt_retrieval(request: Request) -> Reproduction:
    """Measure tables 1 to 4, each figure beside the paper's and the difference; the rows are models.

    ``OUT/DATASET/explanation.html`` shows what figures 3 to 6 do: t-SNE of both bands, distances of queries to
    every gallery image, what was found first, and similarity maps.

    Raises:
        CrossbandError: an unknown model, or a recipe that is none.
    """
    rows, out = request.rows, request.out
    recipe = read_recipe(request.recipes)
    models = list(next(iter(RGBT_RETRIEVAL.values())))
    for name in rows or ():
        if name not in models:
            raise unknown_name("row", name, models)
    models = [name for name in models if rows is None or name in rows]
    missing: dict[str, str] = {}
    usable = [name for name in models if _has_weights(name, recipe, missing)]
    measured: dict[tuple[str, str], Any] = {}
    for name in recipe.datasets:
        found = _frames(name, recipe, request.data_root, missing)
        if found is not None:
            runs = _measure(name, found, usable, recipe, out, missing)
            measured.update(runs)
            _draw(name, found, [model for _, model in runs], recipe, out, missing)
    lines = [*_table_1(models, measured), *_table_2(models, measured), *_table_3(models, measured)]
    return Reproduction([*lines, *_table_4(models)], missing)


def _has_weights(name: str, recipe: Recipe, missing: dict[str, str]) -> bool:
    from ..models import create_encoder

    try:
        create_encoder(name)
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
            f"no {entry.title} in a folder of {data_root}; get it from {entry.source} ({entry.license})"
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
    from ..retrieval import benchmark

    options, found = _options(recipe), {}
    for model in models:
        note(f"{name}: {model}")
        try:
            result = benchmark(
                frames,
                [model],
                recipe.query,
                recipe.gallery,
                store=out / "store",
                protocol=recipe.protocol,
                misaligned=False,
                rerank=recipe.rerank.get(model, 0),
                options=options,
            )
        except CrossbandError as error:
            missing[f"{name}: {model}"] = str(error)
            continue
        found[name, model] = result.runs[0]
    return found


def _draw(
    name: str, frames: Frames, models: list[str], recipe: Recipe, out: Path, missing: dict[str, str]
) -> None:
    """Write a dataset's page, ``OUT/DATASET/explanation.html``: what figures 3 to 6 show, of all models."""
    from ..retrieval import explain
    from ..retrieval.similarity_map import Masks

    if not models:
        return
    try:
        found = explain(
            frames,
            models,
            recipe.query,
            recipe.gallery,
            store=out / "store",
            protocol=recipe.protocol,
            projections=("tsne",),
            masks=Masks(*MASKS),
            each=2,
            options=_options(recipe),
        )
    except CrossbandError as error:
        missing[f"{name}: page"] = str(error)
        return
    found.report(out / name, published_retrieval)


def _options(recipe: Recipe) -> Options:
    from ..retrieval import Options

    return Options(size=(recipe.size[1], recipe.size[0]), normalization=recipe.normalization)


def _row(
    table: int, dataset_: str, model: str, figure: str, published: float, ours: float | None, n: object
) -> dict:
    difference = None if ours is None else round(ours - published, 4)
    return {
        "table": table,
        "dataset": dataset_,
        "model": model,
        "figure": figure,
        "published": published,
        "ours": None if ours is None else round(ours, 4),
        "difference": difference,
        "frames": None if n is None else str(n),
    }


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
