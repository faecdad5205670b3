"""A run with the trainer's defaults against the same run with precision and processes chosen by measuring.

``python -m benchmarks.training_speed`` trains a ResNet-18 and an EfficientNet-Lite0 (GeM, triplets of 256x320)
for a few dozen steps, both ways in turn, with two seeds each, and writes images per second and losses into
docs/training.md. The pictures are patterns under noise, two of each place.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from crossband.checkpoints import read_state
from crossband.frames import Frames
from crossband.training import read_recipe
from crossband.training.engine import STATE, fit
from crossband.training.logs import read_log
from crossband.training.task import find_task

from ._harness import ROOT, machine, write_section

NETWORKS = {"ResNet-18": "resnet18", "EfficientNet-Lite0": "efficientnet_lite0"}
WAYS = {"defaults": {}, "auto": {"precision": "auto", "processes": "auto"}}
SEEDS, STEPS, EPOCHS, BATCH = (0, 1), 10, 3, 4


@dataclass
class Run:
    """Images per second after the first epoch, the mean loss of each epoch, and how it computed."""

    rate: float
    losses: list[float]
    setting: str


def street(root: Path, places: int = 48) -> Path:
    """Two pictures of each of some places, 10 m apart: one pattern, another brightness and noise."""
    rng, rows = np.random.default_rng(0), []
    root.mkdir()
    for place in range(places):
        pattern = PIL.Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8)).resize((320, 256))
        for visit in range(2):
            noise = rng.normal(0, 40, (256, 320, 3))
            pixels = np.clip(np.asarray(pattern, float) * rng.uniform(0.5, 1) + noise, 0, 255).astype(np.uint8)
            name = f"{place}_{visit}"
            PIL.Image.fromarray(pixels).save(root / f"{name}.png")
            split = "train" if place < places - 4 else "val"
            spot = {"x": 10.0 * place + visit, "y": 0.0}
            rows.append({"frame": name, "rgb": f"{name}.png", "split": split, **spot})
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


def recipe_of(encoder: str, seed: int, trainer: dict[str, str]) -> dict[str, object]:
    """The recipe of one run."""
    part = {"frames": ".", "where": {"split": ["val"]}}
    train = {"frames": ".", "where": {"split": ["train"]}}
    return {
        "task": "places",
        "seed": seed,
        "data": {
            "train": train,
            "size": [256, 320],
            "cache_mb": 200,
            "val": {"queries": part, "gallery": part},
        },
        "model": {"encoder": encoder, "pretrained": False},
        "sampling": {"positive": 2, "negative": 5, "n_negatives": 2, "tuples": BATCH * STEPS, "hard": False},
        "optimizer": {"lr": 1e-4},
        "trainer": {
            "epochs": EPOCHS,
            "validate_every": EPOCHS,
            "batch_size": BATCH,
            "device": "cpu",
            **trainer,
        },
    }


def run(root: Path, encoder: str, seed: int, trainer: dict[str, str]) -> Run:
    """Train, and read the log."""
    task = find_task("places").build(read_recipe(recipe_of(encoder, seed, trainer)), root)
    with tempfile.TemporaryDirectory() as out:
        fit(task, Path(out))
        log = read_log(Path(out))
        state = read_state(Path(out) / STATE)
    assert state is not None
    rates = [float(row[3]) for row in log if row[2] == "train/images_per_s"]
    losses = [float(row[3]) for row in log if row[2] == "train/loss"]
    setting = state["setting"]
    layout = ", channels last" if setting["channels_last"] else ""
    many = "two processes" if setting["processes"] == 2 else "one process"
    said = f"{setting['precision']}{layout}, {many}"
    return Run(statistics.median(rates[1:]), losses, said)


def table(found: dict[str, dict[str, list[Run]]]) -> str:
    """The section of docs/training.md."""
    lines = [
        "| network | defaults, images/s | chosen, images/s | times (each seed) | chosen were "
        "| loss of each epoch, defaults | chosen |",
        "|---|---:|---:|---|---|---|---|",
    ]
    for name, ways in found.items():
        plain, auto = ways["defaults"], ways["auto"]
        times = [b.rate / a.rate for a, b in zip(plain, auto, strict=True)]
        each = ", ".join(f"{one:.2f}" for one in times)
        settings = "; ".join(dict.fromkeys(one.setting for one in auto))
        rates = [f"{statistics.median(one.rate for one in runs):.1f}" for runs in (plain, auto)]
        lines.append(
            f"| {name} | {rates[0]} | {rates[1]} | {statistics.median(times):.2f} ({each}) | {settings} "
            f"| {_curve(plain)} | {_curve(auto)} |"
        )
    lines += [
        "",
        f"{EPOCHS} epochs of {STEPS} steps of {4 * BATCH} images of 256x320, GeM, triplets, random weights; "
        f"{len(SEEDS)} seeds, in turn; {torch.get_num_threads()} threads. Losses: mean, lowest to "
        f"highest of the seeds. {machine()}.",
    ]
    return "\n".join(lines)


def _curve(runs: list[Run]) -> str:
    epochs = zip(*(one.losses for one in runs), strict=True)
    return "; ".join(f"{statistics.mean(e):.3f} ({min(e):.3f} to {max(e):.3f})" for e in epochs)


def main() -> None:
    found: dict[str, dict[str, list[Run]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = street(Path(folder) / "street")
        for name, encoder in NETWORKS.items():
            found[name] = {way: [] for way in WAYS}
            for seed in SEEDS:
                for way, trainer in WAYS.items():
                    found[name][way].append(run(root, encoder, seed, trainer))
                    print(name, way, seed, found[name][way][-1], flush=True)
    write_section(ROOT / "docs" / "training.md", "training-speed", table(found))


if __name__ == "__main__":
    main()
