"""What tells the class of a photograph's object from its vector, learned in the cities that learn.

``python -m benchmarks.object_classes DATA`` describes objects of the cities that crossband-objects learned
from, in color by day, fits a logistic regression for each view, and writes it into the package. How much its
weights are drawn to zero is chosen on every fourth of those cities. What ranks objects is to be calibrated
again after it (``python -m benchmarks.flight_objects DATA WORK --choose``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from crossband.data.items import part_frames
from crossband.data.scenes import Scenes, sides_of
from crossband.io.boxes import read_boxes
from crossband.progress import track
from crossband.training import read_recipe
from crossband.uav.evaluation import LEAST_SIDE, in_the_dark
from crossband.uav.object_class import FILE, ObjectClasses
from crossband.uav.object_descriptor import ObjectDescriptor, View, crop_around, load_object_descriptor

from ._harness import ROOT

MOST = 60
"""Objects of a class in a city, at most: most are cars."""
PULLS = (1e-6, 1e-5, 1e-4, 1e-3)
VIEWS = (View.BARE, View.AROUND)


def chosen(scenes: Scenes, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The largest color view of each object of a flight, not too many of a class in a city."""
    table, dark = scenes.frames.table, in_the_dark(scenes)
    best: dict[tuple[str, int], tuple[float, int, int]] = {}
    for row in np.flatnonzero(~np.array(dark)).tolist():
        for number, box in enumerate(scenes.boxes[row]):
            key, area = (str(table["sequence"].iloc[row]), int(box[5])), float(np.prod(sides_of(box)))
            if min(sides_of(box)) >= LEAST_SIDE and area > best.get(key, (0.0, 0, 0))[0]:
                best[key] = area, row, number
    groups: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for (sequence, _), (_, row, number) in best.items():
        kind = int(scenes.boxes[row][number][4])
        groups.setdefault((sequence.partition("/")[0], kind), []).append((row, number))
    kept = [[group[i] for i in rng.permutation(len(group))[:MOST]] for group in groups.values()]
    return sorted(place for group in kept for place in group)


def described(
    scenes: Scenes, where: list[tuple[int, int]], descriptor: ObjectDescriptor, rng: np.random.Generator
) -> dict[View, np.ndarray]:
    """The vectors of objects in color, each turned at random."""

    def crops() -> Iterator[torch.Tensor]:
        for row, number in track(where, len(where), "describing", "objects"):
            image, turns = scenes.color(row), int(rng.integers(4))
            both = [
                crop_around(image, scenes.boxes[row][number], descriptor.size, descriptor.shown(view))
                for view in VIEWS
            ]
            yield torch.rot90(torch.stack(both), turns, (-2, -1))

    found = np.stack([descriptor(pair) for pair in crops()])
    return {view: found[:, place] for place, view in enumerate(VIEWS)}


def fitted(vectors: np.ndarray, kinds: np.ndarray, count: int, pull: float) -> np.ndarray:
    """A logistic regression in which all classes count alike, ``(count, d + 1)``."""
    weight = 1 / np.bincount(kinds, minlength=count)[kinds]
    weight /= weight.sum()
    table, true = np.c_[vectors.astype(float), np.ones(len(vectors))], np.eye(count)[kinds]

    def doubt(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(count, -1)
        told = log_softmax(table @ weights.T, 1)
        slope = ((np.exp(told) - true) * weight[:, None]).T @ table + 2 * pull * weights
        return float(pull * (weights**2).sum() - (weight[:, None] * told * true).sum()), slope.ravel()

    start = np.zeros(count * table.shape[1])
    return minimize(doubt, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(count, -1)


def surprise(weights: np.ndarray, vectors: np.ndarray, kinds: np.ndarray) -> tuple[float, list[float]]:
    """The mean negative logarithm of what the true class was given, and how often each class is told."""
    told = log_softmax(vectors.astype(float) @ weights[:, :-1].T + weights[:, -1], 1)
    present = sorted(set(kinds.tolist()))
    right = [100 * float((told[kinds == kind].argmax(1) == kind).mean()) for kind in present]
    return float(np.mean([-told[kinds == kind, kind].mean() for kind in present])), right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    recipe: Any = read_recipe(ROOT / "recipes" / "models" / "objects.yaml")
    scenes = Scenes(part_frames(recipe.data.train, parser.parse_args().data), 1)
    descriptor, rng = load_object_descriptor(), np.random.default_rng(0)
    where = chosen(scenes, rng)
    vectors = described(scenes, where, descriptor, rng)
    kinds = np.array([int(scenes.boxes[row][number][4]) for row, number in where])
    names = read_boxes(scenes.frames).classes
    cities = [str(scenes.frames.table["sequence"].iloc[row]).partition("/")[0][-3:] for row, _ in where]
    held = np.isin(cities, sorted(set(cities))[3::4])
    found = {}
    for view in VIEWS:
        tried = {}
        for pull in PULLS:
            weights = fitted(vectors[view][~held], kinds[~held], len(names), pull)
            tried[pull], right = surprise(weights, vectors[view][held], kinds[held])
            print(view, pull, f"{tried[pull]:.3f}", [f"{one:.0f} %" for one in right], flush=True)
        found[view] = fitted(vectors[view], kinds, len(names), min(tried, key=tried.__getitem__))
    ObjectClasses(tuple(name.casefold() for name in names), found, descriptor.digest).write()
    print(f"{FILE.name}: {len(kinds)} objects, {dict(zip(names, np.bincount(kinds).tolist(), strict=True))}")


if __name__ == "__main__":
    main()
