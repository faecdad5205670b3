"""Fine-tuning for places: two poolings, three losses, three seeds, on the city and on real sequences.

``python -m benchmarks.places out/places --real ../shared/data`` trains what is not in the folder yet (about
3 minutes per run on one core), measures each network before and after on the city, Gardens Point and Corridor,
and writes the tables into docs/training.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from crossband.training import evaluate, train

from ._harness import ROOT, machine, write_section

SEEDS = (0, 1)
POOLINGS = {"gem": "GeM", "netvlad": "NetVLAD, 16 clusters"}
# What ArcFace and the contrastive loss need other than the recipes' triplet; images per epoch stay about equal.
LOSSES = {
    "triplet": [],
    "contrastive": ["loss.name=contrastive", "loss.margin=0.7"],
    "arcface": [
        "loss.name=arcface",
        "loss.margin=0.2",
        "loss.scale=24",
        "loss.class_size=3",
        "sampling.tuples=720",
        "trainer.batch_size=36",
    ],
}
RATES = {("gem", "arcface"): ["optimizer.lr=5e-4"]}
CITY = {"night": "night", "rain": "rain", "elsewhere": "night, another city"}
REAL = {"gardens_point": ("gardenspoint", "day_right", "day_left"), "corridor": ("corridor", "query", "ref")}


def recipe_of(pooling: str) -> Path:
    return ROOT / "recipes" / "vpr" / f"city_{pooling}_triplet.yaml"


def real_overrides(folder: Path) -> list[str]:
    """What turns a recipe's tests into the real sequences, scored by index as their ground truth is."""
    pairs: dict[str, Any] = {}
    for kind, (name, query, gallery) in REAL.items():
        frames = {"frames": str((folder / name).resolve()), "kind": kind}
        pairs[kind] = {
            "queries": {**frames, "where": {"sequence": [query]}},
            "gallery": {**frames, "where": {"sequence": [gallery]}},
        }
    index = ["scoring.measure=index", "scoring.thresholds=[2]", "scoring.select=2"]
    return [*index, f"data.test={json.dumps(pairs)}"]


def measured(path: Path, make: Any) -> dict[str, Any]:
    """What ``make()`` gives, kept in a file."""
    if not path.is_file():
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1))
    return json.loads(path.read_text())


def scores(pooling: str, checkpoint: Path | None, seed: int, root: Path, real: Path | None) -> dict[str, Any]:
    recipe, seeded = recipe_of(pooling), [f"seed={seed}"]
    tests = evaluate(recipe, checkpoint, overrides=seeded, data_root=root).tests
    if real is not None:
        overrides = [*seeded, *real_overrides(real)]
        tests |= evaluate(recipe, checkpoint, overrides=overrides, data_root=root).tests
    return tests


def one_run(pooling: str, loss: str, seed: int, out: Path, real: Path | None) -> dict[str, Any]:
    folder = out / f"{pooling}_{loss}_{seed}"

    def make() -> dict[str, Any]:
        overrides = [*LOSSES[loss], *RATES.get((pooling, loss), []), f"seed={seed}"]
        start = time.perf_counter()
        done = train(recipe_of(pooling), overrides, folder, data_root=out / "data")
        seconds = time.perf_counter() - start
        return {
            "seconds": seconds,
            "epoch": done.epoch,
            "tests": scores(pooling, Path(done.checkpoint), seed, out / "data", real),
        }

    return measured(folder / "scores.json", make)


def tau(name: str) -> str:
    return "2" if name in REAL else "5"


def spread(runs: list[dict[str, Any]], name: str) -> str:
    """Mean of the seeds, lowest to highest."""
    values = [run["tests"][name]["fcm"][tau(name)] for run in runs]
    return f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def interval(runs: list[dict[str, Any]], name: str) -> str:
    """The interval over queries of the seed in the middle."""
    middle = sorted(runs, key=lambda run: run["tests"][name]["fcm"][tau(name)])[len(runs) // 2]
    low, high = middle["tests"][name]["fcm_ci95"][tau(name)]
    return f"{low:.0f} to {high:.0f}"


def rows(out: Path, real: Path | None, names: dict[str, str]) -> Iterator[str]:
    head = " | ".join(f"{title} | 95 %" for title in names.values())
    yield f"| pooling | loss | {head} | minutes, longest |"
    yield "|---|---|" + "---:|---:|" * len(names) + "---:|"
    for pooling, label in POOLINGS.items():
        before = [
            {
                "tests": measured(
                    out / f"{pooling}_before_{seed}.json",
                    lambda p=pooling, s=seed: scores(p, None, s, out / "data", real),
                )
            }
            for seed in SEEDS
        ]
        runs = {"*before*": before} | {
            loss: [one_run(pooling, loss, seed, out, real) for seed in SEEDS] for loss in LOSSES
        }
        for loss, group in runs.items():
            cells = " | ".join(f"{spread(group, name)} | {interval(group, name)}" for name in names)
            minutes = "" if group is before else f"{max(run['seconds'] for run in group) / 60:.1f}"
            yield f"| {label} | {loss} | {cells} | {minutes} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, help="the folder that holds gardenspoint and corridor")
    parser.add_argument("--only", help="train one cell of the table, as in gem/arcface/0, and write no table")
    arguments = parser.parse_args()
    if arguments.only:
        pooling, loss, seed = arguments.only.split("/")
        one_run(pooling, loss, int(seed), arguments.out, arguments.real)
        return
    told = (
        f"FCM in percent: mean of {len(SEEDS)} seeds, lowest to highest in brackets, and the 95 % bootstrap "
        f"interval over queries of the seed in the middle. Measured {machine()}."
    )
    city = "\n".join([*rows(arguments.out, arguments.real, CITY), "", f"At 5 m. {told}"])
    write_section(ROOT / "docs" / "training.md", "places", city)
    print(city)
    if arguments.real is not None:
        titles = {"gardens_point": "Gardens Point, right in left", "corridor": "Corridor"}
        text = "\n".join([*rows(arguments.out, arguments.real, titles), "", f"Within 2 frames. {told}"])
        write_section(ROOT / "docs" / "training.md", "real places", text)
        print(text)


if __name__ == "__main__":
    main()
