"""Re-identification: CMC, mAP and mINP, by named protocols that say which gallery items do not count.

================  =============================================================================================
``same-camera``   a query's own identity in its own camera does not count (Zheng et al., Market-1501, ICCV
                  2015); the public evaluation of RGBN300 and RGBNT100 does the same
``rgbnt100``      that, and the query's own frame: in RGBN300 and RGBNT100 queries are picked from the gallery
                  (Li et al., AAAI 2020), so each is there a second time
``same-scene``    a query's own identity in its own scene does not count (MSVR310)
``own-frame``     only the query's own frame does not count
``all``           everything counts
================  =============================================================================================

In all of them right is what has the query's identity, and a query with nothing right left to find is dropped
and counted. A gallery item without an identity is never right; it can only be in the way. An item without a
camera, or a scene, shares it with nobody.

A tie counts against the model: of items equally far, the wrong ones come first. So with ``N_i`` the wrong items
not farther than the i-th nearest right one of ``P``, average precision is the mean of ``i / (i + N_i)``, the
first rank ``1 + N_1``, and the inverse negative penalty ``P / (P + N_P)`` (Ye et al., "Deep Learning for Person
Re-identification", TPAMI 2022). AP is not interpolated. Nothing is sorted but the rows of a block where that is
quicker than counting, and no more of the distance matrix exists than a block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CrossbandError, unknown_name
from ..frames import Frames

__all__ = ["REID_PROTOCOLS", "ReidLabels", "ReidScores", "reid_labels", "score_reid"]

REID_PROTOCOLS = {
    "same-camera": "the query's identity in its own camera",
    "rgbnt100": "the query's identity in its own camera, and its own frame",
    "same-scene": "the query's identity in its own scene",
    "own-frame": "the query's own frame",
    "all": "nothing",
}
_SORTED_FROM = 24  # thresholds a row from which sorting it is quicker than counting once for each


@dataclass(frozen=True)
class ReidLabels:
    """What is known of some frames, as numbers shared with those they are compared with; -1 is not known.

    Attributes:
        identity: int64 ``(n,)``; ``camera``, ``scene`` and ``frame`` likewise.
    """

    identity: np.ndarray
    camera: np.ndarray
    scene: np.ndarray
    frame: np.ndarray

    def __len__(self) -> int:
        return len(self.identity)

    def take(self, rows: np.ndarray) -> ReidLabels:
        """Return some of them, by position or boolean mask."""
        return ReidLabels(self.identity[rows], self.camera[rows], self.scene[rows], self.frame[rows])


def reid_labels(queries: Frames, gallery: Frames, protocol: str) -> tuple[ReidLabels, ReidLabels]:
    """Make the labels of queries and gallery from ``identity``, ``camera``, ``scene`` and ``frame``.

    Where both have a column ``image``, that says which frames are the same, not ``frame``: a copy of a gallery
    image in a query folder has another name.

    Raises:
        CrossbandError: an unknown protocol, or one that needs a column these frames lack.
    """
    if protocol not in REID_PROTOCOLS:
        raise unknown_name("protocol", protocol, REID_PROTOCOLS)
    needed = {"same-camera": "camera", "rgbnt100": "camera", "same-scene": "scene"}.get(protocol)
    for column in ("identity", *([needed] if needed else [])):
        if not (queries.has(column) and gallery.has(column)):
            raise CrossbandError(f"protocol {protocol} needs the column {column!r}, which these frames lack")
    image = "image" if queries.has("image") and gallery.has("image") else "frame"
    found: list[list[np.ndarray]] = [[], []]
    for column in ("identity", "camera", "scene", image):
        codes: dict[str, int] = {}
        for part, frames in zip(found, (queries, gallery), strict=True):
            part.append(_codes(frames, column, codes))
    return ReidLabels(*found[0]), ReidLabels(*found[1])


@dataclass(frozen=True)
class ReidScores:
    """What the queries scored.

    Attributes:
        protocol: its name.
        first: int64 ``(n,)``, the rank of each query's nearest right item, 1 is best; 0 where dropped.
        ap: float64 ``(n,)`` in [0, 1], average precision; not a number where dropped.
        inp: float64 ``(n,)`` in [0, 1], the inverse negative penalty; likewise.
        n_gallery: gallery items.
        n_junk: (query, gallery item) pairs that the protocol leaves out.
        n_without_positive: queries whose identity is not in the gallery.
        n_only_junk: queries all of whose right items the protocol leaves out: one camera, say.
    """

    protocol: str
    first: np.ndarray
    ap: np.ndarray
    inp: np.ndarray
    n_gallery: int
    n_junk: int
    n_without_positive: int
    n_only_junk: int

    @property
    def kept(self) -> np.ndarray:
        """Which queries count, boolean ``(n,)``."""
        return self.first > 0

    @property
    def n_queries(self) -> int:
        """How many queries count."""
        return int(np.count_nonzero(self.kept))

    @property
    def mean_ap(self) -> float:
        """Mean average precision, percent."""
        return 100 * float(self.ap[self._some()].mean())

    @property
    def mean_inp(self) -> float:
        """Mean inverse negative penalty, percent."""
        return 100 * float(self.inp[self._some()].mean())

    def rank(self, k: int) -> float:
        """Return the share of queries with a right item among the first ``k``, percent.

        Of a gallery smaller than ``k``, among all of it.
        """
        return 100 * float(np.mean(self.first[self._some()] <= k))

    def cmc(self) -> np.ndarray:
        """Return the whole curve, rank 1 to the size of the gallery, percent, float64 ``(n_gallery,)``."""
        counts = np.bincount(self.first[self._some()], minlength=self.n_gallery + 1)
        return 100 * np.cumsum(counts)[1:] / self.n_queries

    def select(self, queries: np.ndarray) -> ReidScores:
        """Return the same of some queries, by position or boolean mask.

        The counts of what was dropped stay those of all.
        """
        return ReidScores(
            self.protocol,
            self.first[queries],
            self.ap[queries],
            self.inp[queries],
            self.n_gallery,
            self.n_junk,
            self.n_without_positive,
            self.n_only_junk,
        )

    def counts(self) -> dict[str, Any]:
        """Return what was kept and what was dropped."""
        return {
            "protocol": self.protocol,
            "drops": REID_PROTOCOLS[self.protocol],
            "n_queries": self.n_queries,
            "n_gallery": self.n_gallery,
            "n_without_positive": self.n_without_positive,
            "n_only_junk": self.n_only_junk,
            "n_junk_pairs": self.n_junk,
        }

    def to_dict(self, ranks: Iterable[int] = (1, 5, 10)) -> dict[str, Any]:
        """Return figures in percent, and what was kept and dropped."""
        return {
            "mAP": self.mean_ap,
            "mINP": self.mean_inp,
            "rank": {str(k): self.rank(k) for k in ranks},
            **self.counts(),
        }

    def _some(self) -> np.ndarray:
        kept = self.kept
        if not kept.any():
            raise CrossbandError(
                f"no query has its identity in the gallery under protocol {self.protocol}, which drops "
                f"{REID_PROTOCOLS[self.protocol]}; check the columns identity and camera"
            )
        return kept


def score_reid(
    blocks: Iterable[tuple[int, np.ndarray]], queries: ReidLabels, gallery: ReidLabels, protocol: str
) -> ReidScores:
    """Score queries by their distances to the gallery.

    Args:
        blocks: first query row and distances ``(queries in it, m)``, in any monotone measure, such as
            :func:`crossband.retrieval.search.distance_blocks` yields. What is not a number counts against the
            model: the nearest of the wrong items, the farthest of the right ones.
        queries: labels of all queries.
        gallery: labels of the ``m`` gallery items.
        protocol: of :data:`REID_PROTOCOLS`.

    Raises:
        CrossbandError: an unknown protocol.

    Example:
        >>> def labels(identity, camera):
        ...     codes = np.array(identity), np.array(camera)
        ...     return ReidLabels(*codes, np.full(len(identity), -1), np.full(len(identity), -1))
        >>> distances = np.array([[0.0, 0.1, 0.2, 0.3]])
        >>> asked, searched = labels([7], [0]), labels([7, 8, 7, 7], [0, 1, 1, 2])
        >>> scores = score_reid([(0, distances)], asked, searched, "same-camera")
        >>> scores.first.tolist(), round(scores.mean_ap, 2), round(scores.mean_inp, 2)
        ([2], 58.33, 66.67)
    """
    if protocol not in REID_PROTOCOLS:
        raise unknown_name("protocol", protocol, REID_PROTOCOLS)
    n = len(queries)
    first, ap, inp = np.zeros(n, np.int64), np.full(n, np.nan), np.full(n, np.nan)
    order = np.argsort(gallery.identity, kind="stable")
    sorted_identities = gallery.identity[order]
    low = np.searchsorted(sorted_identities, queries.identity, "left")
    high = np.searchsorted(sorted_identities, queries.identity, "right")
    high = np.where(queries.identity < 0, low, high)
    n_junk = 0
    buffer = np.empty(len(gallery), bool)
    for start, block in blocks:
        with np.errstate(invalid="ignore"):
            clean = np.isfinite(block.sum())  # one number tells of all of them whether any is none
        for row in range(len(block)):
            query = start + row
            same = order[low[query] : high[query]]
            junk = _junk(protocol, queries, query, gallery, same)
            n_junk += int(np.count_nonzero(junk))
            if len(same) and not junk.all():
                wrong = _wrong_before(block[row], same, junk, buffer, clean)
                right = np.arange(1, len(wrong) + 1)
                first[query] = 1 + wrong[0]
                ap[query] = np.mean(right / (right + wrong))
                inp[query] = len(wrong) / (len(wrong) + wrong[-1])
    absent = high == low
    return ReidScores(
        protocol, first, ap, inp, len(gallery), n_junk, int(absent.sum()), int((~absent & (first == 0)).sum())
    )


def _junk(protocol: str, queries: ReidLabels, query: int, gallery: ReidLabels, same: np.ndarray) -> np.ndarray:
    """Which of the gallery items of a query's identity do not count, boolean."""
    junk = np.zeros(len(same), bool)
    if protocol in ("same-camera", "rgbnt100") and queries.camera[query] >= 0:
        junk |= gallery.camera[same] == queries.camera[query]
    if protocol == "same-scene" and queries.scene[query] >= 0:
        junk |= gallery.scene[same] == queries.scene[query]
    if protocol in ("rgbnt100", "own-frame") and queries.frame[query] >= 0:
        junk |= gallery.frame[same] == queries.frame[query]
    return junk


def _wrong_before(
    row: np.ndarray, same: np.ndarray, junk: np.ndarray, buffer: np.ndarray, clean: bool
) -> np.ndarray:
    """How many wrong items are not farther than each right one, nearest first, int64."""
    if not clean:
        row = row.copy()
        mine = row[same]
        row[np.isnan(row)] = -np.inf
        row[same] = np.where(np.isnan(mine), np.inf, mine)
    distances = row[same]
    thresholds, others = np.sort(distances[~junk]), np.sort(distances[junk])
    if len(thresholds) < _SORTED_FROM:
        not_farther = np.array(
            [np.count_nonzero(np.less_equal(row, value, out=buffer)) for value in thresholds], np.int64
        )
    else:
        not_farther = np.searchsorted(np.sort(row), thresholds, "right")
    mine_too = np.searchsorted(thresholds, thresholds, "right")
    return not_farther - mine_too - np.searchsorted(others, thresholds, "right")


def _codes(frames: Frames, column: str, codes: dict[str, int]) -> np.ndarray:
    if not frames.has(column):
        return np.full(len(frames), -1)
    values = frames.table[column].astype(object)
    return np.array(
        [
            -1 if value is None else codes.setdefault(str(value), len(codes))
            for value in values.where(values.notna(), None)
        ],
        np.int64,
    )
