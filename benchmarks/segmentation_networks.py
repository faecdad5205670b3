"""Every network on the city, with the same images, budget and optimizer: recipes/rsfnet/city_320*.yaml.

``python -m benchmarks.segmentation_networks OUT DATA_ROOT [NAME,...] [KEY=VALUE ...]`` goes on where it was,
on another machine too: the figures of each finished run are kept in benchmarks/segmentation_networks.json, and
what is there by the same recipe is not trained again. It writes the table into docs/segmentation.md and figure
5 of Li et al., with our figures, to docs/images/segmentation_cost.png. Networks of SEVERAL are trained with
three seeds, the others with one.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from crossband.bands import parse_band
from crossband.models import create_segmenter
from crossband.models._segmentation import band_channels
from crossband.nn.reparam import deploy
from crossband.papers.rsfnet import count_segmenter_cost
from crossband.reports.plots import plot_cost
from crossband.training import evaluate, read_recipe, train

from ._harness import ROOT, machine, write_section
from .segmentation_city import interval, mean

RECIPES = ROOT / "recipes" / "rsfnet"
PAGE, PICTURE = ROOT / "docs" / "segmentation.md", ROOT / "docs" / "images" / "segmentation_cost.png"
KEPT = Path(__file__).with_suffix(".json")
PREFIX = "city_320"
SEVERAL = ("rsfnet", "sum", "concat", "gma", "rtfnet18", "mfnet", "egfnet")
SEEDS = 3


def recipes() -> dict[str, Path]:
    """The comparison's recipes by what comes after ``city_320_``; the first is RSFNet itself."""
    found = sorted(RECIPES.glob(f"{PREFIX}*.yaml"), key=lambda path: (path.stem != PREFIX, path.stem))
    return {path.stem.removeprefix(PREFIX).removeprefix("_") or "rsfnet": path for path in found}


def measure(out: Path, data_root: Path, names: list[str], overrides: list[str]) -> dict[str, Any]:
    """Train and evaluate what is not there yet, one seed of everything first; return all runs' figures."""
    runs = {} if overrides else kept()
    for seed in range(SEEDS):
        for name in names:
            run = f"{name}_s{seed}"
            if run in runs or (seed and name not in SEVERAL):
                continue
            folder = out / run
            train(recipes()[name], [*overrides, f"seed={seed}"], folder, data_root=data_root)
            measured = folder / "results.json"
            if not measured.is_file():
                evaluate(None, folder / "best.safetensors", folder, data_root=data_root)
            found = json.loads(measured.read_text(encoding="utf-8"))["tests"]["city"]
            runs[run] = figures(found) | {"recipe": recipe_digest(name), "measured": machine()}
            if not overrides:  # another process may have finished a run meanwhile
                KEPT.write_text(json.dumps(kept() | {run: runs[run]}, indent=1) + "\n", encoding="utf-8")
    return runs if overrides else kept()


def kept() -> dict[str, Any]:
    """The figures of the runs that were finished, here or elsewhere, by the recipes as they are."""
    found = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    names = recipes()
    return {
        run: figures
        for run, figures in found.items()
        if (name := run.rpartition("_s")[0]) in names and figures["recipe"] == recipe_digest(name)
    }


@cache
def recipe_digest(name: str) -> str:
    """What a network's recipe says, but for the seed, in sixteen digits."""
    text = read_recipe(recipes()[name]).model_dump_json(exclude={"seed"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def figures(scores: dict[str, Any]) -> dict[str, Any]:
    """What the table needs of a run's scores."""
    night = scores.get("night")
    return {
        "miou": scores["miou"],
        "ci95": {"miou": scores["ci95"]["miou"]},
        "macc": scores["macc"],
        "day": {"miou": scores["day"]["miou"]} if "day" in scores else {},
        "night": {"miou": night["miou"], "ci95": {"miou": night["ci95"]["miou"]}} if night else {},
    }


def cost(name: str, rounds: int = 5) -> dict[str, float]:
    """Parameters and thop's figure as papers count, and frames per second on this CPU, deployed."""
    recipe: Any = read_recipe(recipes()[name])
    size, bands, options = recipe.data.size, recipe.data.bands, recipe.model.options
    counted = count_segmenter_cost(recipe.model.name, bands, 9, size, options)
    channels = sum(band_channels(map(parse_band, bands)))
    network = deploy(
        create_segmenter(recipe.model.name, 9, bands, options=options), torch.rand(1, channels, 64, 64)
    )
    images, seconds = torch.rand(1, channels, *size), []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            start = time.perf_counter()
            network(images)
            seconds.append(time.perf_counter() - start)
    return {"params_m": counted.params_m, "thop_g": counted.thop_g, "fps": 1 / sorted(seconds[1:])[rounds // 2]}


def table(out: Path, names: list[str], runs: dict[str, Any]) -> tuple[str, pd.DataFrame]:
    """A row a network that is finished, and the points of the figure."""
    lines = [
        "| network | seeds | mIoU (95 %) | mAcc | mIoU day | mIoU night (95 %) | M | thop, G | FPS |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    points = []
    for name in names:
        found = [runs[run] for seed in range(SEEDS) if (run := f"{name}_s{seed}") in runs]
        if not found:
            continue
        costs = cached_cost(out, name)
        cells = [
            read_recipe(recipes()[name]).title.removeprefix("City, "),
            str(len(found)),
            interval(found),
            mean([one["macc"] for one in found]),
            mean([one.get("day", {}).get("miou") for one in found]),
            interval([one["night"] for one in found]) if found[0]["night"] else "-",
            f"{costs['params_m']:.2f}",
            f"{costs['thop_g']:.2f}",
            f"{costs['fps']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        miou = sum(one["miou"] for one in found) / len(found)
        points.append(
            {"name": name, "whose": "ours", "gflops": costs["thop_g"], "miou": miou, "fps": costs["fps"]}
        )
    return "\n".join(lines), pd.DataFrame(points)


def cached_cost(out: Path, name: str) -> dict[str, float]:
    path = out / f"{name}_cost.json"
    if not path.is_file():
        path.write_text(json.dumps(cost(name)), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def main(out: Path, data_root: Path, chosen: str = "", overrides: tuple[str, ...] = ()) -> str:
    names = [name for name in chosen.split(",") if name] or list(recipes())
    runs = measure(out, data_root, names, list(overrides))
    rows, points = table(out, list(recipes()), runs)
    if not overrides:  # a trial run leaves the page alone
        plot_cost(points, "thop's FLOPs at 256x320, G", "mIoU on the city, %").savefig(PICTURE)
    trained: Any = read_recipe(recipes()["rsfnet"])
    text = (
        f"From scratch, {trained.trainer.epochs} epochs of 1,200 images of four cities, selected in a fifth, "
        f"tested on 160 frames of a sixth at 256x320 (FPS: {machine()}; the runs' own machines are in "
        f"benchmarks/{KEPT.name}). In brackets the 95 % interval over drives for one seed, the range over "
        f"several; M are parameters; FPS on this CPU, deployed, {torch.get_num_threads()} thread(s).\n\n{rows}"
    )
    if not overrides:
        write_section(PAGE, "networks", text)
    return text


if __name__ == "__main__":
    given = sys.argv[1:]
    extra = tuple(one for one in given[2:] if "=" in one)
    print(main(Path(given[0]), Path(given[1]), *[one for one in given[2:3] if "=" not in one], overrides=extra))
