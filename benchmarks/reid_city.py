"""The small recipes of re-identification: single bands, MSN, HAMNet and its ablation, three seeds each.

``python -m benchmarks.reid_city DATA_ROOT OUT`` trains and measures what OUT does not hold yet, in one
process, and writes the tables of docs/reid.md. What a run measured stays in OUT/ROW/SEED/results.json.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._harness import ROOT, machine, write_section

ROWS = ("city_rgb", "city_nir", "city_tir", "city_msn", "city_hamnet", "city_msn_hsc", "city_msn_caid")
SEEDS = (0, 1, 2)
_NAMES = {
    "city_rgb": "RGB, one stream", "city_nir": "NIR, one stream", "city_tir": "TIR, one stream",
    "city_msn": "MSN", "city_msn_hsc": "MSN + L_hsc", "city_msn_caid": "MSN + L_caid",
    "city_hamnet": "HAMNet",
}  # fmt: skip
_TAGS = {
    "none": "none", "VC": "view change", "OC": "occlusion", "AL": "abnormal light", "SH": "shadow",
    "GL": "glare", "LI": "low light", "BN": "black night",
}  # fmt: skip

Results = dict[str, list[dict[str, Any]]]


def measure(data: Path, out: Path, rows: Sequence[str] = ROWS, seeds: Sequence[int] = SEEDS) -> None:
    """Train and measure every row with every seed; what is done already stays."""
    from crossband.training import evaluate, train

    for seed, row in itertools.product(seeds, rows):
        folder = out / row / str(seed)
        if not (folder / "results.json").is_file():
            run = train(ROOT / "recipes" / "reid" / f"{row}.yaml", [f"seed={seed}"], folder, data_root=data)
            evaluate(None, run.checkpoint, folder, data_root=data)
            (folder / "seconds.txt").write_text(f"{run.seconds:.1f}\n")


def read_results(out: Path) -> Results:
    """Row -> the test results of its seeds."""
    return {
        row: [
            json.loads(path.read_text())["tests"]["city"] for path in sorted((out / row).glob("*/results.json"))
        ]
        for row in ROWS
    }


def main(data: str, out: str, *only: str) -> None:
    """``only`` are rows and seeds to train, all by default; the tables are written once all are there."""
    rows = [row for row in ROWS if row in only] or ROWS
    measure(Path(data), Path(out), rows, [int(seed) for seed in only if seed.isdigit()] or SEEDS)
    results = read_results(Path(out))
    if all(len(found) == len(SEEDS) for found in results.values()):
        for name, table in tables(results, Path(out)).items():
            write_section(ROOT / "docs" / "reid.md", name, table)


def tables(results: Results, out: Path) -> dict[str, str]:
    """Section of docs/reid.md -> its table."""
    seconds = [float(path.read_text()) for path in out.glob("*/*/seconds.txt")]
    said = (
        f"{machine()}. Seeds {', '.join(map(str, SEEDS))}; one thread; a run took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s while others worked on the machine."
    )
    return {
        "city": f"{said}\n\n{_rows_table(results)}",
        "city-differences": _differences_table(results),
        "city-challenges": _challenges_table(results),
        "city-weights": _weights_table(results["city_hamnet"]),
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
    lines = [
        "| difference in mAP | all queries [95 %] | each seed | black night [95 %] | no challenge [95 %] |",
        "|---|---|---|---|---|",
    ]
    for first, second in pairs:
        found = results[first]
        gain = _precisions(found) - _precisions(results[second])
        seeds = ", ".join(f"{a['mAP'] - b['mAP']:+.1f}" for a, b in zip(found, results[second], strict=True))
        parts = [_with_interval(gain, found[0], mask, sign="+") for mask in
                 (None, _tagged(found[0], "BN"), _tagged(found[0], "none"))]  # fmt: skip
        lines.append(
            f"| {_NAMES[first]} less {_NAMES[second]} | {parts[0]} | {seeds} | {parts[1]} | {parts[2]} |"
        )
    return "\n".join(lines)


def _challenges_table(results: Results) -> str:
    rows = ("city_rgb", "city_nir", "city_tir", "city_msn", "city_hamnet")
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


def _bands_table(results: Results) -> str:
    lines = [
        "| query | gallery | compared by | MSN: mAP | rank 1 | HAMNet: mAP | rank 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    wanted = [
        ("rgb", "rgb", "features"), ("nir", "nir", "features"), ("tir", "tir", "features"),
        ("rgb+nir", "rgb+nir", "features"), ("rgb+tir", "rgb+tir", "features"),
        *(
            pair
            for q, g in (("rgb", "nir"), ("rgb", "tir"), ("nir", "tir"))
            for pair in ((q, g, "features"), (q, g, "scores"))
        ),
    ]  # fmt: skip
    for query, gallery, by in wanted:
        cells = []
        for row in ("city_msn", "city_hamnet"):
            pairs = [_pair(one, query, gallery, by) for one in results[row]]
            cells += [f"{np.mean([p['mAP'] for p in pairs]):.1f}",
                      f"{np.mean([p['rank']['1'] for p in pairs]):.1f}"]  # fmt: skip
        lines.append(f"| {query} | {gallery} | {by} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _missing_table(results: Results) -> str:
    every = "rgb+nir+tir"
    lines = ["| absent | at | MSN: mAP | HAMNet: mAP |", "|---|---|---|---|"]
    for band, where in itertools.product(("", "rgb", "nir", "tir"), ("query", "gallery", "both")):
        if not band and where != "both":
            continue
        left = "+".join(one for one in every.split("+") if one != band)
        query, gallery = (every if where == "gallery" else left), (every if where == "query" else left)
        cells = [
            f"{np.mean([_pair(one, query, gallery, 'features')['mAP'] for one in results[row]]):.1f}"
            for row in ("city_msn", "city_hamnet")
        ]
        said = f"{band} | {where}" if band else "nothing | "
        lines.append(f"| {said} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pair(found: dict[str, Any], query: str, gallery: str, by: str) -> dict[str, Any]:
    return next(
        pair for pair in found["pairs"]
        if (pair["query"], pair["gallery"], pair["descriptor"]) == (query, gallery, by)
    )  # fmt: skip


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
