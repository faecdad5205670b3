"""Train what a recipe describes, and evaluate what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import load_network, read_metadata
from ..devices import choose_device
from ..errors import CrossbandError, MissingExtraError
from ..files import make_folder, write_file
from .recipe import Recipe, read_recipe
from .task import Task, find_task

__all__ = ["Reproduction", "Training", "evaluate", "reproduce", "train"]


@dataclass(frozen=True)
class Paper:
    """Where a paper's recipes and figures are.

    Attributes:
        recipes: the folder below ``recipes``.
        published: the module of :mod:`crossband.reports` whose ``beside_published(row, recipe, results)`` gives
            a row's figures next to the paper's; ``draw(rows, out)``, where it has one, makes the paper's figures.
    """

    recipes: str
    published: str


PAPERS = {
    "vpr-finetuning": Paper("vpr", "published_vpr"),
    "rsfnet": Paper("rsfnet", "published_rsfnet"),
    "hamnet": Paper("reid", "published_hamnet"),
    "thermal-reid": Paper("thermal_reid", "published_thermal_reid"),
}


@dataclass(frozen=True)
class Training:
    """What a run came to.

    Attributes:
        checkpoint: the best network on val.
        monitor: the score that selected it, and ``best`` its value, percent.
        epoch: after how many epochs it was the best.
        seconds: of this call; a run that went on from a state took longer in all.
    """

    checkpoint: str
    monitor: str
    best: float
    epoch: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return a plain mapping."""
        return asdict(self)


def train(
    recipe: str | Path | Recipe,
    overrides: Iterable[str] = (),
    out: str | Path = "run",
    *,
    data_root: str | Path = ".",
) -> Training:
    """Train what a recipe describes, resuming where an earlier run ended.

    Args:
        recipe: a YAML file.
        overrides: ``key=value``, as in ``optimizer.lr=1e-4``.
        out: the folder of the run: ``best.safetensors``, ``metrics.csv``, ``tensorboard/``, ``state.pt``.
        data_root: the folder that the recipe's frames are relative to.

    Raises:
        CrossbandError: a recipe, data or weights that are wrong or missing, or a loss that is no number.
    """
    folder = Path(out)
    given = read_recipe(recipe, overrides)
    start = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrossbandError(
            f"cannot write {folder} ({error.strerror}); choose another folder", parameter="out"
        ) from None
    try:
        from .engine import BEST, fit
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"training needs {error.name}; pip install 'crossband[train]'") from None

    choose_device(given.trainer.device)
    with torch.random.fork_rng():
        task = _build(given, data_root)
        task.check()
        fit(task, folder)
    metadata = read_metadata(folder / BEST)
    best = metadata["scores"][task.monitor]
    return Training(str(folder / BEST), task.monitor, best, metadata["epoch"], time.perf_counter() - start)


def evaluate(
    recipe: str | Path | Recipe | None = None,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    *,
    overrides: Iterable[str] = (),
    data_root: str | Path = ".",
) -> dict[str, Any]:
    """Measure a network on every test pair of a recipe.

    Args:
        recipe: a YAML file; the checkpoint's own recipe where ``None``.
        checkpoint: of :func:`train`; without one, the network before any training is measured.
        out: the folder for ``results.json``.
        overrides: ``key=value``.
        data_root: the folder that the recipe's frames are relative to.

    Returns:
        ``{"task", "checkpoint", "tests": {name: scores}}``.

    Raises:
        CrossbandError: neither recipe nor checkpoint, or one that does not fit the other.
    """
    if recipe is None:
        if checkpoint is None:
            raise CrossbandError("nothing to evaluate; give a recipe, a checkpoint, or both")
        recipe_given: Any = read_metadata(checkpoint)["recipe"]
    else:
        recipe_given = recipe
    given = read_recipe(recipe_given, overrides)
    with torch.random.fork_rng():
        task = _build(given, data_root)
        if checkpoint is not None:
            load_network(checkpoint, task.network)
        else:
            task.prepare()
        task.network.to(choose_device(given.trainer.device))
        tests = task.test()
    results = {
        "crossband": _version(),
        "task": given.task,
        "title": given.title,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "tests": tests,
    }
    if out is not None:
        write_json(Path(out) / "results.json", results)
    return results


def reproduce(
    paper: str,
    data_root: str | Path,
    *,
    rows: Sequence[str] | None = None,
    mode: Literal["evaluate", "train"] = "evaluate",
    out: str | Path = "reproduction",
    recipes: str | Path | None = None,
    overrides: Iterable[str] = (),
) -> Reproduction:
    """Each figure of a paper next to ours: trained here, or from checkpoints that lie in ``out``.

    Args:
        paper: one of :data:`PAPERS`, or one of :func:`crossband.papers.list_papers`, which are measured
            whatever the mode.
        data_root: the folder with the paper's datasets.
        rows: the recipes' names; all where ``None``.
        mode: ``train`` goes on with each row in ``OUT/ROW`` to its end; ``evaluate`` measures what is there.
        out: one folder a row, and ``reproduction.json``.
        recipes: the folder of recipes; ``recipes/`` of the working folder or of the sources where ``None``.
        overrides: ``key=value`` for every row.

    Raises:
        CrossbandError: an unknown paper or row, no recipes, or no folder of data.
    """
    if mode not in ("evaluate", "train"):
        raise unknown_name("mode", str(mode), ("evaluate", "train"))
    measured = {entry.name for entry in list_papers()}
    if paper not in PAPERS and paper not in measured:
        raise unknown_choice("paper", paper, {*PAPERS, *measured})
    if not Path(data_root).is_dir():
        raise CrossbandError(f"no folder {data_root}; give the one that holds the paper's datasets")
    if paper in measured:
        given_recipes = None if recipes is None else Path(recipes)
        done = find_paper(paper).reproduce(Path(data_root), rows, Path(out), given_recipes)
        _write_json(Path(out) / "reproduction.json", {"paper": paper, **asdict(done)})
        return done
    folder = _recipes_of(paper, recipes)
    if paper == "thermal-reid":  # its rows are methods that need several networks, not a network each
        from ..papers.thermal_reid import reproduce_thermal_reid

        return reproduce_thermal_reid(folder, data_root, out, mode, rows, overrides)
    published = importlib.import_module(f"crossband.reports.{PAPERS[paper].published}")
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    rows_of = {name: path for name, path in files.items() if not name.startswith("_")}  # _ is for bases
    files = {name: path for name, path in rows_of.items() if read_recipe(path).paper == paper}
    for name in rows or ():
        if name not in files:
            raise unknown_name("row", name, files)
    given, found, missing = list(overrides), [], {}
    for name in rows or files:
        note(f"{name}")
        try:
            results = _row(files[name], Path(out) / name, mode, data_root, given)
        except CrossbandError as error:
            missing[name], results = str(error), None
        found += published.beside_published(name, read_recipe(files[name], given), results)
    done = Reproduction(found, missing)
    _write_json(Path(out) / "reproduction.json", {"paper": paper, **asdict(done)})
    if hasattr(published, "draw"):
        for picture in published.draw(found, Path(out)):
            note(f"{picture}")
    return done


def _row(path: Path, out: Path, mode: str, data_root: str | Path, overrides: list[str]) -> dict[str, Any]:
    if mode == "train":
        train(path, overrides, out, data_root=data_root)
    checkpoint = out / "best.safetensors"
    if not checkpoint.is_file():
        raise CrossbandError(f"no checkpoint {checkpoint}; reproduce --train makes it")
    return evaluate(path, checkpoint, out, overrides=overrides, data_root=data_root)


def _recipes_of(paper: str, recipes: str | Path | None) -> Path:
    beside = Path(__file__).parents[3] / "recipes"
    for folder in [Path(recipes)] if recipes is not None else [Path("recipes"), beside]:
        for candidate in (folder / PAPERS[paper].recipes, folder):
            if any(candidate.glob("*.yaml")):
                return candidate
    raise CrossbandError(f"no recipes of {paper}; give their folder with --recipes")


def _build(recipe: Recipe, data_root: str | Path) -> Task:
    return find_task(recipe.task).build(recipe, Path(data_root))


def _version() -> str:
    from .. import __version__

    return __version__


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, all or nothing.

    Raises:
        CrossbandError: it cannot be written.
    """
    make_folder(path.parent)
    write_file(path, json.dumps(value, indent=1))
