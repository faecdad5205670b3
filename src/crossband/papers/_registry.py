"""The registry of papers, what a reproduction is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..errors import CrossbandError
from ..registry import Registry
from ..results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PAPERS", "Paper", "Reproduction", "Request", "find_recipe", "list_papers", "register_paper"]


@dataclass(frozen=True, repr=False)
class Reproduction(Result):
    """Our figures next to a paper's.

    Attributes:
        rows: what each figure is, ``published``, and ``ours``, which is ``None`` where nothing was measured.
        missing: why there is no figure of ours, by recipe, dataset or model.
        paper: its name.
    """

    rows: list[dict[str, Any]]
    missing: dict[str, str]
    paper: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"paper", "rows": [...], "missing": {...}}``."""
        return {"paper": self.paper, "rows": self.rows, "missing": self.missing}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each figure."""
        return pd.DataFrame(self.rows)

    def plot(self) -> Figure:
        """Draw our figures over the paper's, those that were measured; axes for each kind of figure."""
        from ..reports.result_plots import plot_published

        return plot_published(self.to_pandas())

    def to_display(self) -> pd.DataFrame:
        """Return a table for people, as a data frame: figures with four digits, as papers print them."""
        shown = [{name: _digits(name, value) for name, value in row.items()} for row in self.rows]
        return pd.DataFrame(shown)


def _digits(name: str, value: Any) -> Any:
    figure = name in ("published", "ours", "difference") and isinstance(value, float)
    return f"{value:.4g}" if figure else value


@dataclass(frozen=True)
class Request:
    """What a reproduction is asked for; see :func:`crossband.papers.reproduce`."""

    data_root: Path
    rows: Sequence[str] | None
    mode: Literal["evaluate", "train"]
    out: Path
    recipes: Path | None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paper:
    """A paper whose tables can be reproduced.

    Attributes:
        name: what the command line calls it.
        title: the paper's.
        build: a request -> our figures next to the paper's.
    """

    name: str
    title: str
    build: Callable[[Request], Reproduction]


PAPERS: Registry[Paper] = Registry("paper", "crossband.papers")


def register_paper(
    name: str, title: str
) -> Callable[[Callable[[Request], Reproduction]], Callable[[Request], Reproduction]]:
    """Register the decorated function as what reproduces a paper; see :class:`Paper`."""
    return PAPERS.register(name, lambda build: Paper(name, title, build))


def list_papers() -> list[Paper]:
    """Return every registered paper, by name."""
    return PAPERS.list()


def find_recipe(file: str, recipes: str | Path | None) -> Path:
    """Find a recipe's file: in the folder given, in ``recipes/`` here, or in the sources'.

    Raises:
        CrossbandError: it is nowhere.
    """
    beside = Path(__file__).parents[3] / "recipes"
    for folder in [Path(recipes)] if recipes is not None else [Path("recipes"), beside]:
        for candidate in (folder / file, folder / Path(file).name):
            if candidate.is_file():
                return candidate
    raise CrossbandError(f"no recipe {file}; give the folder of recipes", parameter="recipes")
