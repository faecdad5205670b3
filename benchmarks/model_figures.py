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

from crossband.bands import BANDS, Band
from crossband.checkpoints import read_metadata
from crossband.data.items import part_frames
from crossband.data.scenes import Scenes, zoomed
from crossband.frames import Frames
from crossband.io import read_image, read_labels
from crossband.io.boxes import read_boxes
from crossband.metrics.detection import score_detections
from crossband.metrics.detection_detail import false_alarms, map50_interval, match_class
from crossband.metrics.resampling import cluster_interval
from crossband.metrics.segmentation import score_confusion
from crossband.models.thermal_gan import Translator
from crossband.progress import track
from crossband.reports.boxes import draw_boxes
from crossband.segmentation.figure import comparison_sheet, overlay_sheet
from crossband.training import read_recipe
from crossband.uav.evaluation import score_crops
from crossband.uav.flight import enlargement, meters_a_pixel
from crossband.uav.ground_classes import LABELS, UNKNOWN, label_table
from crossband.uav.networks import Detector, load_translator, read_detector, read_labeler
from crossband.uav.object_descriptor import read_object_network
from crossband.uav.pictures import detect_pixels
from crossband.uav.stages import label_image
from crossband.uav.tasks.labeling import confusion, mean_iou
from crossband.uav.tasks.objects import Describer, build_object_network
from crossband.uav.tasks.translation import score_frame

from ._harness import ROOT, in_turn

UNSEEN_CITIES = ("flight_631", "flight_632", "flight_633")
"""Folders of ``crossband simulate --preset flight --frames 60 --size 320x256 --seed 631`` and so on."""


def detection(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """HIT-UAV: AP a class with intervals, by altitude and hour, and false alarms; the card's lines."""
    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    detector = read_detector(checkpoint)
    (name, part), *others = recipe.data.test.items()
    scenes = Scenes(part_frames(part, data))
    truth, classes = scenes.boxes, read_boxes(scenes.frames).classes
    found = _detections(detector, scenes, recipe, classes)
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
    for _, other in others:
        whole, more = _over_cities(detector, Scenes(part_frames(other, data)), recipe)
        figures["mAP50, simulated flights"] = whole
        lines += ["", *more]
    return {key: round(value, 4) for key, value in figures.items()}, "\n".join(lines)


def _detections(detector: Detector, scenes: Scenes, recipe: Any, classes: list[str]) -> list[np.ndarray]:
    """The detections of each frame, enlarged as its height asks for; numbers are of some classes."""
    found, units, table = [], scenes.frames.units(), scenes.frames.table
    place = {name.casefold(): number for number, name in enumerate(classes)}
    kinds = np.array([place.get(name.casefold(), -1) for name in detector.classes])
    for row in track(range(len(scenes)), len(scenes), "detecting", "frames"):
        said = [float(table[name].iloc[row]) for name in ("altitude", "pitch", "focal") if name in table]
        known = len(said) == 3 and np.isfinite(said).all()
        zoom = enlargement(detector.zoom, detector.finest, meters_a_pixel(*said) if known else None)
        image = zoomed(detector.image(scenes.pixels(row, "tir"), units[row] or "counts"), zoom)
        boxes = detector.network.detect(image[None], recipe.least)[0].cpu().numpy()
        boxes[:, :4] /= zoom
        boxes[:, 5] = kinds[boxes[:, 5].astype(int)]
        found.append(boxes[boxes[:, 5] >= 0])
    return found


def _over_cities(detector: Detector, scenes: Scenes, recipe: Any) -> tuple[float, list[str]]:
    """Detection in simulated flights over unseen cities: mAP at IoU 0.5, and a table of the classes."""
    known = read_boxes(scenes.frames)
    found = _detections(detector, scenes, recipe, known.classes)
    scores = score_detections(found, known.rows, known.classes, known.crowds)
    groups = scenes.frames.table["sequence"].astype(str).tolist()
    matched = [match_class(found, known.rows, kind, crowds=known.crowds) for kind in range(len(known.classes))]
    low, high = map50_interval(matched, groups)
    lines = ["| simulated flights | AP at IoU 0.5 (95 %) | true boxes |", "|---|---:|---:|"]
    for one, label in zip(matched, known.classes, strict=True):
        span = map50_interval([one], groups)
        lines.append(
            f"| {label} | {scores.ap50[label]:.1f} ({span[0]:.1f} to {span[1]:.1f}) | {one.truth.sum()} |"
        )
    lines += [
        "",
        f"Three unseen cities, 40 to 120 m: mAP at IoU 0.5 **{scores.map50:.1f}** ({low:.1f} to {high:.1f}, "
        f"flights drawn again); {scores.n_images} images, {scores.n_boxes} boxes.",
    ]
    return scores.map50, lines


def objects(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """Unseen cities: color probes among their flight's thermal boxes, also by the network before training."""
    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    packaged, _ = read_object_network(checkpoint)
    networks = {"crossband-objects": packaged, "the same before training": build_object_network(recipe.model)}
    (_, part), *_ = recipe.data.test.items()
    scenes = Scenes(part_frames(part, data), recipe.data.cache_mb)
    lines = ["| network | rank 1 | rank 5 | rank 20 | nAUC (95 %) |", "|---|---:|---:|---:|---:|"]
    figures = {}
    for label, network in networks.items():
        found = score_crops(scenes, Describer(network.eval(), recipe.model))
        low, high = found.nauc_ci95
        lines.append(
            f"| {label} | {found.curve[0]:.1f} | {found.curve[4]:.1f} | {found.curve[19]:.1f} | "
            f"{found.nauc:.1f} ({low:.1f} to {high:.1f}) |"
        )
        figures[label] = (found.nauc, found.curve[0])
    lines += [
        "",
        f"{found.ranks.n_queries} objects of flights by day over three unseen cities, the largest view of "
        f"each, among {found.n_gallery:.0f} true thermal boxes of other frames on average; ranks 1 to 20.",
    ]
    nauc, first = figures["crossband-objects"]
    return {"nAUC": round(nauc, 4), "rank 1": round(float(first), 4)}, "\n".join(lines)


def translation(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """Unseen cities: kelvin wrong on objects and on all pixels, beside the ambient temperature itself."""
    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    network, _ = load_translator(checkpoint)
    (_, part), *_ = recipe.data.test.items()
    scenes = Scenes(part_frames(part, data))
    with torch.inference_mode():
        rows = [
            score_frame(network, scenes, row)
            for row in track(range(len(scenes)), len(scenes), "translating", "frames")
        ]
    flights = scenes.frames.table["sequence"].astype(str).to_numpy()
    for row, kelvin in zip(rows, _by_their_class(scenes, flights), strict=True):
        row["kelvin_levels_objects"] = kelvin
    names = {
        "kelvin_objects": "objects, K",
        "kelvin_constant_objects": "objects, by the ambient temperature itself, K",
        "kelvin_levels_objects": "objects, by the median of their class over its flight, K",
        "kelvin_means_objects": "objects, by the true mean temperature of each, K",
        "kelvin": "all pixels, K",
        "kelvin_constant": "all pixels, by the ambient temperature itself, K",
        "ssim": "SSIM",
    }
    lines = ["| mean error of | (95 %) |", "|---|---:|"]
    figures = {}
    for name, label in names.items():
        values = np.array([row[name] for row in rows])
        parts = [values[flights == one] for one in dict.fromkeys(flights)]
        rng = np.random.default_rng(0)
        drawn = [
            np.nanmean(np.concatenate([parts[i] for i in rng.integers(len(parts), size=len(parts))]))
            for _ in range(1000)
        ]
        low, high = np.quantile(drawn, [0.025, 0.975])
        figures[label] = round(float(np.nanmean(values)), 4)
        lines.append(f"| {label} | {figures[label]:.2f} ({low:.2f} to {high:.2f}) |")
    _translated_sheet(network, scenes, ROOT / "docs" / "images" / "translate.jpg")
    lines += [
        "",
        f"{len(rows)} frames by day over three unseen cities; flights drawn again.",
        "",
        "![Color, translation and thermal image, one scale of temperatures a row](images/translate.jpg)",
    ]
    return {key: figures[key] for key in ("objects, K", "all pixels, K", "SSIM")}, "\n".join(lines)


def _by_their_class(scenes: Scenes, flights: np.ndarray) -> list[float]:
    """How wrong each frame's objects are if each had the median of its class over its flight, kelvin."""
    shown = []
    for row, boxes in enumerate(scenes.boxes):
        instances, kelvin = scenes.pixels(row, "instances"), scenes.kelvin(row)[0].numpy()
        shown.append([(int(box[4]), kelvin[instances == int(box[5])]) for box in boxes])
    found = []
    for row, mine in enumerate(shown):
        flight = [one for other, each in enumerate(shown) if flights[other] == flights[row] for one in each]
        levels = {
            kind: np.median([np.median(pixels) for of, pixels in flight if of == kind and len(pixels)])
            for kind in {kind for kind, pixels in mine if len(pixels)}
        }
        off = [np.abs(pixels - levels[kind]) for kind, pixels in mine if len(pixels)]
        found.append(float(np.concatenate(off).mean()) if off else float("nan"))
    return found


def _translated_sheet(network: Translator, scenes: Scenes, path: Path) -> None:
    """Four frames: color, translation, thermal."""
    import matplotlib

    heat = matplotlib.colormaps["inferno"]
    strips = []
    for row in np.linspace(0, len(scenes) - 1, 4).astype(int):
        color, kelvin = scenes.color(int(row)), scenes.kelvin(int(row))[0].numpy()
        with torch.inference_mode():
            made = network(color[None], torch.tensor([scenes.ambient(int(row))])).thermal[0, 0].numpy()
        low, high = np.percentile(kelvin, [1, 99])
        shown = [(255 * heat(np.clip((one - low) / (high - low), 0, 1))[..., :3]) for one in (made, kelvin)]
        strips.append(np.concatenate([255 * color.permute(1, 2, 0).numpy(), *shown], 1))
    PIL.Image.fromarray(np.concatenate(strips).astype(np.uint8)).save(path, quality=88)


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
    lines = ["| bands | mIoU (95 %) | day (95 %) | night (95 %) |", "|---|---:|---:|---:|"]
    kept: dict[str, Any] = {}
    matrices: dict[str, np.ndarray] = {}
    for label, change in changes.items():
        matrices[label] = confusion_of(model.network, frames, change, what=label)
        scores = task.score(frames, matrices[label])
        kept[label] = scores
        spans = [
            f"{s['miou']:.1f} ({s['ci95']['miou'][0]:.1f} to {s['ci95']['miou'][1]:.1f})"
            for s in (scores, scores["day"], scores["night"])
        ]
        lines.append(f"| {label} | {' | '.join(spans)} |")
    both = kept["RGB and thermal"]
    night = (frames.frames.table["condition"] == "night").to_numpy(bool)
    low, high = _gain_interval(
        matrices["RGB and thermal"][night],
        matrices["RGB alone"][night],
        frames.frames.table["sequence"][night].to_numpy(str),
        recipe.scoring.protocol,
    )
    gain = both["night"]["miou"] - kept["RGB alone"]["night"]["miou"]
    _segmented_sheet(model, frames.frames, ROOT / "docs" / "images" / "segment.jpg")
    lines += [
        "",
        f"At night thermal adds {gain:.1f} ({low:.1f} to {high:.1f}) to RGB alone; drives drawn again.",
        "",
        f"{name}, {both['n_frames']} frames. IoU: "
        + ", ".join(f"{label} {value:.1f}" for label, value in both["iou"].items() if value is not None)
        + ".",
        "",
        "At night (by RGB alone): "
        + ", ".join(
            f"{label} {value:.1f} ({kept['RGB alone']['night']['iou'][label]:.1f})"
            for label, value in both["night"]["iou"].items()
            if value
        )
        + ".",
        "",
        "![A day and a night in the unseen city: RGB, thermal, labels, segmentation](images/segment.jpg)",
    ]
    figures = {
        "mIoU": both["miou"],
        "mIoU night": both["night"]["miou"],
        "mIoU thermal alone": kept["thermal alone"]["miou"],
        "mIoU RGB alone": kept["RGB alone"]["miou"],
    }
    return {key: round(value, 4) for key, value in figures.items()}, "\n".join(lines)


def _gain_interval(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray, protocol: str
) -> tuple[float, float]:
    """The 95 % interval of a difference of mIoUs on the same images, groups drawn again."""
    rng, rows = np.random.default_rng(0), [np.flatnonzero(groups == one) for one in np.unique(groups)]
    sums = [np.stack([one[part].sum(0) for part in rows]) for one in (first, second)]
    gains = []
    for _ in range(1000):
        drawn = rng.integers(len(rows), size=len(rows))
        better, worse = (score_confusion(one[drawn].sum(0), protocol).miou for one in sums)
        gains.append(better - worse)
    low, high = np.percentile(gains, [2.5, 97.5])
    return float(low), float(high)


def _segmented_sheet(model: Any, frames: Frames, path: Path) -> None:
    """A frame by day and one by night that show the most classes: bands, labels and segmentation."""
    table, sheets = frames.table, []
    for night in (False, True):
        rows = np.flatnonzero((table["condition"] == "night").to_numpy(bool) == night)
        truths = {row: read_labels(frames.root / table["labels"].iloc[row]) for row in rows.tolist()}
        row = max(rows.tolist(), key=lambda row: len(np.unique(truths[row])))
        images = {band: read_image(frames.paths(band)[row], band) for band in (Band.RGB, Band.TIR)}
        sheets.append(overlay_sheet(images, model.labels(images), model.classes, truth=truths[row]))
    _stacked(sheets).save(path, quality=85)


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
    _labeled_sheet(labeler, table, data, ROOT / "docs" / "images" / "label.jpg")
    lines += [
        "",
        "IoU: " + ", ".join(f"{k} {v:.1f}" for k, v in zip(LABELS, iou, strict=True)) + ".",
        "",
        "![By day and by night: thermal image, true labels, labels found](images/label.jpg)",
    ]
    return {key: round(value, 4) for key, value in figures.items()}, "\n".join(lines)


def _labeled_sheet(labeler: Any, table: np.ndarray, data: Path, path: Path) -> None:
    """A frame by day and one by night of an unseen city: thermal image, true labels, labels found."""
    frames = Frames.read(data / UNSEEN_CITIES[0] / "frames.parquet")
    scenes, sheets = Scenes(frames), []
    for night in (False, True):
        row = int(np.flatnonzero((frames.table["condition"] == "night").to_numpy(bool) == night)[3])
        found = label_image(labeler, scenes.pixels(row, "tir"), frames.units()[row] or "counts")
        truth = table[scenes.pixels(row, "semantic")]
        maps = [np.where(one == UNKNOWN, 0, one + 1).astype(np.uint8) for one in (truth, found)]
        image = {Band.TIR: read_image(frames.paths("tir")[row], "tir")}
        sheets.append(comparison_sheet(image, {"labels found": maps[1]}, ("unknown", *LABELS), maps[0]))
    _stacked(sheets).save(path, quality=88)


def _stacked(sheets: list[PIL.Image.Image]) -> PIL.Image.Image:
    width, tops = max(one.width for one in sheets), np.cumsum([0, *(one.height for one in sheets)]).tolist()
    whole = PIL.Image.new("RGB", (width, tops[-1]), "white")
    for one, top in zip(sheets, tops, strict=False):
        whole.paste(one, (0, top))
    return whole


def _miou(matrices: np.ndarray) -> float:
    return 100 * float(np.nanmean(mean_iou(matrices.sum(0))))


def _accuracy(matrices: np.ndarray) -> float:
    total = matrices.sum(0)
    return 100 * float(np.trace(total) / max(total.sum(), 1))


def reidentification(checkpoint: Path, data: Path) -> tuple[dict[str, float], str]:
    """Unseen cities: mAP of every set of bands, also by an encoder that learned nothing here."""
    from crossband.models import create_streams
    from crossband.reid.search import load_reid

    recipe: Any = read_recipe(read_metadata(checkpoint)["recipe"])
    model = load_reid(checkpoint)
    plain, _ = create_streams(
        model.bands, 2, "cosine", "efficientnet_lite0", size=recipe.data.size, shared=True
    )
    plain_preprocess = replace(model.preprocess, statistics=dict.fromkeys(BANDS, plain.statistics))
    networks = [(model.network, model.preprocess), (plain, plain_preprocess)]
    (first, *others) = recipe.data.test.items()
    figures, lines, said = _by_bands(model, networks, first, data, recipe)
    lines += ["", f"{first[0]}: {said}."]
    for name, pair in others:
        _, _, more_said = _by_bands(model, networks[:1], (name, pair), data, recipe)
        lines += ["", f"{name} (`{pair.queries.frames}`): {more_said}."]
    return figures, "\n".join(lines)


def _by_bands(
    model: Any, networks: list[tuple[Any, Any]], test: tuple[str, Any], data: Path, recipe: Any
) -> tuple[dict[str, float], list[str], str]:
    """Figures of the first network, a table of it beside the last one, and the figures with intervals."""
    from crossband.data.items import FrameItems
    from crossband.reid.describe import describe_frames
    from crossband.reid.evaluation import evaluate_bands

    name, pair = test
    frames = part_frames(pair.queries, data)
    found = []
    for network, preprocess in networks:
        vectors = describe_frames(network, FrameItems(frames, model.bands, preprocess), emphasis=model.emphasis)
        found.append(
            evaluate_bands(
                model.bands, vectors, vectors, frames, frames, recipe.scoring.protocol, descriptor="features"
            )
        )
    lines = [
        "| query | gallery | mAP (95 %) | rank 1 | black night | mean embedding of EfficientNet-Lite0 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    figures, spans = {}, {}
    black = np.array(["BN" in tags for tags in found[0].tags])
    for pair_, other in zip(found[0].pairs, found[-1].pairs, strict=True):
        if pair_.descriptor != "features":
            continue
        whole, night = pair_.scores, pair_.scores.select(black)
        low, high = found[0].interval(pair_)
        for key, scores, identity in (
            (f"{pair_.query} to {pair_.gallery}", whole, found[0].labels.identity),
            (f"{pair_.query} to {pair_.gallery} by night", night, found[0].labels.identity[black]),
        ):
            figures[key] = scores.mean_ap
            spans[key] = cluster_interval(scores.ap[scores.kept], identity[scores.kept])
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
        "mAP black night": f"{all_bands} to {all_bands} by night",
        "mAP RGB to TIR": "rgb to tir",
    }
    said = ", ".join(
        f"{key} {figures[name]:.1f} ({spans[name][0]:.1f} to {spans[name][1]:.1f})"
        for key, name in chosen.items()
    )
    return {key: round(figures[name], 4) for key, name in chosen.items()}, lines, said


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
    from crossband.reid.search import ReidNetwork, load_reid

    images = torch.rand(1, 3, 3, *load_reid(path).preprocess.size)

    def describe(model: ReidNetwork) -> None:
        for _ in range(1 + model.emphasis.mirror):
            model.network(images)

    return _speed(lambda: load_reid(path), describe, "frames in three bands")


def objects_speed(path: Path) -> str:
    crops = torch.rand(1, 3, *2 * (read_object_network(path)[1].size,))
    return _speed(lambda: read_object_network(path)[0], lambda model: model(crops), "crops")


def translation_speed(path: Path) -> str:
    images, ambient = torch.rand(1, 3, 256, 320), torch.tensor([290.0])
    return _speed(
        lambda: load_translator(path)[0], lambda model: model(images, ambient), "photographs of 320x256"
    )


def _speed(load: Callable[[], Any], run: Callable[[Any], object], what: str) -> str:
    """Seconds to load, and images a second of the processor's time."""
    start = time.process_time()
    model = load()
    loaded = time.process_time() - start
    with torch.inference_mode():
        took = in_turn({"run": lambda: run(model)}, 5, clock=time.process_time)["run"].median
    return f"Loads in {loaded:.1f} s; {1 / took:.1f} {what} a second and core."
