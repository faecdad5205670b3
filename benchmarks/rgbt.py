"""The retrieval study's tables with the data and weights at hand, into docs/explain.md.

``python -m benchmarks.rgbt ../shared/data --out out/rgbt``, with ``CROSSBAND_WEIGHTS`` set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crossband.papers import Reproduction, reproduce

from ._harness import ROOT, machine, write_section

COLUMNS = {
    "table": "table",
    "dataset": "dataset",
    "model": "model",
    "figure": "figure",
    "published": "the paper",
    "ours": "ours",
    "difference": "difference",
    "frames": "queries",
}


def table(done: Reproduction) -> str:
    lines = [f"| {' | '.join(COLUMNS.values())} |", "|---|---|---|---|---:|---:|---:|---:|"]
    shown = done.to_display()
    measured = shown[shown["ours"].notna()]
    for row in measured.fillna("").to_dict("records"):
        lines.append(f"| {' | '.join(str(row[name]) for name in COLUMNS)} |")
    without = ", ".join(sorted(name for name in done.missing if name.isidentifier()))
    return "\n".join(
        [
            *lines,
            "",
            f"{len(measured)} of {len(shown)} figures. Not here, as data or as weights: {without}. LLVIP is "
            "the 44 pairs that its authors publish as a sample, 3 places, so its figures say nothing about the "
            f"paper's 401. Measured {machine()}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/rgbt"))
    arguments = parser.parse_args()
    text = table(reproduce("rgbt-retrieval", arguments.data, out=arguments.out))
    write_section(ROOT / "docs" / "explain.md", "rgbt", text)
    print(text)


if __name__ == "__main__":
    main()
