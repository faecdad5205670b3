"""Figures of Li et al., RSFNet, 2023, tables II to XIII, to stand next to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..models import create_segmenter
from ..models._segmentation import band_channels, find_segmenter
from ..nn.counting import count_cost
from ._registry import Reproduction, Request, register_paper
from ._reproduce import reproduce_recipes

__all__ = ["PUBLISHED", "PublishedRow", "beside_published"]

Means = tuple[float | None, float]  # mAcc, mIoU


@dataclass(frozen=True)
class PublishedRow:
    """One setting; percent, millions and 10^9.

    Attributes:
        tables: where it stands.
        mfnet: (mAcc, mIoU) on MFNet's test set.
        pst900: (mAcc or ``None``, mIoU) on PST900's test set.
        params_m: parameters, deployed.
        thop_g: thop's figure at 480x640, and at 720x1280 where it is given.
        day: (mAcc, mIoU) on MFNet's daytime test images; ``night`` likewise.
        iou: of each class of MFNet.
    """

    tables: str
    mfnet: Means | None = None
    pst900: Means | None = None
    params_m: float | None = None
    thop_g: tuple[float, float | None] | None = None
    day: Means | None = None
    night: Means | None = None
    iou: tuple[float, ...] = ()


_R = PublishedRow
PUBLISHED: dict[str, PublishedRow] = {
    "rsfnet50_18": _R("VI to XII", (71.4, 54.0), (83.2, 77.5), 44.53, (64.69, 194.56)),
    "rsfnet50_18_nopse": _R("VI, VII", (70.4, 53.3), (82.2, 77.0), 44.20, (64.69, 194.56)),
    "rsfnet50_18_reparam_nopse": _R("VI", (72.1, 54.3), (84.0, 77.6), 44.20, (64.69, 194.56)),
    "rsfnet50_18_reparam": _R(
        "II to VI",
        (73.2, 55.1),
        (85.2, 78.5),
        44.53,
        (64.69, 194.56),
        (69.1, 47.6),
        (71.2, 55.8),
        (97.7, 83.5, 72.7, 61.9, 40.7, 31.7, 11.2, 50.9, 45.5),
    ),
    "rsfnet161_121_reparam": _R(
        "II to V",
        (73.8, 55.5),
        (None, 79.4),
        44.10,
        (95.02, 284.75),
        (71.8, 47.7),
        (73.0, 56.1),
        (97.9, 86.3, 72.9, 61.7, 43.7, 30.8, 6.5, 52.4, 47.3),
    ),
    "rsfnet101_34_reparam": _R(
        "II to V",
        (75.9, 56.2),
        (None, 80.5),
        73.63,
        (98.82, 297.04),
        (72.9, 49.1),
        (73.8, 57.2),
        (97.9, 85.8, 72.0, 60.3, 43.3, 32.3, 8.8, 52.9, 52.7),
    ),
    "rsfnet50_18_sum": _R("VII", (61.1, 51.9), (77.0, 73.6), 43.11, (58.60, 176.27)),
    "rsfnet50_18_concat": _R("VII", (62.1, 52.2), (77.9, 74.3), 43.42, (59.11, 177.81)),
    "rsfnet50_18_gma": _R("VII", (68.6, 52.8), (81.6, 76.5), 52.05, (73.80, 222.37)),
    "rsfnet50_18_k3": _R("VIII", (69.5, 53.2), (82.1, 77.0), 44.01, (61.35, 184.53)),
    "rsfnet50_18_k7": _R("VIII", (71.0, 53.8), (82.8, 77.4), 45.32, (69.70, 209.60)),
    "rsfnet50_18_k9": _R("VIII", (70.5, 53.7), (82.7, 77.3), 46.37, (76.39, 229.66)),
    "rsfnet50_18_reduced32": _R("IX", (69.2, 53.0), (81.5, 76.7), 43.78, (60.34, 181.51)),
    "rsfnet50_18_reduced128": _R("IX", (71.2, 53.9), (83.0, 77.3), 47.26, (81.21, 244.16)),
    "rsfnet50_18_reduced256": _R("IX", (70.8, 53.7), (82.7, 77.0), 57.63, (145.61, 437.39)),
    "rsfnet50_18_l1": _R("X", (70.4, 53.0), (81.3, 76.4)),
    "rsfnet50_18_l2": _R("X", (70.8, 53.7), (82.0, 76.6)),
    "rsfnet50_18_balance01": _R("XI", (70.4, 53.1), (81.9, 77.2)),
    "rsfnet50_18_balance02": _R("XI", (70.5, 53.4), (81.3, 76.6)),
    "rsfnet50_18_balance04": _R("XI", (71.0, 53.5), (82.0, 77.3)),
    "rsfnet50_18_balance05": _R("XI", (70.5, 53.5), (81.6, 77.1)),
    "rsfnet50_34": _R("XII", (71.5, 54.1), (83.3, 77.6), 54.64, (76.03, 228.67)),
    "rsfnet50_50": _R("XII", (71.7, 54.3), (83.5, 77.7), 57.71, (79.55, 239.26)),
    "rsfnet161_121": _R("XII", (72.8, 54.5), (84.8, 78.7), 44.10, (95.02, 284.75)),
    "rsfnet161_161": _R("XII", (73.0, 54.7), (85.0, 78.8), 64.39, (125.88, 377.21)),
    "rsfnet19_16": _R("XII", (69.1, 53.1), (81.0, 75.2), 43.91, (241.61, 724.86)),
    "rsfnet19_19": _R("XII", (69.4, 53.3), (81.3, 75.5), 49.22, (267.10, 801.32)),
    "rsfnet101_34": _R("XII", (73.3, 54.9), (85.5, 79.0), 73.63, (98.82, 297.04)),
    "rsfnet101_101": _R("XII", (73.6, 55.1), (85.7, 79.1), 95.70, (125.13, 376.00)),
    "rsfnet50_18_rgb": _R("XIII", (65.7, 49.7), (80.1, 75.0)),
    "rsfnet50_18_tir": _R("XIII", (64.5, 44.8), (39.1, 36.7)),
    "rsfnet161_121_rgb": _R("XIII", (66.9, 50.7), (83.0, 77.4)),
    "rsfnet161_121_tir": _R("XIII", (65.9, 45.7), (45.2, 42.4)),
    "rsfnet101_34_rgb": _R("XIII", (68.9, 51.3), (83.9, 77.9)),
    "rsfnet101_34_tir": _R("XIII", (67.4, 46.4), (47.2, 44.2)),
    "pspnet101_rgb": _R(
        "II, IV, V",
        (51.9, 44.7),
        (None, 68.7),
        None,
        None,
        (49.3, 41.9),
        (47.8, 41.5),
        (97.2, 82.6, 54.1, 55.8, 22.1, 23.3, 1.1, 33.1, 33.5),
    ),
    "pspnet101": _R(
        "II, IV, V",
        (54.0, 46.3),
        (None, 70.5),
        None,
        None,
        (47.2, 41.0),
        (50.5, 44.0),
        (97.4, 84.7, 57.5, 56.2, 22.9, 23.3, 4.4, 32.5, 37.4),
    ),
    "hrnet48_rgb": _R(
        "II, IV",
        (60.9, 51.3),
        None,
        None,
        None,
        (59.7, 47.2),
        (55.7, 49.1),
        (97.3, 86.6, 59.8, 61.3, 33.2, 28.7, 1.4, 47.2, 46.2),
    ),
    "hrnet48": _R(
        "II, IV",
        (63.7, 53.2),
        None,
        None,
        None,
        (50.0, 41.4),
        (50.2, 44.9),
        (98.2, 87.6, 71.0, 63.4, 42.5, 19.1, 2.7, 49.8, 44.5),
    ),
    "mfnet": _R(
        "II to V",
        (45.1, 39.7),
        (None, 57.0),
        0.74,
        (8.42, None),
        (42.6, 36.1),
        (41.4, 36.8),
        (96.9, 65.9, 58.9, 42.9, 29.9, 9.9, 0.0, 25.2, 27.7),
    ),
    "rtfnet152": _R(
        "II to V",
        (63.1, 53.2),
        (None, 74.6),
        254.51,
        (336.69, None),
        (60.0, 45.8),
        (60.7, 54.8),
        (98.5, 87.4, 70.3, 62.7, 45.3, 29.8, 0.0, 29.1, 55.7),
    ),
    "pstnet": _R(
        "II to V",
        (55.5, 48.6),
        (None, 68.4),
        31.04,
        (163.64, None),
        (45.3, 39.6),
        (55.8, 48.2),
        (97.4, 77.0, 67.2, 50.8, 35.2, 25.2, 0.0, 29.9, 55.0),
    ),
    "fuseseg": _R(
        "II to IV",
        (70.6, 54.5),
        None,
        141.52,
        (193.40, None),
        (62.1, 47.8),
        (67.3, 54.6),
        (97.6, 87.9, 71.7, 64.6, 44.8, 22.7, 6.4, 46.9, 47.9),
    ),
}
"""By the name of a recipe without its dataset."""


def beside_published(name: str, recipe: Any, results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return each figure of a recipe called ``DATASET_SETTING``, ``published``, next to ``ours``.

    Parameters and thop's figure are counted from the recipe itself, so they need neither data nor training.

    Args:
        name: of the recipe.
        recipe: what it says.
        results: of :func:`crossband.training.evaluate`, or ``None``.
    """
    dataset, _, setting = name.partition("_")
    row = PUBLISHED.get(setting)
    if row is None:
        return []
    found = {} if results is None else results["tests"].get(dataset, {})
    figures: list[tuple[str, float | None, float | None]] = []
    for part, means in (("", getattr(row, dataset, None)), ("day ", row.day), ("night ", row.night)):
        if means is not None and (dataset == "mfnet" or not part):
            measured = found.get(part.strip(), {}) if part else found
            figures += [
                (f"{part}mAcc, %", means[0], measured.get("macc")),
                (f"{part}mIoU, %", means[1], measured.get("miou")),
            ]
    for number, value in enumerate(row.iou if dataset == "mfnet" else ()):
        measured_iou = list(found.get("iou", {}).values())
        figures.append((f"IoU of class {number}, %", value, measured_iou[number] if measured_iou else None))
    figures += _counts(row, dataset, recipe)
    return [
        {"row": name, "table": row.tables, "figure": figure, "published": published, "ours": ours}
        for figure, published, ours in figures
        if published is not None
    ]


def _counts(row: PublishedRow, dataset: str, recipe: Any) -> list[tuple[str, float | None, float | None]]:
    published = None if row.thop_g is None else row.thop_g[0 if dataset == "mfnet" else 1]
    if row.params_m is None and published is None:
        return []
    entry = find_segmenter(recipe.model.name)
    options = dict(recipe.model.options)
    if "multi_branch" in entry.options:
        options["multi_branch"] = False  # the paper counts the deployed form
    bands = recipe.data.bands
    with torch.device("meta"):
        network = create_segmenter(recipe.model.name, 9 if dataset == "mfnet" else 5, bands, options=options)
    from ..bands import parse_band

    cost = count_cost(network, 1, sum(band_channels(map(parse_band, bands))), *recipe.data.size)
    return [("parameters, M", row.params_m, cost.params_m), ("thop's FLOPs, G", published, cost.thop_g)]


@register_paper("rsfnet", "RSFNet: residual spatial fusion network for RGB-thermal semantic segmentation")
def _reproduce(request: Request) -> Reproduction:
    return reproduce_recipes("rsfnet", "rsfnet", beside_published, request)
