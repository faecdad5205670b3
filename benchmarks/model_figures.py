"""What the packaged networks reach and how quick they are: the figures and lines of their cards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from crossband.bands import BANDS
from crossband.checkpoints import read_metadata
from crossband.data.items import part_frames
from crossband.data.scenes import Scenes
from crossband.frames import Frames
from crossband.metrics.detection import score_detections
from crossband.metrics.detection_detail import false_alarms, map50_interval, match_class
from crossband.progress import track
from crossband.reports.boxes import draw_boxes
from crossband.training import read_recipe
from crossband.uav.ground_classes import LABELS, label_table
from crossband.uav.networks import read_detector, read_labeler
from crossband.uav.pictures import detect_pixels
from crossband.uav.stages import label_image
from crossband.uav.tasks.labeling import confusion, mean_iou

from ._harness import ROOT, in_turn

UNSEEN_CITIES = ("flight_631", "flight_632", "flight_633")
"""Folders of ``crossband simulate --preset flight --frames 60 --size 320x256 --seed 631`` and so on."""


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


def reidentification(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """An unseen city: mAP of every set of bands, also by an encoder that learned nothing here."""
    from crossband.data.items import FrameItems
    from crossband.models import create_streams
    from crossband.reid.describe import describe_frames
    from crossband.reid.evaluation import evaluate_bands
    from crossband.reid.search import load_reid

    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    model = load_reid(checkpoint)
    (name, pair), *_ = recipe.data.test.items()
    frames = part_frames(pair.queries, data)
    plain, _ = create_streams(
        model.bands, 2, "cosine", "efficientnet_lite0", size=recipe.data.size, shared=True
    )
    networks = {"packaged": (model.network, model.preprocess)}
    networks["plain"] = (plain, replace(model.preprocess, statistics=dict.fromkeys(BANDS, plain.statistics)))
    found = {}
    for label, (network, preprocess) in networks.items():
        vectors = describe_frames(
            network, FrameItems(frames, model.bands, preprocess), dark=recipe.scoring.dark
        )
        found[label] = evaluate_bands(
            model.bands, vectors, vectors, frames, frames, recipe.scoring.protocol, descriptor="features"
        )
    lines = [
        "| query | gallery | mAP (95 %) | rank 1 | black night | mean embedding of EfficientNet-Lite0 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    figures = {}
    black = np.array(["BN" in tags for tags in found["packaged"].tags])
    for pair_, other in zip(found["packaged"].pairs, found["plain"].pairs, strict=True):
        if pair_.descriptor != "features":
            continue
        whole, night = pair_.scores, pair_.scores.select(black)
        low, high = found["packaged"].interval(pair_)
        figures[f"{pair_.query} to {pair_.gallery}"] = whole.mean_ap
        figures[f"{pair_.query} to {pair_.gallery}, black night"] = night.mean_ap
        lines.append(
            f"| {pair_.query} | {pair_.gallery} | {whole.mean_ap:.1f} ({low:.1f} to {high:.1f}) | "
            f"{whole.rank(1):.1f} | {night.mean_ap:.1f} | {other.scores.mean_ap:.1f} |"
        )
    lines += [
        "",
        f"{name}: {len(frames)} queries, each against all other frames but its vehicle's by the same camera; "
        f"{black.sum()} in black night. Intervals by drawing vehicles again.",
    ]
    all_bands = "+".join(model.bands)
    chosen = {
        "mAP": f"{all_bands} to {all_bands}",
        "mAP black night": f"{all_bands} to {all_bands}, black night",
        "mAP RGB to TIR": "rgb to tir",
    }
    return {key: round(figures[name], 2) for key, name in chosen.items()}, "\n".join(lines)


def detection_speed(path: Path) -> str:
    image = np.random.default_rng(0).integers(0, 255, (512, 640), np.uint8)
    return _speed(lambda: read_detector(path), lambda model: detect_pixels(model, image), "images of 640x512")


def segmentation_speed(path: Path) -> str:
    from crossband.segmentation.predict import load_segmenter

    height, width = load_segmenter(path).preprocess.size
    images = torch.rand(1, 4, height, width)
    return _speed(
        lambda: load_segmenter(path), lambda model: model.network(images), f"frames of {width}x{height}"
    )


def labeling_speed(path: Path) -> str:
    image = np.random.default_rng(0).normal(290, 5, (256, 320)).astype(np.float32)
    return _speed(
        lambda: read_labeler(path), lambda model: label_image(model, image, "kelvin"), "images of 320x256"
    )


def reidentification_speed(path: Path) -> str:
    from crossband.reid.search import load_reid

    images = torch.rand(1, 3, 3, *load_reid(path).preprocess.size)
    return _speed(lambda: load_reid(path), lambda model: model.network(images), "frames in three bands")


def _speed(load: Callable[[], Any], run: Callable[[Any], object], what: str) -> str:
    """Seconds to load, and images a second of the processor's time."""
    start = time.process_time()
    model = load()
    loaded = time.process_time() - start
    with torch.inference_mode():
        took = in_turn({"run": lambda: run(model)}, 5, clock=time.process_time)["run"].median
    return f"Loads in {loaded:.1f} s; {1 / took:.1f} {what} a second and core."
