"""How re-identification from the air is measured: probes of one frame, the other frames of their flight.

The protocol is called ``other-frames``. A query is an object in one frame, seen in color by day. Its gallery
is all thermal boxes of the same flight but for those of its own frame; right is the same instance. A query
whose object no other frame shows is dropped and counted. CMC at rank N is Recall@N; nAUC is over ranks 1 to
20. A tie counts against the model. The paper's protocol on LAERT is not described more closely than that
probes are color and the gallery thermal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..data.scenes import Scenes, sides_of
from ..errors import CrossbandError
from ..metrics.nauc import nauc
from ..metrics.protocol import PositiveMask
from ..metrics.ranking import Ranks, cmc, rank_positives
from ..metrics.resampling import bootstrap_interval
from .object_descriptor import MARGIN, crop_around, thermal_scaled

__all__ = [
    "LAST_RANK",
    "Crops",
    "ReidCurve",
    "band_image",
    "best_probes",
    "in_the_dark",
    "object_crops",
    "rank_in_flights",
    "score_crops",
    "score_ranks",
]

LAST_RANK = 20
RANKS = (1, 5, 10, 15, 20)
"""Ranks of table 2."""

LEAST_SIDE = 8
"""Pixels of the shorter side of a box that can be a probe."""

Crops = Sequence[tuple[int, int]]
"""Objects as (row of the frame, number of its box)."""

Describe = Callable[[Scenes, Crops, str], np.ndarray]


@dataclass(frozen=True)
class ReidCurve:
    """What the queries scored.

    Attributes:
        ranks: of each query's nearest right item, 0 where dropped.
        curve: CMC of ranks 1 to 20, percent.
        nauc: over those ranks, percent, with its bootstrap interval over queries.
        nauc_ci95: likewise.
        n_gallery: boxes that a query is compared with, on average.
    """

    ranks: Ranks
    curve: np.ndarray
    nauc: float
    nauc_ci95: tuple[float, float]
    n_gallery: float

    @property
    def areas(self) -> np.ndarray:
        """Each probe's own nAUC, percent, float64; their mean is that of all."""
        return np.array([nauc((np.arange(1, LAST_RANK + 1) >= rank) * 100.0) for rank in self.ranks.kept])

    def to_dict(self) -> dict[str, Any]:
        """Return a plain mapping."""
        return {
            "protocol": "other-frames",
            "cmc": {str(n): float(self.curve[n - 1]) for n in RANKS},
            "curve": [round(float(value), 4) for value in self.curve],
            "nauc": self.nauc,
            "nauc_ci95": list(self.nauc_ci95),
            "n_queries": self.ranks.n_queries,
            "n_dropped": self.ranks.n_dropped,
            "n_gallery": self.n_gallery,
        }


def score_ranks(ranks: Ranks, n_gallery: float, seed: int = 0) -> ReidCurve:
    """Score ranks by CMC and nAUC.

    Raises:
        CrossbandError: no query counts.
    """
    curve = cmc(ranks, LAST_RANK)
    found = ReidCurve(ranks, curve, nauc(curve), (math.nan, math.nan), n_gallery)
    # the area is a mean over queries, so queries can be drawn again
    return replace(found, nauc_ci95=bootstrap_interval(found.areas / 100, seed=seed))


def in_the_dark(scenes: Scenes) -> list[bool]:
    """Tell which frames were taken by night, where color shows nothing; none where nobody says."""
    if not scenes.frames.has("condition"):
        return [False] * len(scenes)
    return scenes.frames.table["condition"].eq("night").fillna(False).astype(bool).tolist()


def best_probes(scenes: Scenes) -> list[tuple[int, int]]:
    """Choose the frame that shows each object of each daytime flight largest, where two frames do."""
    table, dark = scenes.frames.table, in_the_dark(scenes)
    seen: dict[tuple[str, int], list[tuple[float, int, int]]] = {}
    for row, boxes in enumerate(scenes.boxes):
        if dark[row]:
            continue
        for number, box in enumerate(boxes):
            key = table["sequence"].iloc[row], int(box[5])
            seen.setdefault(key, []).append((float(np.prod(sides_of(box))), row, number))
    probes = []
    for places in seen.values():
        _, row, number = max(places, key=lambda place: (place[0], -place[1]))
        if len(places) > 1 and min(sides_of(scenes.boxes[row][number])) >= LEAST_SIDE:
            probes.append((row, number))
    return sorted(probes)


def rank_in_flights(
    scenes: Scenes, probes: Crops, distances: Callable[[str, Crops, Crops], np.ndarray]
) -> tuple[Ranks, float]:
    """Rank each probe's object among the thermal boxes of its flight.

    Args:
        scenes: the frames.
        probes: the queries.
        distances: flight, queries of it, gallery of it -> ``(n, m)``.

    Returns:
        the ranks in the order of ``probes``, and the mean size of a gallery.

    Raises:
        CrossbandError: no probe.
    """
    if not len(probes):
        raise CrossbandError("no object appears in two daytime frames of a flight, so there is no probe")
    flights = scenes.frames.table["sequence"].to_numpy()
    ranks, sizes = np.zeros(len(probes), np.int64), []
    for flight in dict.fromkeys(flights[row] for row, _ in probes):
        mine = [i for i, (row, _) in enumerate(probes) if flights[row] == flight]
        gallery = [
            (int(row), number)
            for row in np.flatnonzero(flights == flight)
            for number in range(len(scenes.boxes[row]))
        ]
        block = distances(flight, [probes[i] for i in mine], gallery)
        rows = np.array([row for row, _ in gallery])
        identity = np.array([int(scenes.boxes[row][number][5]) for row, number in gallery])
        for line, i in zip(block, mine, strict=True):
            row, number = probes[i]
            others = rows != row
            right = PositiveMask(scenes.boxes[row][number : number + 1, 5].astype(int), identity[others], None)
            ranks[i] = rank_positives([(0, line[None, others])], right).ranks[0]
            sizes.append(int(others.sum()))
    return Ranks(ranks), float(np.mean(sizes))


def object_crops(scenes: Scenes, where: Crops, band: str, size: int, margin: float = MARGIN) -> torch.Tensor:
    """Crop objects, float32 ``(n, 3, size, size)`` in [0, 1].

    Thermal crops have the ambient temperature at 0.5.
    """
    found = [
        crop_around(band_image(scenes, row, band), scenes.boxes[row][number], size, margin)
        for row, number in where
    ]
    return torch.stack(found)


def band_image(scenes: Scenes, row: int, band: str) -> torch.Tensor:
    """Return what crops are taken of, ``(3, H, W)`` in [0, 1]: ``rgb``, or ``tir`` with its median at 0.5."""
    return scenes.color(row) if band == "rgb" else thermal_scaled(scenes.thermal(row))


def score_crops(scenes: Scenes, describe: Describe) -> ReidCurve:
    """Score vectors of crops: color probes among the thermal boxes of their flight.

    Args:
        scenes: the frames.
        describe: frames, objects, band (``rgb`` or ``tir``) -> vectors ``(n, D)``.
    """

    def distances(flight: str, queries: Crops, gallery: Crops) -> np.ndarray:
        asked, seen = (
            torch.from_numpy(describe(scenes, where, band)).double()
            for where, band in ((queries, "rgb"), (gallery, "tir"))
        )
        return torch.cdist(asked, seen, compute_mode="donot_use_mm_for_euclid_dist").numpy()

    return score_ranks(*rank_in_flights(scenes, best_probes(scenes), distances))
