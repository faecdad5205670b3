"""Figures of Li et al., "Multi-Spectral Vehicle Re-Identification", AAAI 2020, to stand next to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..reid.apart import train_apart
from ._registry import Reproduction, Request, register_paper
from ._reproduce import reproduce_recipes, train_row

__all__ = ["PUBLISHED_REID", "PublishedReid", "beside_published"]


@dataclass(frozen=True)
class PublishedReid:
    """One row of tables 2 to 5 for one backbone.

    Attributes:
        tables: where it stands, as in ``2, 5``.
        test: ``rgbn300`` or ``rgbnt100``.
        method: as the paper names it, with its bands.
        backbone: as the paper names it.
        figures: percent, by ``mAP``, ``R-1``, ``R-5`` and ``R-10``; tables 4 and 5 have the first two.
    """

    tables: str
    test: str
    method: str
    backbone: str
    figures: Mapping[str, float]


_APART = ("_pcb", "_mgn", "_abd")
_FIGURES = ("mAP", "R-1", "R-5", "R-10")
_BACKBONES = {
    "resnet50": "ResNet50",
    "seresnet50": "SeResNet50",
    "densenet121": "Densenet121",
    "inceptionresnet": "InceptionResNetV3",
    "mobilenetv2": "MobileNetV2",
}
_Quads = tuple[tuple[float, float, float, float], ...]

# a row per method, in the paper's order of backbones
_TABLE_2: dict[str, tuple[str, _Quads]] = {
    "rgb": (
        "RGB, one-stream",
        (
            (49.5, 72.6, 76.4, 78.6),
            (48.2, 72.9, 76.2, 78.1),
            (36.1, 61.4, 65.1, 67.3),
            (41.1, 67.6, 70.7, 72.5),
            (44.9, 68.7, 73.4, 76.0),
        ),
    ),
    "nir": (
        "NIR, one-stream",
        (
            (42.1, 61.9, 65.4, 67.5),
            (41.2, 65.1, 67.3, 68.5),
            (28.8, 50.5, 53.2, 55.2),
            (34.4, 57.5, 61.0, 64.0),
            (39.1, 62.7, 67.1, 69.1),
        ),
    ),
    "msn": (
        "RGB-N, MSN",
        (
            (56.9, 77.2, 79.9, 81.4),
            (56.9, 80.5, 82.1, 83.2),
            (46.1, 74.0, 76.2, 77.6),
            (52.8, 77.1, 78.8, 80.2),
            (54.3, 78.9, 81.2, 82.7),
        ),
    ),
    "hamnet": (
        "RGB-N, HAMNet",
        (
            (61.9, 84.0, 86.0, 87.0),
            (61.8, 84.3, 86.6, 87.9),
            (46.7, 75.1, 76.9, 78.2),
            (56.6, 82.0, 84.2, 85.5),
            (56.9, 80.0, 82.1, 83.5),
        ),
    ),
}
_TABLE_3: dict[str, tuple[str, _Quads]] = {
    "rgb": (
        "RGB, one-stream",
        (
            (41.0, 58.5, 63.6, 66.9),
            (39.1, 57.9, 60.5, 62.2),
            (35.2, 54.4, 58.5, 61.3),
            (37.5, 57.1, 62.2, 64.9),
            (37.3, 58.1, 63.3, 66.4),
        ),
    ),
    "nir": (
        "NIR, one-stream",
        (
            (37.1, 52.8, 56.4, 59.1),
            (37.3, 53.2, 56.4, 58.4),
            (27.2, 43.8, 46.0, 47.8),
            (31.1, 51.6, 56.2, 58.3),
            (36.9, 56.9, 62.4, 65.0),
        ),
    ),
    "tir": (
        "TIR, one-stream",
        (
            (35.7, 61.8, 66.5, 69.9),
            (39.1, 67.1, 72.6, 74.9),
            (27.5, 50.8, 56.3, 59.6),
            (40.5, 70.8, 75.3, 78.2),
            (39.9, 68.3, 73.1, 75.6),
        ),
    ),
    "msn_rgb_nir": (
        "RGB-N, MSN",
        (
            (43.1, 65.4, 70.6, 73.6),
            (43.7, 64.6, 68.2, 70.4),
            (40.9, 61.5, 63.2, 64.9),
            (45.9, 71.8, 75.6, 77.6),
            (48.2, 70.3, 73.4, 75.5),
        ),
    ),
    "msn_rgb_tir": (
        "RGB-T, MSN",
        (
            (56.2, 80.7, 83.3, 86.2),
            (57.3, 81.4, 83.2, 85.4),
            (45.9, 73.8, 76.9, 78.4),
            (49.3, 78.0, 82.4, 85.5),
            (52.9, 79.1, 82.8, 84.7),
        ),
    ),
    "msn": (
        "RGB-N-T, MSN",
        (
            (60.5, 82.6, 85.7, 87.1),
            (60.0, 82.6, 85.2, 87.3),
            (51.0, 76.8, 78.9, 80.1),
            (53.9, 81.2, 84.1, 86.1),
            (57.1, 82.3, 85.7, 87.8),
        ),
    ),
    "hamnet": (
        "RGB-N-T, HAMNet",
        (
            (64.1, 84.7, 88.0, 89.4),
            (65.4, 85.5, 87.9, 88.8),
            (54.3, 80.9, 83.1, 84.8),
            (56.3, 85.0, 86.0, 87.6),
            (58.2, 83.9, 86.2, 88.5),
        ),
    ),
}
# tables 4 and 5, ResNet-50: RGBN300 and RGBNT100, mAP and rank 1
_OTHERS: dict[str, tuple[str, str, tuple[tuple[float, float], tuple[float, float]]]] = {
    "pcb": ("4", "PCB", ((57.7, 82.0), (57.2, 83.5))),
    "mgn": ("4", "MGN", ((60.5, 83.7), (58.1, 83.1))),
    "abd": ("4", "ABD", ((58.9, 83.1), (60.4, 85.1))),
    "msn_hsc": ("5", "MSN + L_hsc", ((59.1, 80.1), (61.4, 83.4))),
    "msn_caid": ("5", "MSN + L_caid", ((59.4, 79.2), (61.4, 83.1))),
}


def _published() -> dict[str, PublishedReid]:
    """Name of the recipe -> its row."""
    found: dict[str, PublishedReid] = {}
    for test, table, content in (("rgbn300", "2", _TABLE_2), ("rgbnt100", "3", _TABLE_3)):
        for key, (method, quads) in content.items():
            for (short, backbone), quad in zip(_BACKBONES.items(), quads, strict=True):
                more = {"msn": ", 5", "hamnet": ", 4, 5"}.get(key, "") if short == "resnet50" else ""
                figures = dict(zip(_FIGURES, quad, strict=True))
                found[f"{test}_{short}_{key}"] = PublishedReid(
                    f"{table}{more}", test, method, backbone, figures
                )
    for key, (table, method, pairs) in _OTHERS.items():
        for test, pair in zip(("rgbn300", "rgbnt100"), pairs, strict=True):
            figures = dict(zip(_FIGURES, pair, strict=False))
            found[f"{test}_resnet50_{key}"] = PublishedReid(table, test, method, "ResNet50", figures)
    return found


PUBLISHED_REID = _published()


def beside_published(name: str, recipe: Any, results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return a row for each figure of a recipe.

    What it is, the paper's figure, and ours, ``None`` without results.

    Args:
        name: the recipe's.
        recipe: the recipe itself; the name says enough here.
        results: of :func:`crossband.training.evaluate`.

    Example:
        >>> beside_published("rgbn300_resnet50_pcb", None, None)[0]
        {'table': '4', 'test': 'rgbn300', 'method': 'PCB', 'backbone': 'ResNet50', 'figure': 'mAP', 'published': 57.7, 'ours': None}
    """  # noqa: E501
    row = PUBLISHED_REID.get(name)
    if row is None:
        return []
    tests = {} if results is None else results["tests"]
    found = tests.get(row.test, {})
    ours = {"mAP": found.get("mAP"), **{f"R-{k}": v for k, v in found.get("rank", {}).items()}}
    return [
        {
            "table": row.tables,
            "test": row.test,
            "method": row.method,
            "backbone": row.backbone,
            "figure": figure,
            "published": value,
            "ours": ours.get(figure),
        }
        for figure, value in row.figures.items()
    ]


@register_paper("hamnet", "Li et al., Multi-Spectral Vehicle Re-Identification: A Challenge, AAAI 2020")
def _reproduce(request: Request) -> Reproduction:
    return reproduce_recipes("hamnet", "reid", beside_published, request, _train)


def _train(path: Path, out: Path, request: Request) -> object:
    """Train a row: the extended methods of table 4 band by band, all others with their bands together."""
    if path.stem.endswith(_APART):
        return train_apart(path, request.overrides, out, data_root=request.data_root)
    return train_row(path, out, request)
