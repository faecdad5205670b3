"""``train``, ``evaluate`` and ``reproduce``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._arguments import DataRootOption, JsonOption, OverridesArgument
from ._printing import print_json, print_table, shortened


@app.command("train")
def train_(
    recipe: Annotated[Path, typer.Argument(help="a YAML file")],
    overrides: OverridesArgument = None,
    out: Annotated[Path, typer.Option(help="folder of the run; run again to resume")] = Path("run"),
    data_root: DataRootOption = Path(),
    devices: Annotated[
        int | None, typer.Option(min=1, help="processes that train together here; trainer.processes without")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network that a recipe describes.

    On several machines: torchrun ... -m crossband train ...

    Example: crossband train recipes/vpr/city_gem_triplet.yaml trainer.epochs=5 --data-root data --out out/gem
    """
    from ..training import train

    done = train(recipe, overrides or (), out, data_root=data_root, devices=devices)
    if int(os.environ.get("RANK", 0)):  # torchrun's first process speaks for all
        return
    if as_json:
        print_json(done.to_dict())
    else:
        print(f"{done.checkpoint}: {done.monitor} {done.best:.1f} after epoch {done.epoch}")


@app.command("evaluate")
def evaluate_(
    recipe: Annotated[Path | None, typer.Argument(help="a YAML file; without it, the checkpoint's own")] = None,
    overrides: OverridesArgument = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="checkpoint; without one, the untrained network")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for results.json")] = None,
    data_root: DataRootOption = Path(),
) -> None:
    """Measure a network on every test pair of a recipe.

    Example: crossband evaluate --checkpoint out/gem/best.safetensors --data-root data --out out/gem
    """
    from ..training import evaluate

    if recipe is not None and checkpoint is not None and "=" in str(recipe) and not recipe.exists():
        overrides, recipe = [str(recipe), *(overrides or ())], None  # the recipe was left out
    results = evaluate(recipe, checkpoint, out, overrides=overrides or (), data_root=data_root).to_dict()
    print_json(results if out is None else shortened(results, f"in {out / 'results.json'}"))


@app.command("reproduce")
def reproduce_(
    paper: Annotated[
        str, typer.Argument(help="vpr-finetuning, rsfnet, hamnet, thermal-reid or rgbt-retrieval")
    ],
    data_root: DataRootOption,
    row: Annotated[
        list[str] | None, typer.Option(help="a recipe's or model's name; may be repeated; all by default")
    ] = None,
    training: Annotated[bool, typer.Option("--train", help="train first where there is no checkpoint")] = False,
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("reproduction"),
    recipes: Annotated[Path | None, typer.Option(help="another folder of recipes")] = None,
) -> None:
    """Reproduce a paper's tables: each published figure next to ours.

    Example: crossband reproduce rgbt-retrieval --data-root data --out out/rgbt
    """
    from ..papers import reproduce
    from ..progress import note

    done = reproduce(
        paper, data_root, rows=row, mode="train" if training else "evaluate", out=out, recipes=recipes
    )
    table = done.to_display()
    measured = table["ours"].notna()
    print_table(table)
    note(f"{measured.sum()} of {len(table)} figures; all of them: {out / 'reproduction.json'}")
    for name, why in done.missing.items():
        note(f"{name}: {why}")
