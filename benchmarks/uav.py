"""The tables of docs/uav.md.

``python -m benchmarks.uav DATA OUT HITUAV`` runs ``crossband reproduce thermal-reid --train`` on the simulated
city below DATA, trains and measures ``hituav_short`` on the folder HITUAV that holds ``hituav``, and writes
both. What is done already below OUT stays.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from crossband.papers import reproduce
from crossband.training import evaluate, train

from ._harness import ROOT, machine, write_section

RECIPES = ROOT / "recipes" / "thermal_reid"


def main(data: Path, out: Path, hituav: Path) -> None:
    reproduce("thermal-reid", data_root=data, mode="train", out=out / "city")
    page = ROOT / "docs" / "uav.md"
    write_section(page, "tables", (out / "city" / "tables.md").read_text(encoding="utf-8"))
    run = train(RECIPES / "hituav_short.yaml", (), out / "hituav", data_root=hituav)
    results = out / "hituav" / "results.json"
    if not results.is_file():
        evaluate(None, run.checkpoint, out / "hituav", data_root=hituav)
    found = json.loads(results.read_text(encoding="utf-8"))["tests"]["rest"]
    write_section(page, "hituav", _hituav(found))


def _hituav(found: dict) -> str:
    lines = ["| class | AP at IoU 0.5 |", "|---|---:|"]
    lines += [f"| {name} | {value:.1f} |" for name, value in found["ap50"].items()]
    lines += [
        "",
        f"mAP {found['map']:.1f}, at IoU 0.5 {found['map50']:.1f}; mean IoU of the true boxes with the "
        f"best detection of their class {found['iou']:.1f}; {found['n_images']} images, "
        f"{found['n_boxes']} boxes. {machine()}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
