"""Measure a network on the test parts of a recipe."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import torch

from .. import __version__
from ..checkpoints import load_network, read_metadata
from ..devices import choose_device
from ..errors import CrossbandError
from ..files import make_folder, results_kind
from ..progress import says_once
from ..results import Result
from .recipe import Recipe, read_recipe
from .task import find_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """What a network reaches on every test part of a recipe.

    Attributes:
        task: of the recipe, and ``title`` its own.
        checkpoint: what was measured; ``None`` is the network before any training.
        tests: name of the part -> its scores, as the task gives them.
        shown: which scores are drawn, and their ``unit``.

    Example:
        >>> Evaluation("places", "", None, {"night": {"recall": {"1": 50.0}, "n_queries": 8}})
        Evaluation
         test     score  value
        night  recall/1     50
        night n_queries      8
    """

    task: str
    title: str
    checkpoint: str | None
    tests: dict[str, dict[str, Any]]
    shown: tuple[str, ...] = ("*",)
    unit: str = "%"
    stem: ClassVar[str] = "results"

    def to_dict(self) -> dict[str, Any]:
        """Return what ``results.json`` holds: ``crossband``, ``task``, ``title``, ``checkpoint``, ``tests``."""
        said = {"task": self.task, "title": self.title, "checkpoint": self.checkpoint}
        return {"crossband": __version__, **said, "tests": self.tests}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each number: ``test``, ``score`` (its path, as ``recall/1``) and ``value``."""
        rows = [(test, *row) for test, scores in self.tests.items() for row in _numbers(scores)]
        return pd.DataFrame(rows, columns=["test", "score", "value"])

    def plot(self) -> Figure:
        """Draw the task's main scores, a color for each test part."""
        from ..reports.result_plots import plot_scores

        table = self.to_pandas()
        keep = [any(fnmatch.fnmatchcase(name, one) for one in self.shown) for name in table["score"]]
        return plot_scores(table[keep], self.unit)

    def report(self, folder: str | Path) -> Path:
        """Write ``results.json``, ``results.csv`` and ``results.png`` into a folder; gives the folder.

        Raises:
            CrossbandError: the folder cannot be written, or holds the results of another verb.
        """
        _check_own(Path(folder) / "results.json")
        return super().report(folder)


@says_once
def evaluate(
    recipe: str | Path | Recipe | None = None,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    *,
    overrides: Iterable[str] = (),
    data_root: str | Path = ".",
) -> Evaluation:
    """Measure a network on every test pair of a recipe.

    Args:
        recipe: a YAML file; the checkpoint's own recipe where ``None``.
        checkpoint: of :func:`train`; without one, the network before any training is measured.
        out: the folder for ``results.json``, and the pictures that a task draws of it.
        overrides: ``key=value``.
        data_root: the folder that the recipe's frames are relative to.

    Raises:
        CrossbandError: neither recipe nor checkpoint, or one that does not fit the other.
    """
    if out is not None:
        _check_own(make_folder(out) / "results.json")
    if recipe is None:
        if checkpoint is None:
            raise CrossbandError("nothing to evaluate; give a recipe, a checkpoint, or both")
        recipe_given: Any = read_metadata(checkpoint)["recipe"]
    else:
        recipe_given = recipe
    given = read_recipe(recipe_given, overrides)
    with torch.random.fork_rng():
        task = find_task(given.task).build(given, Path(data_root))
        if checkpoint is not None:
            load_network(checkpoint, task.network)
        else:
            task.prepare()
        task.network.to(choose_device(given.trainer.device))
        tests = task.test()
    measured = None if checkpoint is None else str(checkpoint)
    found = Evaluation(given.task, given.title, measured, tests, task.shown, task.unit)
    if out is not None:
        _check_own(Path(out) / "results.json")
        found.to_json(Path(out) / "results.json")
        task.draw(Path(out))
    return found


def _numbers(scores: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The path and value of every number in nested scores; lists and text are left out."""
    for name, value in scores.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{above}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{above}{name}", float(value)


def _check_own(path: Path) -> None:
    """Refuse to take the place of another verb's results.

    Raises:
        CrossbandError: the file is there and holds no tests of a network.
    """
    if path.is_file() and "tests" not in results_kind(path):
        raise CrossbandError(f"{path} is of another verb and stays; choose another folder", parameter="out")
