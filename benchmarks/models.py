"""Pack a trained network with its figures, and write its card into docs/models.md.

``python -m benchmarks.models pack NAME CHECKPOINT DATA --images N --hours H`` writes the checkpoint in float16
as ``src/crossband/models/NAME.safetensors``, measured as such on the test part of its recipe below DATA, with
its card inside and in docs/models.md. ``python -m benchmarks.models card NAME DATA`` measures a packaged one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from crossband.checkpoints import read_metadata
from crossband.data.items import part_frames
from crossband.data.scenes import Scenes
from crossband.frames import Frames
from crossband.metrics.detection import score_detections
from crossband.metrics.detection_detail import false_alarms, map50_interval, match_class
from crossband.models.packaged import FOLDER, Card, card_of, pack
from crossband.progress import track
from crossband.reports.boxes import draw_boxes
from crossband.training import read_recipe
from crossband.uav.ground_classes import LABELS, label_table
from crossband.uav.networks import read_detector, read_labeler
from crossband.uav.pictures import detect_pixels
from crossband.uav.stages import label_image
from crossband.uav.tasks.labeling import confusion, mean_iou

from ._harness import ROOT, in_turn, machine, write_section

_PAGE = ROOT / "docs" / "models.md"

UNSEEN_CITIES = ("flight_631", "flight_632", "flight_633")
"""Folders of ``crossband simulate --preset flight --frames 60 --size 320x256 --seed 631`` and so on."""


@dataclass(frozen=True)
class Kind:
    """What is known of a packaged network before it is measured."""

    task: str
    does: str
    data: str
    attribution: str
    limits: str
    measure: Callable[[Path, Path], tuple[dict[str, float], str]]


def detection(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """HIT-UAV: AP a class with intervals, by altitude and hour, and false alarms; the card's lines."""
    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    detector = read_detector(checkpoint)
    (name, part), *_ = recipe.data.test.items()
    scenes = Scenes(part_frames(part, data))
    found = [
        detect_pixels(detector, scenes.pixels(row, "tir"), "counts", recipe.least)
        for row in track(range(len(scenes)), len(scenes), "detecting", "frames")
    ]
    truth, classes = scenes.boxes, detector.classes
    scores = score_detections(found, truth, classes)
    matched = [match_class(found, truth, kind) for kind in range(len(classes))]
    table = scenes.frames.table
    groups = (table["sequence"].astype(str) + table["condition"].astype(str)).tolist()
    low, high = map50_interval(matched, groups)
    lines = [
        "| class | AP at IoU 0.5 (95 %) | true boxes | false alarms an image at 90 % recall |",
        "|---|---:|---:|---:|",
    ]
    for one, label in zip(matched, classes, strict=True):
        alarms = false_alarms(one)
        span = map50_interval([one], groups)
        lines.append(
            f"| {label} | {scores.ap50[label]:.1f} ({span[0]:.1f} to {span[1]:.1f}) | {one.truth.sum()} | "
            f"{'not reached' if alarms is None else f'{alarms:.2f}'} |"
        )
    lines += [
        "",
        f"{name}: mAP at IoU 0.5 **{scores.map50:.1f}** ({low:.1f} to {high:.1f}, sequences drawn again), over "
        f"IoU 0.5 to 0.95 {scores.map:.1f}; {scores.n_images} images, {scores.n_boxes} boxes.",
        "",
        "| part | images | mAP at IoU 0.5 | Person | Car | Bicycle |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for label, rows in _parts(scenes.frames):
        part_scores = score_detections([found[r] for r in rows], [truth[r] for r in rows], classes)
        each = " | ".join(
            f"{part_scores.ap50.get(name, float('nan')):.1f}" for name in ("Person", "Car", "Bicycle")
        )
        lines.append(f"| {label} | {len(rows)} | {part_scores.map50:.1f} | {each} |")
    _contact_sheet(scenes, found, classes, ROOT / "docs" / "images" / "detect_hituav.jpg")
    lines += ["", "![detections in HIT-UAV's val part, CC BY 4.0, Suo et al.](images/detect_hituav.jpg)"]
    figures = {"mAP50": scores.map50, "mAP": scores.map, **{f"AP50 {k}": v for k, v in scores.ap50.items()}}
    return {key: round(value, 2) for key, value in figures.items()}, "\n".join(lines)


def _parts(frames: Frames) -> list[tuple[str, list[int]]]:
    table = frames.table
    altitude, night = table["altitude"].astype(float).to_numpy(), (table["condition"] == "night").to_numpy(bool)
    parts = [
        ("60 to 70 m", altitude <= 70),
        ("80 to 100 m", (altitude > 70) & (altitude <= 100)),
        ("110 to 130 m", altitude > 100),
        ("day", ~night),
        ("night", night),
    ]
    return [(label, np.flatnonzero(rows).tolist()) for label, rows in parts]


def _contact_sheet(scenes: Scenes, found: list[np.ndarray], classes: list[str], path: Path) -> None:
    """Six images, spread over altitudes and hours, with what was found at a score of 0.3."""
    order = scenes.frames.table.sort_values(["condition", "altitude", "frame"], kind="stable").index.to_numpy()
    rows = order[np.linspace(len(order) * 0.05, len(order) * 0.95, 6).astype(int)]
    tiles = []
    for row in rows:
        pixels, boxes = scenes.pixels(int(row), "tir"), found[int(row)]
        gray = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
        tiles.append(draw_boxes(gray, boxes[boxes[:, 4] >= 0.3], classes))
    width, height = tiles[0].size
    sheet = PIL.Image.new("RGB", (3 * width, 2 * height))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % 3 * width, number // 3 * height))
    sheet.resize((3 * width * 2 // 3, 2 * height * 2 // 3), PIL.Image.Resampling.LANCZOS).save(path, quality=85)


def segmentation(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """An unseen city: mIoU over all, by day and night, and with each band alone."""
    from crossband.data.labeled import LabeledFrames
    from crossband.segmentation.evaluation import confusion_of
    from crossband.segmentation.predict import load_segmenter
    from crossband.training.task import find_task

    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    task: Any = find_task("segmentation").build(recipe, data)
    model = load_segmenter(checkpoint)
    (name, part), *_ = recipe.data.test.items()
    frames = LabeledFrames(part_frames(part, data), recipe.data.bands, model.preprocess, model.classes)

    def without(band: int) -> Callable[[torch.Tensor, int], torch.Tensor]:
        first, last = ((0, 3), (3, 4))[band]
        return lambda image, row: torch.cat([image[:first], torch.zeros_like(image[first:last]), image[last:]])

    changes = {"RGB and thermal": None, "thermal alone": without(0), "RGB alone": without(1)}
    lines = ["| bands | mIoU (95 %) | day | night (95 %) |", "|---|---:|---:|---:|"]
    kept: dict[str, Any] = {}
    for label, change in changes.items():
        scores = task.score(frames, confusion_of(model.network, frames, change, what=label))
        kept[label] = scores
        spans = [
            f"{s['miou']:.1f} ({s['ci95']['miou'][0]:.1f} to {s['ci95']['miou'][1]:.1f})"
            for s in (scores, scores["night"])
        ]
        lines.append(f"| {label} | {spans[0]} | {scores['day']['miou']:.1f} | {spans[1]} |")
    both = kept["RGB and thermal"]
    lines += [
        "",
        f"{name}, {both['n_frames']} frames. IoU: "
        + ", ".join(f"{label} {value:.1f}" for label, value in both["iou"].items() if value is not None)
        + ".",
    ]
    figures = {
        "mIoU": both["miou"],
        "mIoU night": both["night"]["miou"],
        "mIoU thermal alone": kept["thermal alone"]["miou"],
        "mIoU RGB alone": kept["RGB alone"]["miou"],
    }
    return {key: round(value, 2) for key, value in figures.items()}, "\n".join(lines)


def labeling(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """Unseen cities: mIoU and accuracy with intervals over flights, by day and night, above and ahead."""
    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    labeler, table = read_labeler(checkpoint), label_table(recipe.classes)
    matrices, groups, parts = [], [], []
    for name in UNSEEN_CITIES:
        scenes = Scenes(Frames.read(data / name / "frames.parquet"))
        units = scenes.frames.units()
        for row in track(range(len(scenes)), len(scenes), "labeling", "frames"):
            found = label_image(labeler, scenes.pixels(row, "tir"), units[row] or "counts")
            matrices.append(confusion(table[scenes.pixels(row, "semantic")], found, len(LABELS)))
            one = scenes.frames.table.iloc[row]
            groups.append(f"{name} {one['sequence']}")
            parts.append((one["condition"] == "night", one["camera"] == "oblique"))
    whole, (night, oblique) = np.stack(matrices), np.array(parts).T
    figures = {"mIoU": _miou(whole), "accuracy": _accuracy(whole)}
    flights = {group: np.flatnonzero(np.array(groups) == group) for group in dict.fromkeys(groups)}
    rng, sums = np.random.default_rng(0), np.stack([whole[rows].sum(0) for rows in flights.values()])
    drawn = [sums[rng.integers(len(sums), size=len(sums))] for _ in range(1000)]
    spans = [np.percentile([score(one) for one in drawn], [2.5, 97.5]) for score in (_miou, _accuracy)]
    lines = ["| frames | | mIoU (95 %) | accuracy (95 %) |", "|---|---:|---:|---:|"]
    lines.append(
        f"| all, {len(UNSEEN_CITIES)} cities | {len(whole)} | "
        + " | ".join(f"{v:.1f} ({a:.1f} to {b:.1f})" for v, (a, b) in zip(figures.values(), spans, strict=True))
        + " |"
    )
    for label, rows in (("day", ~night), ("night", night), ("nadir", ~oblique), ("oblique", oblique)):
        lines.append(f"| {label} | {rows.sum()} | {_miou(whole[rows]):.1f} | {_accuracy(whole[rows]):.1f} |")
    iou = 100 * mean_iou(whole.sum(0))
    lines += ["", "IoU: " + ", ".join(f"{k} {v:.1f}" for k, v in zip(LABELS, iou, strict=True)) + "."]
    return {key: round(value, 2) for key, value in figures.items()}, "\n".join(lines)


def _miou(matrices: np.ndarray) -> float:
    return 100 * float(np.nanmean(mean_iou(matrices.sum(0))))


def _accuracy(matrices: np.ndarray) -> float:
    total = matrices.sum(0)
    return 100 * float(np.trace(total) / max(total.sum(), 1))


KINDS = {
    "crossband-detect": Kind(
        task="detection",
        does="persons, cars, bicycles, other vehicles in thermal images from the air",
        data="HIT-UAV's train part but for seven of its 56 sequences, which choose (1,825 images)",
        attribution="HIT-UAV: Suo et al., Scientific Data 2023, "
        "https://github.com/suojiashun/HIT-UAV-Infrared-Thermal-Dataset, CC BY 4.0; "
        "encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="One camera (640x512, white is hot), 60 to 130 m, one region; other cameras, and cold objects "
        "on warm ground, are not tested. HIT-UAV's val part has frames of the videos that its train part has "
        "frames of. Other vehicles are rare there (102 boxes in train, 12 in val).",
        measure=detection,
    ),
    "crossband-label": Kind(
        task="labeling",
        does="road, pavement, grass, building, tree, object in thermal images from the air",
        data="300 frames of flights over five of crossband's own simulated cities, 40 to 120 m, day and night, "
        "four seasons",
        attribution="Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="Learned from simulated cities alone, and thermal images alone; real flights are not tested.",
        measure=labeling,
    ),
    "crossband-segment": Kind(
        task="segmentation",
        does="MFNet's classes in street scenes, RGB and thermal or either alone",
        data="1,200 frames of four of crossband's own simulated cities: by day and night, in rain and fog",
        attribution="Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="Learned from simulated streets alone: on real pictures it is a start, no product.",
        measure=segmentation,
    ),
}


def pack_run(name: str, checkpoint: Path, data: Path, images: int, hours: float) -> Path:
    """Pack a checkpoint under a name of :data:`KINDS`, measure it as it is packed, and write its card."""
    kind = KINDS[name]
    card = Card(
        name,
        kind.task,
        kind.does,
        kind.data,
        "Apache-2.0",
        kind.attribution,
        datetime.now(UTC).date().isoformat(),
        images,
        hours,
        machine().split(", ")[2],
        limits=kind.limits,
    )
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(checkpoint, card, folder)
        figures, text = kind.measure(packed, data)
    path = pack(checkpoint, replace(card, figures=figures))
    write_section(_PAGE, name, _card_text(path, text))
    return path


def measure_again(name: str, data: Path) -> None:
    """Write the card of a packaged network anew."""
    path = FOLDER / f"{name}.safetensors"
    write_section(_PAGE, name, _card_text(path, KINDS[name].measure(path, data)[1]))


def _card_text(path: Path, text: str) -> str:
    card = card_of(path)
    assert card is not None
    recipe = f"recipes/models/{card.name.removeprefix('crossband-')}.yaml"
    lines = [
        f"{card.does[:1].upper()}{card.does[1:]}.",
        "",
        f"- **Learned from**: {card.data}.",
        f"- **Training**: `{recipe}`, one seed; {card.images:,} images seen in {card.hours:.1f} h of a shared "
        f"{card.hardware}, {card.date}.",
        f"- **License**: {card.license}. {card.attribution}.",
        f"- **Size**: {path.stat().st_size / 1e6:.1f} MB. {_speed(path, card.task)}",
        f"- **Where it fails**: {card.limits}",
        f"- **Digest**: `{card.digest[:16]}`",
        "",
        text,
    ]
    return "\n".join(lines)


def _speed(path: Path, task: str) -> str:
    """Seconds to load, and images a second of the processor's time."""
    start = time.process_time()
    if task == "detection":
        detector = read_detector(path)
        loaded = time.process_time() - start
        image = np.random.default_rng(0).integers(0, 255, (512, 640), np.uint8)
        took = in_turn({"detect": lambda: detect_pixels(detector, image)}, 5, clock=time.process_time)[
            "detect"
        ].median
        return f"Loads in {loaded:.1f} s; {1 / took:.1f} images of 640x512 a second and core."
    if task == "segmentation":
        from crossband.segmentation.predict import load_segmenter

        model = load_segmenter(path)
        loaded = time.process_time() - start
        images = torch.rand(1, 4, *model.preprocess.size)

        def run() -> None:
            with torch.inference_mode():
                model.network(images)

        took = in_turn({"segment": run}, 5, clock=time.process_time)["segment"].median
        height, width = model.preprocess.size
        return f"Loads in {loaded:.1f} s; {1 / took:.1f} frames of {width}x{height} a second and core."
    labeler = read_labeler(path)
    loaded = time.process_time() - start
    image = np.random.default_rng(0).normal(290, 5, (256, 320)).astype(np.float32)
    took = in_turn({"label": lambda: label_image(labeler, image, "kelvin")}, 5, clock=time.process_time)[
        "label"
    ].median
    return f"Loads in {loaded:.1f} s; {1 / took:.1f} images of 320x256 a second and core."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack")
    packing.add_argument("name", choices=KINDS)
    packing.add_argument("checkpoint", type=Path)
    packing.add_argument("data", type=Path)
    packing.add_argument("--images", type=int, required=True)
    packing.add_argument("--hours", type=float, required=True)
    again = verbs.add_parser("card")
    again.add_argument("name", choices=KINDS)
    again.add_argument("data", type=Path)
    given = parser.parse_args()
    if given.verb == "pack":
        print(pack_run(given.name, given.checkpoint, given.data, given.images, given.hours))
    else:
        measure_again(given.name, given.data)


if __name__ == "__main__":
    main()
