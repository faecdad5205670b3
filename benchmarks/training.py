"""The trainer against a bare PyTorch loop with the same model, and mining against a loop over queries."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch.utils.data import DataLoader

from crossband.frames import Frames
from crossband.metrics.protocol import PositiveMask
from crossband.retrieval.mining import Tuples, mine_tuples
from crossband.training import read_recipe
from crossband.training.engine import EpochData, fit, make_optimizer
from crossband.training.logs import read_log
from crossband.training.task import Task, find_task

from ._harness import HEAD, in_turn, line, machine

_STEPS = 40


def street(root: Path, n: int = 64) -> Path:
    """``n`` pictures, 10 m apart, each taken twice."""
    rng, rows = np.random.default_rng(0), []
    root.mkdir()
    for i in range(2 * n):
        pixels = rng.integers(0, 255, (128, 160, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(root / f"{i}.png")
        split = "train" if i < 2 * n - 4 else "val"
        rows.append(
            {"frame": str(i), "rgb": f"{i}.png", "x": 10.0 * (i // 2) + i % 2, "y": 0.0, "split": split}
        )
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


def task_of(root: Path, seed: int) -> Task:
    part = {"frames": ".", "where": {"split": ["val"]}}
    recipe = read_recipe(
        {
            "task": "places",
            "seed": seed,
            "data": {
                "train": {"frames": ".", "where": {"split": ["train"]}},
                "size": [128, 160],
                "cache_mb": 64,
                "val": {"queries": part, "gallery": part},
            },
            "model": {"encoder": "resnet18", "pretrained": False},
            "sampling": {"positive": 2, "negative": 5, "n_negatives": 2, "tuples": 4 * _STEPS, "hard": False},
            "trainer": {"epochs": 1, "batch_size": 4, "device": "cpu"},
        }
    )
    task = find_task("places").build(recipe, root)
    for item in range(len(task.items)):  # type: ignore[attr-defined]
        task.items.unit(item)  # type: ignore[attr-defined]
    return task


def bare_rate(root: Path, seed: int) -> float:
    """Images per second of the loop that everybody writes."""
    task = task_of(root, seed)
    samples = task.samples(0)
    loader = DataLoader(EpochData(task, samples, seed, 0), batch_size=4)
    optimizer = make_optimizer(task, task.recipe.optimizer)
    task.network.train()
    start = time.perf_counter()
    for batch in loader:
        optimizer.zero_grad()
        task.loss(batch).backward()
        optimizer.step()
    return samples.size / (time.perf_counter() - start)


def trainer_rate(root: Path, seed: int) -> float:
    """Images per second as the trainer logs them."""
    with tempfile.TemporaryDirectory() as out:
        fit(task_of(root, seed), Path(out))
        return next(float(row[3]) for row in read_log(Path(out)) if row[2] == "train/images_per_s")


def loop_tuples(
    vectors: np.ndarray, rows: np.ndarray, spots: np.ndarray, near: float, far: float, n: int
) -> Tuples:
    """One query after another: all distances, sort, walk down until there are enough negatives."""
    positives, negatives = [], []
    for row in rows:
        order = np.argsort(np.linalg.norm(vectors - vectors[row], axis=1))
        meters = np.linalg.norm(spots - spots[row], axis=1)
        positives.append(next(i for i in order if meters[i] <= near and i != row))
        negatives.append([i for i in order if meters[i] > far][:n])
    return Tuples(rows, np.array(positives)[:, None], np.array(negatives))


def main(queries: int = 1000) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = street(Path(folder) / "street")
        ratios = []
        for seed in range(5):
            bare, ours = bare_rate(root, seed), trainer_rate(root, seed)
            ratios += [ours / bare] if seed else []
    rows.append(
        line(
            "training, ResNet-18 and GeM, 128x160, images/s",
            (min(ratios), statistics.median(ratios), max(ratios)),
            "a bare PyTorch loop",
            "at least 0.95",
        )
    )
    rng = np.random.default_rng(0)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((20_000, 512), np.float32)))
    spots = np.stack([np.arange(20_000) * 1.0, np.zeros(20_000)], 1)
    near, far = PositiveMask(spots, spots, 5.0), PositiveMask(spots, spots, 25.0)
    asked, cache = np.arange(0, 20_000, 20_000 // queries), vectors.numpy()

    def ours_() -> Tuples:
        return mine_tuples(cache[asked], cache, asked, near, far, asked, n_negatives=5)

    def loop() -> Tuples:
        return loop_tuples(cache, asked, spots, 5.0, 25.0, 5)

    times = in_turn({"loop": loop, "ours": ours_}, rounds=3, warmup=0)
    assert np.array_equal(ours_().negatives, loop().negatives)
    rows.append(
        line(
            f"mining, {queries:,} queries in a cache of 20,000 x 512",
            times["ours"].ratio(times["loop"]),
            "a loop over queries",
            "at least 20",
        )
    )
    return "\n".join([f"Training ({machine()}):", "", HEAD, *rows])


if __name__ == "__main__":
    print(main())
