"""The small recipe on the city: bands, fusions and pseudo-labels, each trained from scratch, into
docs/segmentation.md.

``python -m benchmarks.segmentation_city OUT DATA_ROOT [SEEDS] [VARIANT,...]`` goes on where it was: what is
finished in OUT is not trained again. Then the robustness curves of the first seed, and a picture of a night.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from crossband.datasets import open_frames
from crossband.results import save_figure
from crossband.segmentation import segment, segmentation_robustness
from crossband.training import evaluate, train

from ._harness import ROOT, machine, write_section

RECIPE = ROOT / "recipes" / "rsfnet" / "city.yaml"
PAGE = ROOT / "docs" / "segmentation.md"
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "both": ("RGB + thermal, RSF, pseudo-labels", []),
    "rgb": ("RGB alone", ["data.bands=[rgb]"]),
    "tir": ("thermal alone", ["data.bands=[tir]"]),
    "nopse": ("RSF without pseudo-labels", ["model.options.confident=false"]),
    "sum": ("sum", ["model.options.fusion=sum", "model.options.confident=false"]),
    "concat": ("concatenation", ["model.options.fusion=concat", "model.options.confident=false"]),
}
CURVES = ("both", "rgb", "tir", "sum")


def measure(out: Path, data_root: Path, seeds: int, variants: list[str]) -> None:
    """Train and evaluate what is not there yet."""
    for seed in range(seeds):
        for name in variants:
            folder = out / f"{name}_s{seed}"
            overrides = [*VARIANTS[name][1], *([f"seed={seed}"] if seed else [])]
            train(RECIPE, overrides, folder, data_root=data_root)
            if not (folder / "results.json").is_file():
                evaluate(None, folder / "best.safetensors", folder, data_root=data_root)


def results(out: Path, name: str) -> list[dict[str, Any]]:
    """The scores of every seed of a variant that is finished."""
    files = sorted(out.glob(f"{name}_s*/results.json"))
    return [json.loads(file.read_text(encoding="utf-8"))["tests"]["city"] for file in files]


def table(out: Path) -> str:
    """mIoU and mAcc over all, day and night, and the IoU of the classes; means over seeds."""
    shown = ("car", "person", "curve", "guardrail", "color_cone", "bump")
    names = " | ".join(f"IoU {name.replace('_', ' ')}" for name in shown)
    rows = [
        f"| variant | seeds | mIoU (95 %) | mAcc | mIoU day | mIoU night (95 %) | {names} |",
        "|---|---|---|---|---|---|" + "---|" * len(shown),
    ]
    for name, (title, _) in VARIANTS.items():
        found = results(out, name)
        if not found:
            continue
        cells = [mean([one["iou"][c] for one in found]) for c in shown]
        figures = [
            title,
            str(len(found)),
            interval(found),
            mean([one["macc"] for one in found]),
            mean([one["day"]["miou"] for one in found]),
            interval([one["night"] for one in found]),
            *cells,
        ]
        rows.append(f"| {' | '.join(figures)} |")
    return "\n".join(rows)


def mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.1f}" if known else "-"


def interval(found: list[dict[str, Any]]) -> str:
    """The mean over seeds; of one seed its interval over drives, of several their range."""
    values = [one["miou"] for one in found]
    low, high = found[0]["ci95"]["miou"] if len(found) == 1 else (min(values), max(values))
    return f"{np.mean(values):.1f} ({low:.1f} to {high:.1f})"


def main(out: Path, data_root: Path, seeds: int = 1, variants: str = ",".join(VARIANTS)) -> str:
    measure(out, data_root, seeds, [name for name in variants.split(",") if name])
    text = (
        f"Trained in one city, selected in a second, tested on 240 frames of a third, half of them by night "
        f"({machine()}). In brackets the 95 % interval over drives for one seed, the range over several.\n\n"
        f"{table(out)}"
    )
    write_section(PAGE, "city", text)
    there = {VARIANTS[name][0]: out / f"{name}_s0" / "best.safetensors" for name in CURVES}
    there = {title: path for title, path in there.items() if path.is_file()}
    frames = open_frames(data_root / "city" / "driving_3")
    curve = segmentation_robustness(frames, there)
    curve.points.to_csv(ROOT / "docs" / "images" / "segmentation_robustness.csv", index=False)
    save_figure(curve.plot(), ROOT / "docs" / "images" / "segmentation_robustness.png")
    night = frames.table["frame"][(frames.table["condition"] == "night")].iloc[22]
    picture = segment_one(frames, str(night), there[VARIANTS["both"][0]], out / "segmented")
    (ROOT / "docs" / "images" / "segmentation_night.png").write_bytes(picture.read_bytes())
    return text


def segment_one(frames: Any, name: str, checkpoint: Path, out: Path) -> Path:
    """The overlay of one frame with and without each band."""
    manifest = frames.select((frames.table["frame"] == name).to_numpy(bool)).write(frames.root / "one.parquet")
    [one] = segment([manifest], checkpoint, out, without=["tir", "rgb"])
    manifest.unlink()
    return Path(one.overlay)


if __name__ == "__main__":
    given = sys.argv[1:]
    print(main(Path(given[0]), Path(given[1]), *(int(g) for g in given[2:3]), *given[3:4]))
