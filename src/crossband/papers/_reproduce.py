"""How a paper's table is reproduced: what is asked for, and the rows of a folder of recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..errors import CrossbandError, unknown_name
from ..files import make_folder
from ..progress import note, says_once
from ..training import evaluate, read_recipe, train
from ._registry import PAPERS, Reproduction, Request

__all__ = ["reproduce", "reproduce_recipes", "train_row"]

Beside = Callable[[str, Any, "Mapping[str, Any] | None"], list[dict[str, Any]]]
Train = Callable[[Path, Path, Request], object]


def train_row(path: Path, out: Path, request: Request) -> object:
    """Train a row's recipe in its folder, or go on with it."""
    return train(path, request.overrides, out, data_root=request.data_root)


@says_once
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
    """Reproduce a paper's tables: each figure next to ours, trained here or from checkpoints in ``out``.

    Args:
        paper: a name of :func:`crossband.papers.list_papers`.
        data_root: the folder with the paper's datasets.
        rows: the recipes' (or models') names; all where ``None``.
        mode: ``train`` goes on with each row in ``OUT/ROW`` to its end; ``evaluate`` measures what is there.
        out: one folder per row, and ``reproduction.json``.
        recipes: the folder of recipes; ``recipes/`` of the working folder or of the sources where ``None``.
        overrides: ``key=value`` for every row.

    Raises:
        CrossbandError: an unknown paper or row, no recipes, or no folder of data.
    """
    if mode not in ("evaluate", "train"):
        raise unknown_name("mode", str(mode), ("evaluate", "train"))
    entry = PAPERS.get(paper)
    if not Path(data_root).is_dir():
        raise CrossbandError(f"no folder {data_root}; give the one that holds the paper's datasets")
    make_folder(out)
    given = None if recipes is None else Path(recipes)
    done = entry.build(Request(Path(data_root), rows, mode, Path(out), given, tuple(overrides)))
    done = replace(done, paper=paper)
    done.to_json(Path(out) / "reproduction.json")
    return done


def reproduce_recipes(
    paper: str, folder: str, beside: Beside, request: Request, train_one: Train = train_row
) -> Reproduction:
    """Reproduce a paper whose rows are recipes, each a network that is trained and measured.

    Args:
        paper: what the recipes call it.
        folder: below ``recipes``.
        beside: a row's name, its recipe and its results (or ``None``) -> its figures next to the paper's.
        request: what was asked for.
        train_one: a recipe, its row's folder and the request -> ``best.safetensors`` in the folder.
    """
    paths = sorted(recipe_folder(folder, request.recipes).glob("[!_]*.yaml"))  # _ is for bases
    read = {path: read_recipe(path) for path in paths}
    files = {path.stem: path for path, recipe in read.items() if recipe.paper == paper}
    for name in request.rows or ():
        if name not in files:
            raise unknown_name("row", name, files)
    found: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name in request.rows or files:
        note(name)
        results = None
        try:
            results = _row(files[name], request.out / name, request, train_one)
        except CrossbandError as error:
            missing[name] = str(error)
        found += beside(name, read_recipe(files[name], request.overrides), results)
    return Reproduction(found, missing)


def recipe_folder(name: str, recipes: Path | None) -> Path:
    """Return the folder of a paper's recipes.

    The one given, or below ``recipes/`` here or beside the sources.

    Raises:
        CrossbandError: there is none.
    """
    beside = Path(__file__).parents[3] / "recipes"
    for folder in [recipes] if recipes is not None else [Path("recipes"), beside]:
        for candidate in (folder / name, folder):
            if any(candidate.glob("*.yaml")):
                return candidate
    raise CrossbandError(f"no recipes of {name}; give their folder")


def _row(path: Path, out: Path, request: Request, train_one: Train) -> dict[str, Any]:
    if request.mode == "train":
        train_one(path, out, request)
    checkpoint = out / "best.safetensors"
    if not checkpoint.is_file():
        raise CrossbandError(f"no checkpoint at {checkpoint}; training it makes one")
    return evaluate(path, checkpoint, out, overrides=request.overrides, data_root=request.data_root).to_dict()
