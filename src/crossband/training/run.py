"""Train what a recipe describes, and evaluate what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from ..checkpoints import load_network, read_metadata
from ..devices import choose_device
from ..errors import CrossbandError, MissingExtraError
from ..files import make_folder, results_kind, write_file
from ..results import Result
from .recipe import Recipe, read_recipe
from .task import Task, find_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Training", "evaluate", "train", "write_json"]


@dataclass(frozen=True, repr=False)
class Training(Result):
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

    def to_pandas(self) -> pd.DataFrame:
        """Return every score of the run's log: ``epoch`` and a column for each."""
        from .logs import read_log

        rows = pd.DataFrame(read_log(Path(self.checkpoint).parent), columns=["step", "epoch", "name", "value"])
        rows = rows.astype({"epoch": int, "value": float})
        return rows.pivot_table(index="epoch", columns="name", values="value", aggfunc="last").reset_index()

    def plot(self) -> Figure:
        """Draw the monitored score over the epochs, and the epoch that was kept."""
        from ..reports.plots import plot_curve

        table = self.to_pandas().dropna(subset=[self.monitor])
        return plot_curve(table, "epoch", self.monitor, self.epoch)


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
        task.complete(folder / BEST)
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
        out: the folder for ``results.json``, and the pictures that a task draws of it.
        overrides: ``key=value``.
        data_root: the folder that the recipe's frames are relative to.

    Returns:
        ``{"task", "checkpoint", "tests": {name: scores}}``.

    Raises:
        CrossbandError: neither recipe nor checkpoint, or one that does not fit the other.
    """
    if out is not None:
        _check_own(Path(out) / "results.json")
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
        _check_own(Path(out) / "results.json")
        write_json(Path(out) / "results.json", results)
        task.draw(Path(out))
    return results


def _build(recipe: Recipe, data_root: str | Path) -> Task:
    return find_task(recipe.task).build(recipe, Path(data_root))


def _version() -> str:
    from .. import __version__

    return __version__


def _check_own(path: Path) -> None:
    """Refuse to take the place of another verb's results.

    Raises:
        CrossbandError: the file is there and holds no tests of a network.
    """
    if path.is_file() and "tests" not in results_kind(path):
        raise CrossbandError(f"{path} is of another verb and stays; choose another folder", parameter="out")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, all or nothing.

    Raises:
        CrossbandError: it cannot be written.
    """
    make_folder(path.parent)
    write_file(path, json.dumps(value, indent=1))
