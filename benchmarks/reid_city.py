"""The small recipes of re-identification: single bands, MSN, HAMNet and its ablation, three seeds each.

``python -m benchmarks.reid_city DATA_ROOT OUT`` trains and measures what OUT does not hold yet, in one
process, and writes the tables of docs/reid.md. What a run measured stays in OUT/ROW/SEED/results.json. With
rows or seeds behind it, only those are trained; with ``join`` MSN is joined from the one-stream rows.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossband.reid.figures import CHALLENGES

from ._harness import ROOT, machine, write_section

ROWS = ("city_rgb", "city_nir", "city_tir", "city_msn", "city_hamnet", "city_msn_hsc", "city_msn_caid")
SEEDS = (0, 1, 2)
_NAMES = {
    "city_rgb": "RGB, one stream",
    "city_nir": "NIR, one stream",
    "city_tir": "TIR, one stream",
    "city_msn": "MSN",
    "city_msn_hsc": "MSN + L_hsc",
    "city_msn_caid": "MSN + L_caid",
    "city_hamnet": "HAMNet",
}
_TAGS = {"none": "none", **CHALLENGES}

Results = dict[str, list[dict[str, Any]]]


def measure(data: Path, out: Path, rows: Sequence[str] = ROWS, seeds: Sequence[int] = SEEDS) -> None:
    """Train and measure every row with every seed; what is done already stays."""
    from crossband.training import evaluate, train

    for seed, row in itertools.product(seeds, rows):
        folder = out / row / str(seed)
        if not (folder / "results.json").is_file():
            run = train(_recipe(row), [f"seed={seed}"], folder, data_root=data)
            evaluate(None, run.checkpoint, folder, data_root=data)
            (folder / "seconds.txt").write_text(f"{run.seconds:.1f}\n")


def join_streams(data: Path, out: Path, seeds: Sequence[int] = SEEDS) -> None:
    """Measure MSN as its three streams trained apart, where the one-stream rows are there and MSN is not.

    Equation (4) couples nothing, so a stream of MSN is the one-stream network of its band (a test of
    tests/nn/test_streams.py shows it); only the epoch is then chosen band by band.
    """
    import torch
    from safetensors.torch import load_file

    from crossband.checkpoints import write_checkpoint
    from crossband.training import read_recipe
    from crossband.training.task import find_task

    for seed in seeds:
        folder = out / "city_msn" / str(seed)
        parts = [out / f"city_{band}" / str(seed) / "best.safetensors" for band in ("rgb", "nir", "tir")]
        if (folder / "results.json").is_file() or not all(part.is_file() for part in parts):
            continue
        recipe = read_recipe(_recipe("city_msn"), [f"seed={seed}"])
        task = find_task("reidentification").build(recipe, data)
        weights = {name: tensor for part in parts for name, tensor in load_file(part).items()}
        task.network.load_state_dict(weights, strict=True)
        with torch.inference_mode():
            tests = task.test()
        folder.mkdir(parents=True, exist_ok=True)
        results = {"joined": [str(part.relative_to(out)) for part in parts], "tests": tests}
        (folder / "results.json").write_text(json.dumps(results))
        metadata = {"recipe": task.recipe.model_dump(mode="json"), "epoch": 0, "scores": {}, **task.metadata()}
        write_checkpoint(folder / "best.safetensors", task.network, metadata)


def _recipe(row: str) -> Path:
    return ROOT / "recipes" / "reid" / f"{row}.yaml"


def read_results(out: Path) -> Results:
    """Row -> the test results of its seeds."""
    return {
        row: [
            json.loads(path.read_text())["tests"]["city"] for path in sorted((out / row).glob("*/results.json"))
        ]
        for row in ROWS
    }


def main(data: str, out: str, *only: str) -> None:
    """``only`` are rows and seeds to train, all by default, or ``join`` to train none and join MSN."""
    rows = [row for row in ROWS if row in only] or ROWS
    if "join" in only:
        join_streams(Path(data), Path(out))
    else:
        measure(Path(data), Path(out), rows, [int(seed) for seed in only if seed.isdigit()] or SEEDS)
    write_tables(Path(out))


def write_tables(out: Path) -> None:
    """Write the tables of docs/reid.md, of the rows and seeds that are there."""
    results = {row: found for row, found in read_results(out).items() if found}
    for name, table in tables(results, out).items():
        write_section(ROOT / "docs" / "reid.md", name, table)


def tables(results: Results, out: Path) -> dict[str, str]:
    """Section of docs/reid.md -> its table; what is not measured yet is said."""
    missing = [
        f"{_NAMES[row]} seeds {', '.join(map(str, SEEDS[len(results.get(row, [])) :]))}"
        for row in ROWS
        if len(results.get(row, [])) < len(SEEDS)
    ]
    seconds = [float(path.read_text()) for path in out.glob("*/*/seconds.txt")]
    said = (
        f"{machine()}. Seeds {', '.join(map(str, SEEDS))}; one thread; a run took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s while others worked on the machine."
        + (f" Not measured yet: {', '.join(missing)}." if missing else "")
    )
    return {
        "city": f"{said}\n\n{_rows_table(results)}",
        "city-differences": _differences_table(results),
        "city-challenges": _challenges_table(results),
        "city-weights": _weights_table(results["city_hamnet"])
        if "city_hamnet" in results
        else "Not measured yet.",
        "city-bands": _bands_table(results),
        "city-missing": _missing_table(results),
    }


def _rows_table(results: Results) -> str:
    lines = [
        "| row | mAP [95 %] | each seed | mINP | rank 1 | rank 5 | rank 10 | mAP, black night [95 %] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, found in results.items():
        ap, dark = _precisions(found), _tagged(found[0], "BN")
        seeds = ", ".join(f"{one['mAP']:.1f}" for one in found)
        ranks = " | ".join(f"{np.mean([one['rank'][k] for one in found]):.1f}" for k in ("1", "5", "10"))
        lines.append(
            f"| {_NAMES[row]} | {_with_interval(ap, found[0])} | {seeds} "
            f"| {np.mean([one['mINP'] for one in found]):.1f} | {ranks} "
            f"| {_with_interval(ap, found[0], dark)} |"
        )
    return "\n".join(lines)


def _differences_table(results: Results) -> str:
    """Differences of average precision on the same queries, means over the seeds."""
    pairs = [
        *(("city_msn", single) for single in ("city_rgb", "city_nir", "city_tir")),
        *((row, "city_msn") for row in ("city_msn_hsc", "city_msn_caid", "city_hamnet")),
    ]
    pairs = [pair for pair in pairs if all(row in results for row in pair)]
    lines = [
        "| difference in mAP | all queries [95 %] | each seed | black night [95 %] | no challenge [95 %] |",
        "|---|---|---|---|---|",
    ]
    for first, second in pairs:
        shared = min(len(results[first]), len(results[second]))
        found, others = results[first][:shared], results[second][:shared]
        gain = _precisions(found) - _precisions(others)
        seeds = ", ".join(f"{a['mAP'] - b['mAP']:+.1f}" for a, b in zip(found, others, strict=True))
        parts = [
            _with_interval(gain, found[0], mask, sign="+")
            for mask in (None, _tagged(found[0], "BN"), _tagged(found[0], "none"))
        ]
        lines.append(
            f"| {_NAMES[first]} less {_NAMES[second]} | {parts[0]} | {seeds} | {parts[1]} | {parts[2]} |"
        )
    return "\n".join(lines)


def _challenges_table(results: Results) -> str:
    rows = [row for row in ("city_rgb", "city_nir", "city_tir", "city_msn", "city_hamnet") if row in results]
    lines = [
        f"| challenge | queries | {' | '.join(_NAMES[row] for row in rows)} |",
        "|---|---|" + "---|" * len(rows),
    ]
    example = results["city_msn"][0]
    for tag, name in _TAGS.items():
        mask = _tagged(example, tag)
        if mask.any():
            cells = [f"{100 * np.nanmean(_precisions(results[row])[mask]):.1f}" for row in rows]
            lines.append(f"| {name} | {int(mask.sum())} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _weights_table(found: list[dict[str, Any]]) -> str:
    """Mean weights of equation (10), at the class that the fused map says, by challenge."""
    bands = list(found[0]["fusion_weights"]["all"])
    lines = [f"| challenge | {' | '.join(bands)} |", "|---|" + "---|" * len(bands)]
    for tag, name in {"all": "all frames", **_TAGS}.items():
        if all(tag in one["fusion_weights"] for one in found):
            cells = [f"{np.mean([one['fusion_weights'][tag][band] for one in found]):.3f}" for band in bands]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _fused_rows(results: Results) -> list[str]:
    return [row for row in ("city_msn", "city_hamnet") if row in results]


def _bands_table(results: Results) -> str:
    """By features, as in the paper, and by class scores."""
    rows = _fused_rows(results)
    heads = [f"{_NAMES[row]} {by}: mAP | rank 1 | black night" for row in rows for by in ("features", "scores")]
    lines = [f"| query | gallery | {' | '.join(heads)} |", "|---|---|" + "---|---|---|" * len(heads)]
    wanted = [
        *((one, one) for one in ("rgb", "nir", "tir", "rgb+nir", "rgb+tir", "nir+tir", "rgb+nir+tir")),
        ("rgb", "nir"),
        ("rgb", "tir"),
        ("nir", "tir"),
        ("nir", "rgb"),
        ("tir", "rgb"),
        ("tir", "nir"),
    ]
    for query, gallery in wanted:
        cells = []
        for row, by in itertools.product(rows, ("features", "scores")):
            pairs = [_pair(one, query, gallery, by) for one in results[row]]
            cells += [
                f"{np.mean([pair['mAP'] for pair in pairs]):.1f}",
                f"{np.mean([pair['rank']['1'] for pair in pairs]):.1f}",
                f"{np.mean([pair['challenges']['BN'] for pair in pairs]):.1f}",
            ]
        lines.append(f"| {query} | {gallery} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _missing_table(results: Results) -> str:
    rows, every = _fused_rows(results), "rgb+nir+tir"
    heads = [f"{_NAMES[row]} by {by}: mAP" for row in rows for by in ("features", "scores")]
    lines = [f"| absent | at | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    cases = [("", "both"), *itertools.product(("rgb", "nir", "tir"), ("query", "gallery", "both"))]
    for band, where in cases:
        left = "+".join(one for one in every.split("+") if one != band)
        query, gallery = (every if where == "gallery" else left), (every if where == "query" else left)
        cells = [
            f"{np.mean([_pair(one, query, gallery, by)['mAP'] for one in results[row]]):.1f}"
            for row, by in itertools.product(rows, ("features", "scores"))
        ]
        lines.append(f"| {band or 'nothing'} | {where if band else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pair(found: dict[str, Any], query: str, gallery: str, by: str) -> dict[str, Any]:
    return next(
        pair
        for pair in found["pairs"]
        if (pair["query"], pair["gallery"], pair["descriptor"]) == (query, gallery, by)
    )


def _precisions(found: list[dict[str, Any]]) -> np.ndarray:
    """Average precision of each query, the mean over the seeds; not a number where it was dropped."""
    return np.mean([np.array(one["queries"]["ap"], np.float64) for one in found], axis=0)


def _tagged(found: dict[str, Any], tag: str) -> np.ndarray:
    tags = [set(text.split()) for text in found["queries"]["tags"]]
    return np.array([not one if tag == "none" else tag in one for one in tags])


def _with_interval(
    values: np.ndarray, found: dict[str, Any], mask: np.ndarray | None = None, sign: str = ""
) -> str:
    from crossband.metrics.resampling import cluster_interval

    keep = ~np.isnan(values) & (True if mask is None else mask)
    identities = np.array(found["queries"]["identity"])[keep]
    low, high = cluster_interval(values[keep], identities)
    return f"{100 * values[keep].mean():{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


if __name__ == "__main__":
    main(*sys.argv[1:])
