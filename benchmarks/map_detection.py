"""The packaged detector with and without the map's labels, in flights over cities that it has never seen.

``python -m benchmarks.map_detection DATA RUNS`` lets it learn on by two recipes that differ in nothing else
(recipes/thermal_reid/flight_detection.yaml and flight_detection_map.yaml), below RUNS, and writes docs/uav.md.
The map is read at each frame's true position, at one as wrong as those that are found over a sequence, and as
if it were unknown everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from crossband.data.items import part_frames
from crossband.data.scenes import Scenes
from crossband.io.boxes import read_boxes
from crossband.metrics.detection_detail import Matched, match_class
from crossband.training import train
from crossband.training.recipe import read_recipe
from crossband.uav.tasks.detection import DetectionTask

from ._harness import ROOT, machine, write_section

RECIPES = ROOT / "recipes" / "thermal_reid"
FOUND = 1.5
"""Meters that a position found over a sequence is wrong by, median (docs/uav.md)."""
_DRAWS = 1000


class Reading(DetectionTask):
    """The task, its map read otherwise."""

    wrong = 0.0
    unknown = False

    def _image(self, scenes: Scenes, row: int, off: np.ndarray | None = None) -> torch.Tensor:
        rng = np.random.default_rng(row)
        deviation = self.wrong / 1.1774  # of each axis; the lengths' median is ``wrong``
        image = super()._image(scenes, row, rng.normal(0, deviation, 2))
        if self.unknown:
            image[1:] = 0
        return image


def read_with(recipe: str, data: Path, runs: Path) -> Reading:
    """Train, or take what is trained, and load."""
    run = train(RECIPES / f"{recipe}.yaml", (), runs / recipe, data_root=data)
    given: Any = read_recipe(RECIPES / f"{recipe}.yaml")
    task = Reading(given, data)
    task.network.load_state_dict(load_file(run.checkpoint))
    task.network.eval()
    return task


def matched(task: Reading, scenes: Scenes) -> list[Matched]:
    """The detections beside the truth, of each class."""
    known = read_boxes(scenes.frames)
    if known.classes != task.classes:
        raise ValueError(f"classes {known.classes} are not those learned, {task.classes}")
    found = task.detections(scenes)
    return [match_class(found, known.rows, kind, crowds=known.crowds) for kind in range(len(known.classes))]


def drawn(classes: list[Matched], flights: np.ndarray) -> np.ndarray:
    """AP of each class and their mean, percent: of all flights, then of some drawn again, as for all."""
    rng, rows = np.random.default_rng(0), []
    for draw in range(1 + _DRAWS):
        count = flights.max() + 1
        times = np.ones(count) if draw == 0 else np.bincount(rng.integers(0, count, count), minlength=count)
        each = [100 * one.average_precision(times[flights].astype(float)) for one in classes]
        rows.append([np.nanmean(each), *each])
    return np.array(rows)


def said(values: np.ndarray, sign: str = "") -> str:
    """The figure and its interval."""
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return f"{values[0]:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    given = parser.parse_args()
    plain = read_with("flight_detection", given.data, given.runs)
    mapped = read_with("flight_detection_map", given.data, given.runs)
    recipe: Any = mapped.recipe
    scenes = Scenes(part_frames(recipe.data.test["unseen_cities"], given.data))
    table = scenes.frames.table
    city = table["tir"].astype(str).str.split("/").str[0]
    flights = (city + table["sequence"].astype(str)).factorize()[0]
    rows = {"without the map": drawn(matched(plain, scenes), flights)}
    rows["with it, at true positions"] = drawn(matched(mapped, scenes), flights)
    mapped.wrong = FOUND
    rows[f"with it, positions wrong by {FOUND} m (median)"] = drawn(matched(mapped, scenes), flights)
    mapped.wrong, mapped.unknown = 0.0, True
    rows["with it, the map unknown"] = drawn(matched(mapped, scenes), flights)
    names = ["mAP at IoU 0.5", *plain.classes]
    lines = [f"| detector | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for name, values in rows.items():
        lines.append(f"| {name} | {' | '.join(said(values[:, k]) for k in range(len(names)))} |")
    first, *others = rows.values()
    for name, other in zip(("true positions", f"{FOUND} m wrong"), others[:2], strict=True):
        cells = " | ".join(said(other[:, k] - first[:, k], "+") for k in range(len(names)))
        lines.append(f"| gain of the map at {name}, the same flights drawn | {cells} |")
    seen = len(mapped.train) * recipe.trainer.epochs
    lines += ["", f"{len(scenes)} frames of {flights.max() + 1} flights; both saw {seen:,} crops. {machine()}"]
    write_section(ROOT / "docs" / "uav.md", "map-detection", "\n".join(lines))


if __name__ == "__main__":
    main()
