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

from ._harness import ROOT

ROWS = ("city_rgb", "city_nir", "city_tir", "city_msn", "city_hamnet", "city_msn_hsc", "city_msn_caid")
SEEDS = (0, 1, 2)
_NAMES = {
    "city_rgb": "RGB, one stream", "city_nir": "NIR, one stream", "city_tir": "TIR, one stream",
    "city_msn": "MSN", "city_msn_hsc": "MSN + L_hsc", "city_msn_caid": "MSN + L_caid",
    "city_hamnet": "HAMNet (both)",
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
    """``only`` are rows and seeds, all by default."""
    rows = [row for row in ROWS if row in only] or ROWS
    measure(Path(data), Path(out), rows, [int(seed) for seed in only if seed.isdigit()] or SEEDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
