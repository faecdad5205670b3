"""Re-identification from one pass: every query band against every gallery band, missing bands, challenges.

A frame's vector is the sum of its streams' features (Li et al., AAAI 2020, "we sum up the features from each
stream"), brought to unit length. So any set of bands at the query and any at the gallery can be compared
without describing an image twice: all against all is the paper's figure, all against all but one shows what a
missing band costs, one against another is cross-spectral.

Streams that share nothing need not lie alike in their feature spaces, but their class scores speak of the
same identities. So every pair is also compared by scores, each stream's centered over the classes (a softmax
does not see their mean), summed, and brought to unit length.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import CrossbandError
from ..frames import Frames
from ..metrics.reid import ReidLabels, ReidScores, reid_labels, score_reid
from ..metrics.resampling import cluster_interval
from ..results import Result
from ..retrieval.descriptor_cache import ArrayRows
from ..retrieval.search import distance_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BandPair", "FrameVectors", "ReidEvaluation", "band_sets", "evaluate_bands", "fuse", "tags_of"]

_BLOCK_MEMORY = 256 << 20


Blocks = Callable[[np.ndarray, np.ndarray], Iterable[tuple[int, np.ndarray]]]


def _euclidean(queries: np.ndarray, gallery: np.ndarray) -> Iterable[tuple[int, np.ndarray]]:
    return distance_blocks(ArrayRows(queries), ArrayRows(gallery), _BLOCK_MEMORY)


DESCRIPTORS = ("features", "scores")


@dataclass(frozen=True)
class FrameVectors:
    """What a network of streams says of ``n`` frames in ``m`` bands.

    Attributes:
        features: float32 ``(n, m, d)``.
        scores: of the C identities trained on, float32 ``(n, m, C)``.
        weights: how much each band counts in the fused map of equation (11), at the class that map says,
            float32 ``(n, m)``; equal for streams without maps.
        present: which frame has which band, boolean ``(n, m)``.
    """

    features: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    present: np.ndarray

    def compared(self, descriptor: str) -> np.ndarray:
        """Return what is compared, ``(n, m, d)``: features, or scores less each band's mean over identities."""
        if descriptor == "features":
            return self.features
        return self.scores - self.scores.mean(-1, keepdims=True)


def fuse(values: np.ndarray, present: np.ndarray, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Sum what a frame has over some bands, at unit length, float32 ``(n, d)``.

    The second result says which frames have any of these bands, boolean ``(n,)``.

    Example:
        >>> values = np.array([[[3.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]], np.float32)
        >>> fuse(values, np.array([[True, True], [True, False]]), [0, 1])[0].tolist()
        [[0.6000000238418579, 0.800000011920929], [1.0, 0.0]]
    """
    chosen = list(columns)
    there = present[:, chosen]
    summed = (values[:, chosen] * there[..., None]).sum(1, dtype=np.float32)
    norms = np.linalg.norm(summed, axis=1, keepdims=True)
    return summed / np.maximum(norms, np.finfo(np.float32).tiny), np.asarray(there.any(1))


def band_sets(bands: Sequence[str]) -> list[tuple[int, ...]]:
    """Return every set of bands that is not empty, the small ones first, as positions.

    Example:
        >>> band_sets(["rgb", "tir"])
        [(0,), (1,), (0, 1)]
    """
    return [
        chosen
        for size in range(1, len(bands) + 1)
        for chosen in itertools.combinations(range(len(bands)), size)
    ]


@dataclass(frozen=True)
class BandPair:
    """Queries in some bands against a gallery in some bands.

    Attributes:
        query: the bands of queries, as in ``rgb+tir``; ``gallery`` likewise.
        descriptor: ``features`` or ``scores``.
        scores: of all queries, one that has none of the bands among the dropped.
        n_without_band: queries that have none of the bands.
        n_gallery_without_band: gallery items likewise; they are taken out.
    """

    query: str
    gallery: str
    descriptor: str
    scores: ReidScores
    n_without_band: int
    n_gallery_without_band: int

    def to_dict(self, ranks: Iterable[int] = (1, 5, 10)) -> dict[str, Any]:
        """Return bands, figures in percent, and counts; figures are ``None`` where no query counts."""
        said = {"query": self.query, "gallery": self.gallery, "descriptor": self.descriptor}
        missing = {
            "n_queries_without_band": self.n_without_band,
            "n_gallery_without_band": self.n_gallery_without_band,
        }
        if not self.scores.n_queries:
            return {**said, "mAP": None, "mINP": None, "rank": {}, **self.scores.counts(), **missing}
        return {**said, **self.scores.to_dict(ranks), **missing}


@dataclass(frozen=True, repr=False)
class ReidEvaluation(Result):
    """Everything measured from one pass over queries and gallery.

    Attributes:
        bands: the network's.
        pairs: every set of bands against every other, by features and then by scores.
        headline: the pair that the recipe asks for; its position in ``pairs``.
        labels: of the queries.
        tags: the challenges of each query.
        weights: challenge -> mean fusion weight of each band, over query and gallery frames.
        names: of the queries' frames.
    """

    bands: tuple[str, ...]
    pairs: list[BandPair]
    headline: int
    labels: ReidLabels
    tags: list[frozenset[str]]
    weights: dict[str, dict[str, float]]
    names: list[str]

    @property
    def scores(self) -> ReidScores:
        """The scores of the headline pair."""
        return self.pairs[self.headline].scores

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each pair of bands: what is compared, its scores in percent, and counts."""
        rows = [pair.to_dict() for pair in self.pairs]
        ranks = [{f"R@{k}": value for k, value in row.pop("rank").items()} for row in rows]
        return pd.DataFrame([{**row, **rank} for row, rank in zip(rows, ranks, strict=True)])

    def plot(self) -> Figure:
        """Draw mAP of every set of bands against every other, as the headline pair compares them."""
        from ..reports.result_plots import plot_grid

        table = self.to_pandas()
        mine = table[table["descriptor"] == self.pairs[self.headline].descriptor]
        return plot_grid(mine, "query", "gallery", "mAP", "mAP, %")

    def interval(self, pair: BandPair, what: str = "ap") -> tuple[float, float]:
        """Compute the 95 % interval, in percent, of a mean over queries by drawing whole identities.

        The mean is of ``ap`` or ``inp``.
        """
        kept = pair.scores.kept
        return cluster_interval(getattr(pair.scores, what)[kept], self.labels.identity[kept])

    def challenges(self) -> dict[str, dict[str, Any]]:
        """Return the scores by challenge.

        Challenge -> queries that count, and mAP and rank 1 of the headline pair and of every single band
        against itself; ``none`` is queries without any challenge.
        """
        shown = {
            pair.query: pair.scores
            for place, pair in enumerate(self.pairs)
            if pair.descriptor == self.pairs[self.headline].descriptor
            and (place == self.headline or (pair.query == pair.gallery and pair.query in self.bands))
        }
        found: dict[str, dict[str, Any]] = {}
        for tag in _challenges(self.tags):
            mask = np.array([_has(tags, tag) for tags in self.tags])
            parts = {query: scores.select(mask) for query, scores in shown.items()}
            found[tag] = {
                "n_queries": self.scores.select(mask).n_queries,
                "mAP": {q: s.mean_ap for q, s in parts.items() if s.n_queries},
                "rank1": {q: s.rank(1) for q, s in parts.items() if s.n_queries},
            }
        return found

    def _by_tag(self, pair: BandPair) -> dict[str, float]:
        """mAP of the queries with each challenge."""
        found = {}
        for tag in _challenges(self.tags) if any(self.tags) else ():
            part = pair.scores.select(np.array([_has(tags, tag) for tags in self.tags]))
            if part.n_queries:
                found[tag] = part.mean_ap
        return found

    def to_dict(self, ranks: Iterable[int] = (1, 5, 10)) -> dict[str, Any]:
        """Return all of it as JSON holds it; average precisions of the headline pair query by query."""
        headline, chosen = self.pairs[self.headline], list(ranks)
        single = headline.to_dict(chosen)
        some = bool(headline.scores.n_queries)
        ap = headline.scores.ap
        return {
            **single,
            "mAP_ci95": list(self.interval(headline)) if some else None,
            "cmc": [round(value, 4) for value in headline.scores.cmc()[:50]] if some else [],
            "pairs": [{**pair.to_dict(chosen), "challenges": self._by_tag(pair)} for pair in self.pairs],
            "challenges": self.challenges() if any(self.tags) else {},
            "fusion_weights": self.weights,
            "queries": {
                "frame": self.names,
                "identity": self.labels.identity.tolist(),
                "tags": [" ".join(sorted(tags)) for tags in self.tags],
                "ap": [None if np.isnan(value) else round(float(value), 6) for value in ap],
            },
        }


def evaluate_bands(
    bands: Sequence[str],
    queries: FrameVectors,
    gallery: FrameVectors,
    query_frames: Frames,
    gallery_frames: Frames,
    protocol: str,
    headline: tuple[Sequence[str], Sequence[str]] | None = None,
    descriptor: str = "features",
) -> ReidEvaluation:
    """Measure every set of bands against every other.

    Args:
        bands: the network's, in the order of the vectors.
        queries: of the query frames; ``gallery`` likewise.
        query_frames: with ``identity`` and what the protocol needs; ``tags`` are read where they are there.
        gallery_frames: likewise.
        protocol: of :data:`crossband.metrics.reid.REID_PROTOCOLS`.
        headline: the bands of queries and gallery that the first figures are of; all by default.
        descriptor: ``features`` or ``scores``, likewise.

    Raises:
        CrossbandError: an unknown protocol, or a column it needs is not there.
    """
    names = tuple(bands)
    labels = reid_labels(query_frames, gallery_frames, protocol)
    sets = band_sets(names)
    pairs = [
        _pair(names, q, g, by, queries, gallery, labels, protocol)
        for by in DESCRIPTORS
        for q in sets
        for g in sets
    ]
    wanted = headline or (names, names)
    asked = [tuple(sorted(names.index(band) for band in part)) for part in wanted]
    place = (DESCRIPTORS.index(descriptor) * len(sets) + sets.index(asked[0])) * len(sets) + sets.index(
        asked[1]
    )
    tags = tags_of(query_frames)
    return ReidEvaluation(
        names,
        pairs,
        place,
        labels[0],
        tags,
        _mean_weights(names, [(queries, tags), (gallery, tags_of(gallery_frames))]),
        query_frames.names,
    )


def score_sets(
    queries: FrameVectors,
    gallery: FrameVectors,
    columns: tuple[Sequence[int], Sequence[int]],
    labels: tuple[ReidLabels, ReidLabels],
    protocol: str,
    descriptor: str = "features",
    blocks: Blocks = _euclidean,
) -> tuple[ReidScores, int, int]:
    """Score queries in some bands against a gallery in some bands, and count those that have none.

    A query without its bands is given no identity, so it is dropped and counted with those that have no right
    item; a gallery item without its bands is taken out.

    Args:
        queries: of the query frames; ``gallery`` likewise.
        columns: the bands of queries and of the gallery, as positions.
        labels: of queries and gallery.
        protocol: of :data:`crossband.metrics.reid.REID_PROTOCOLS`.
        descriptor: ``features`` or ``scores``.
        blocks: vectors of queries and gallery -> their distances per block at a time, as
            :func:`crossband.reid.k_reciprocal.rerank_blocks`.

    Raises:
        CrossbandError: no gallery frames have any of the requested bands.
    """
    vectors, usable = zip(
        *(
            fuse(part.compared(descriptor), part.present, chosen)
            for part, chosen in zip((queries, gallery), columns, strict=True)
        ),
        strict=True,
    )
    if not usable[1].any():
        raise CrossbandError("no gallery frames have any of the requested bands; check the manifest's columns")
    known = labels[0]
    asked = ReidLabels(np.where(usable[0], known.identity, -1), known.camera, known.scene, known.frame)
    found = blocks(vectors[0], vectors[1][usable[1]])
    scores = score_reid(found, asked, labels[1].take(usable[1]), protocol)
    return scores, int((~usable[0]).sum()), int((~usable[1]).sum())


def tags_of(frames: Frames) -> list[frozenset[str]]:
    """Return the challenges of each frame, from the column ``tags``, which names them with blanks between."""
    if not frames.has("tags"):
        return [frozenset()] * len(frames)
    return [frozenset(str(value).split()) for value in frames.table["tags"].fillna("")]


def _pair(
    names: tuple[str, ...],
    q: tuple[int, ...],
    g: tuple[int, ...],
    descriptor: str,
    queries: FrameVectors,
    gallery: FrameVectors,
    labels: tuple[ReidLabels, ReidLabels],
    protocol: str,
) -> BandPair:
    found = score_sets(queries, gallery, (q, g), labels, protocol, descriptor)
    said = ["+".join(names[column] for column in part) for part in (q, g)]
    return BandPair(said[0], said[1], descriptor, *found)


def _challenges(tags: Iterable[frozenset[str]]) -> list[str]:
    return [*sorted(frozenset().union(*tags)), "none"]


def _has(tags: frozenset[str], tag: str) -> bool:
    return tag in tags or (tag == "none" and not tags)


def _mean_weights(
    bands: tuple[str, ...], parts: list[tuple[FrameVectors, list[frozenset[str]]]]
) -> dict[str, dict[str, float]]:
    weights = np.concatenate([vectors.weights for vectors, _ in parts])
    tags = [one for _, tagged in parts for one in tagged]
    rows = {"all": np.ones(len(tags), bool)}
    if any(tags):
        rows |= {tag: np.array([_has(one, tag) for one in tags]) for tag in _challenges(tags)}
    return {
        tag: dict(zip(bands, map(float, weights[mask].mean(0)), strict=True))
        for tag, mask in rows.items()
        if mask.any()
    }
