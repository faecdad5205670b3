"""The retrieval study's tables with the data and weights at hand, into docs/explain.md.

``python -m benchmarks.rgbt ../shared/data --out out/rgbt``, with ``CROSSBAND_WEIGHTS`` set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crossband.papers import Reproduction
from crossband.training import reproduce

from ._harness import ROOT, machine, write_section


def table(done: Reproduction) -> str:
    lines = ["| table | dataset | model | figure | the paper | ours | difference | queries |", "|---|---|---|---|---:|---:|---:|---:|"]  # fmt: skip
    shown = done.to_display()
    for row in shown[shown["ours"].notna()].fillna("").to_dict("records"):
        cells = [row[name] for name in ("table", "dataset", "model", "figure", "published", "ours", "difference", "frames")]  # fmt: skip
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    measured = int(shown["ours"].notna().sum())
    without = sorted(name for name in done.missing if name.isidentifier())
    return "\n".join([
        *lines, "", f"{measured} of {len(shown)} figures. Not here, as data or as weights: {', '.join(without)}. "
        "LLVIP is the 44 pairs that its authors publish as a sample, 3 places, so its figures say nothing about the "
        f"paper's 401. Measured {machine()}.",
    ])  # fmt: skip


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
