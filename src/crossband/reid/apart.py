"""Bands trained one by one and summed at test, as Li et al. (AAAI 2020) extend PCB, MGN and ABD-Net to several.

Table 4: "we first train the methods on the three spectra respectively and then directly sum up the learned deep
features from each spectrum for testing". Each band keeps the checkpoint that was best on val by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ..checkpoints import read_metadata, write_tensors
from ..errors import CrossbandError
from ..progress import note
from ..training import train
from ..training.recipe import Recipe, read_recipe

__all__ = ["join_bands", "train_apart"]

_SAME = ("classes", "weights")


def train_apart(
    recipe: str | Path | Recipe,
    overrides: Iterable[str] = (),
    out: str | Path = "run",
    *,
    data_root: str | Path = ".",
) -> Path:
    """Train each band of a recipe by itself, and join them into one checkpoint.

    ``OUT/BAND`` is the run of a band, which goes on where it ended, and ``OUT/best.safetensors`` what
    :func:`join_bands` makes of them: ``crossband evaluate`` with the recipe sums their features.

    Args:
        recipe: a recipe of the task ``reidentification`` with several ``data.bands``.
        overrides: ``key=value``.
        out: the folder.
        data_root: the folder that the recipe's frames are relative to.

    Raises:
        CrossbandError: another task, or what :func:`crossband.training.train` raises.
    """
    given: Any = read_recipe(recipe, overrides)
    if given.task != "reidentification":
        raise CrossbandError(f"only streams are trained apart, and the recipe's task is {given.task}")
    parts = {}
    for band in given.data.bands:
        note(f"band {band}")
        alone = [f"data.bands=[{band}]", "data.query_bands=[]", "data.gallery_bands=[]"]
        part = read_recipe(recipe, [*overrides, *alone])
        parts[band] = Path(train(part, (), Path(out) / band, data_root=data_root).checkpoint)
    return join_bands(parts, Path(out) / "best.safetensors", given)


def join_bands(checkpoints: Mapping[str, str | Path], out: str | Path, recipe: Recipe) -> Path:
    """Write one checkpoint of streams that were trained one by one, and return it.

    Args:
        checkpoints: band -> the checkpoint of a recipe with this band alone.
        out: the file.
        recipe: the recipe with all these bands, which the checkpoint is said to be of.

    Raises:
        CrossbandError: a checkpoint of other bands, identities or weights, or of another kind of stream.
    """
    tensors, said = {}, {band: read_metadata(path) for band, path in checkpoints.items()}
    first = next(iter(said.values()))
    for band, path in checkpoints.items():
        mine = said[band]
        if mine.get("bands") != [band]:
            raise CrossbandError(f"{path} is of the bands {mine.get('bands')}, not of {band} alone")
        other = next((key for key in _SAME if mine.get(key) != first.get(key)), None)
        if other is None and mine["recipe"].get("model") != first["recipe"].get("model"):
            other = "model"
        if other is not None:
            raise CrossbandError(f"{path} has another {other} than {next(iter(checkpoints.values()))}")
        tensors.update(load_file(path))
    described = {**first["preprocess"]}
    for part in ("statistics", "normalization"):
        own = {band: mine["preprocess"][part][band] for band, mine in said.items()}
        described[part] = {**first["preprocess"][part], **own}
    metadata = {
        **first,
        "recipe": recipe.model_dump(mode="json"),
        "bands": list(checkpoints),
        "preprocess": described,
        "scores": {f"{band}/{name}": value for band, s in said.items() for name, value in s["scores"].items()},
        "epoch": max(s["epoch"] for s in said.values()),
    }
    return write_tensors(out, tensors, metadata)
