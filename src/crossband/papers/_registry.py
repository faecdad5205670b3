"""The registry of papers that are measured, not trained, and what every reproduction gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._discover import import_modules
from ..errors import CrossbandError, unknown_choice

__all__ = ["Paper", "Reproduction", "find_paper", "find_recipe", "list_papers", "register_paper"]


@dataclass(frozen=True)
class Reproduction:
    """Our figures next to a paper's.

    Attributes:
        rows: what each figure is, ``published``, and ``ours``, which is ``None`` where nothing was measured.
        missing: why there is no figure of ours, by recipe, dataset or model.
    """

    rows: list[dict[str, Any]]
    missing: dict[str, str]

    def to_display(self) -> Any:
        """A table for people, as a data frame: figures with four digits, as papers print them."""
        import pandas as pd

        shown = [{name: _digits(name, value) for name, value in row.items()} for row in self.rows]
        return pd.DataFrame(shown)


def _digits(name: str, value: Any) -> Any:
    figure = name in ("published", "ours", "difference") and isinstance(value, float)
    return f"{value:.4g}" if figure else value


@dataclass(frozen=True)
class Paper:
    """A paper that is measured: its name, title, and what measures it.

    Attributes:
        reproduce: called with the data's root, the rows (models) or ``None`` for all, the folder for results,
        and
            the folder of recipes or ``None``.
    """

    name: str
    title: str
    reproduce: Callable[[Path, Sequence[str] | None, Path, Path | None], Reproduction]


_PAPERS: dict[str, Paper] = {}


def register_paper(
    name: str, title: str
) -> Callable[[Callable[..., Reproduction]], Callable[..., Reproduction]]:
    """Register the decorated function as what measures a paper; see :class:`Paper`."""

    def register(reproduce: Callable[..., Reproduction]) -> Callable[..., Reproduction]:
        _PAPERS[name] = Paper(name, title, reproduce)
        return reproduce

    return register


def list_papers() -> list[Paper]:
    """Every registered paper, by name."""
    import_modules(__package__)
    return [_PAPERS[name] for name in sorted(_PAPERS)]


def find_paper(name: str) -> Paper:
    """The paper called ``name``.

    Raises:
        CrossbandError: nobody knows it.
    """
    import_modules(__package__)
    if name not in _PAPERS:
        raise unknown_choice("paper", name, _PAPERS)
    return _PAPERS[name]


def find_recipe(file: str, recipes: str | Path | None) -> Path:
    """A recipe's file, in the folder given, in ``recipes/`` of the working folder or of the sources.

    Raises:
        CrossbandError: it is nowhere.
    """
    beside = Path(__file__).parents[3] / "recipes"
    for folder in [Path(recipes)] if recipes is not None else [Path("recipes"), beside]:
        for candidate in (folder / file, folder / Path(file).name):
            if candidate.is_file():
                return candidate
    raise CrossbandError(f"no recipe {file}; give the folder of recipes with --recipes")
