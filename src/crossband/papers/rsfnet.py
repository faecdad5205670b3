"""Figures of Li et al., RSFNet, 2023, tables II to XIII, and of networks since; its figure 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..bands import parse_band
from ..models import create_segmenter
from ..models._segmentation import band_channels, find_segmenter
from ..nn.counting import Cost, count_cost
from ..nn.heads import HasHeads, WithHeads
from ..segmentation.classes import class_names
from ._registry import Reproduction, Request, register_paper
from ._reproduce import reproduce_recipes
from ._rsfnet_tables import ACCURACY, DAY_NIGHT, FPS, IOU, PST900_IOU, table

__all__ = [
    "COUNTED_WITH_HEADS",
    "PUBLISHED",
    "PublishedRow",
    "beside_published",
    "count_segmenter_cost",
    "draw",
]

Means = tuple[float | None, float]  # mAcc, mIoU
COUNTED_WITH_HEADS = ("egfnet", "mtanet", "dfn101")
"""Networks whose published counts are with their side outputs, which run while training alone."""


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
        iou: of each class, by dataset; ``accuracy`` likewise.
        fps: on a GeForce RTX 2080 Ti, and on a TITAN Xp.
    """

    tables: str
    mfnet: Means | None = None
    pst900: Means | None = None
    params_m: float | None = None
    thop_g: tuple[float, float | None] | None = None
    day: Means | None = None
    night: Means | None = None
    iou: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    accuracy: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    fps: tuple[float | None, ...] = (None, None)


_R = PublishedRow
_ABLATIONS: dict[str, PublishedRow] = {
    "rsfnet50_18": _R("VI to XII", (71.4, 54.0), (83.2, 77.5), 44.53, (64.69, 194.56)),
    "rsfnet50_18_nopse": _R("VI, VII", (70.4, 53.3), (82.2, 77.0), 44.20, (64.69, 194.56)),
    "rsfnet50_18_reparam_nopse": _R("VI", (72.1, 54.3), (84.0, 77.6), 44.20, (64.69, 194.56)),
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
}
# of tables II to V, which have no mAcc on PST900: where table VI has it, parameters and thop's figures
_COUNTS: dict[str, tuple[float, tuple[float, float | None]]] = {
    "mfnet": (0.74, (8.42, None)),
    "rtfnet152": (254.51, (336.69, None)),
    "pstnet": (31.04, (163.64, None)),
    "fuseseg": (141.52, (193.40, None)),
    "egfnet": (62.78, (201.09, None)),
    "mtanet": (121.58, (264.96, None)),
    "rsfnet50_18_reparam": (44.53, (64.69, 194.56)),
    "rsfnet161_121_reparam": (44.10, (95.02, 284.75)),
    "rsfnet101_34_reparam": (73.63, (98.82, 297.04)),
}
_PST900_MACC = {"rsfnet50_18_reparam": 85.2}


def _compared() -> dict[str, PublishedRow]:
    """The rows of tables II to V."""
    accuracy, iou, day_night, pst900, fps = map(table, (ACCURACY, IOU, DAY_NIGHT, PST900_IOU, FPS))
    found = {}
    for name in {**iou, **pst900}:
        means = (accuracy[name][-1], iou[name][-1]) if name in iou else None
        parts = day_night.get(name)
        params, thop = _COUNTS.get(name, (None, None))
        where = [n for n, t in (("II", iou), ("III", _COUNTS), ("IV", day_night), ("V", pst900)) if name in t]
        found[name] = PublishedRow(
            ", ".join(where),
            means,  # type: ignore[arg-type]
            (_PST900_MACC.get(name), pst900[name][-1]) if name in pst900 else None,  # type: ignore[arg-type]
            params,
            thop,
            parts[:2] if parts else None,  # type: ignore[arg-type]
            parts[2:] if parts else None,  # type: ignore[arg-type]
            {dataset: t[name][:-1] for dataset, t in (("mfnet", iou), ("pst900", pst900)) if name in t},
            {"mfnet": accuracy[name][:-1]} if name in accuracy else {},
            fps.get(name, (None, None)),
        )
    return found


_SINCE = {
    "cmx_b2": _R("CMX, the authors' page", (None, 58.2)),
    "cmx_b4": _R("CMX, the authors' page", (None, 59.7)),
    "dformer_l": _R("OmniSegmentor (by DFormer's first author), MFNet table", (None, 59.6)),
}
"""Networks that RSFNet's tables do not have, by their own papers."""

PUBLISHED: dict[str, PublishedRow] = {**_ABLATIONS, **_compared(), **_SINCE}
"""By the name of a recipe without its dataset."""


def beside_published(name: str, recipe: Any, results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Put each figure of a recipe called ``DATASET_SETTING``, ``published``, next to ``ours``.

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
    figures = [*_means(row, dataset, found), *_classes(row, dataset, found), *_counts(row, dataset, recipe)]
    if dataset == "mfnet":
        cards = ("2080 Ti", "TITAN Xp")
        figures += [(f"FPS on a {card}", value, None) for card, value in zip(cards, row.fps, strict=True)]
    return [
        {"row": name, "table": row.tables, "figure": figure, "published": published, "ours": ours}
        for figure, published, ours in figures
        if published is not None
    ]


Figures = list[tuple[str, float | None, float | None]]


def _means(row: PublishedRow, dataset: str, found: Mapping[str, Any]) -> Figures:
    """mAcc and mIoU of the whole test set, and of MFNet's by day and by night."""
    figures: Figures = []
    for part, means in (("", getattr(row, dataset, None)), ("day ", row.day), ("night ", row.night)):
        if means is not None and (dataset == "mfnet" or not part):
            measured = found.get(part.strip(), {}) if part else found
            figures += [
                (f"{part}mAcc, %", means[0], measured.get("macc")),
                (f"{part}mIoU, %", means[1], measured.get("miou")),
            ]
    return figures


def _classes(row: PublishedRow, dataset: str, found: Mapping[str, Any]) -> Figures:
    """Accuracy and IoU of each class."""
    figures: Figures = []
    for what, published in (("accuracy", row.accuracy), ("IoU", row.iou)):
        measured = found.get(what.lower(), {})
        values = published.get(dataset, ())
        names = class_names(dataset) if values else []
        figures += [(f"{what} of {n}, %", v, measured.get(n)) for n, v in zip(names, values, strict=True)]
    return figures


def _counts(row: PublishedRow, dataset: str, recipe: Any) -> Figures:
    published = None if row.thop_g is None else row.thop_g[0 if dataset == "mfnet" else 1]
    if row.params_m is None and published is None:
        return []
    classes = len(class_names(dataset))
    cost = count_segmenter_cost(
        recipe.model.name, recipe.data.bands, classes, recipe.data.size, recipe.model.options
    )
    return [("parameters, M", row.params_m, cost.params_m), ("thop's FLOPs, G", published, cost.thop_g)]


def count_segmenter_cost(
    name: str,
    bands: Sequence[str],
    classes: int,
    size: tuple[int, int],
    options: Mapping[str, Any] | None = None,
) -> Cost:
    """Count a network as papers count it: deployed, with side outputs only where the paper counts them.

    Args:
        name: of a registered segmentation network.
        bands: what it reads.
        classes: how many.
        size: (height, width).
        options: of the network.
    """
    entry = find_segmenter(name)
    sides = name in COUNTED_WITH_HEADS
    as_counted = {"multi_branch": False, "auxiliary": sides}
    chosen = {**(options or {}), **{key: value for key, value in as_counted.items() if key in entry.options}}
    with torch.device("meta"):
        network = create_segmenter(name, classes, bands, options=chosen)
    channels = sum(band_channels(map(parse_band, bands)))
    if sides and isinstance(network, HasHeads):
        return count_cost(WithHeads(network), 1, channels, *size)
    return count_cost(network, 1, channels, *size)


def draw(rows: Sequence[Mapping[str, Any]], out: Path) -> list[Path]:
    """Draw figure 5, mIoU on MFNet against FLOPs, from the paper's figures and what of ours was measured.

    Args:
        rows: of :func:`beside_published`.
        out: the folder for ``figure5.png``.

    Returns:
        the files written; none where no row has both figures.
    """
    import pandas as pd

    from ..files import write_file
    from ..reports.plots import plot_cost

    points = []
    for name in dict.fromkeys(row["row"] for row in rows if row["row"].startswith("mfnet_")):
        each = {row["figure"]: row for row in rows if row["row"] == name}
        for whose in ("published", "ours"):
            flops, miou = (each.get(figure, {}).get(whose) for figure in ("thop's FLOPs, G", "mIoU, %"))
            fps = each.get("FPS on a TITAN Xp", {}).get(whose)
            if flops is not None and miou is not None:
                points.append(
                    {
                        "name": name.removeprefix("mfnet_"),
                        "whose": whose,
                        "gflops": flops,
                        "miou": miou,
                        "fps": fps,
                    }
                )
    if not points:
        return []
    path = out / "figure5.png"
    figure = plot_cost(pd.DataFrame(points), "thop's FLOPs at 480x640, G", "mIoU on MFNet, %")
    write_file(path, lambda partial: figure.savefig(partial, format="png"))
    return [path]


@register_paper("rsfnet", "RSFNet: residual spatial fusion network for RGB-thermal semantic segmentation")
def _reproduce(request: Request) -> Reproduction:
    done = reproduce_recipes("rsfnet", "rsfnet", beside_published, request)
    draw(done.rows, request.out)
    return done
