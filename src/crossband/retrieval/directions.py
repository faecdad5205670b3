"""A query band, a gallery band, and the vectors on the two sides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..frames import Frames
from ..metrics import CentroidCondition, Protocol, Ranks, compare_centroids, rank_positives, recall_at
from ..progress import note
from .descriptor.descriptor import FinishedRows
from .embed import Embedding
from .hubs import Lifted, without_hubs
from .search import cka_of_rows, distance_blocks, exact_search

__all__ = ["Direction", "Example", "Sides", "directions"]


@dataclass(frozen=True)
class Direction:
    """A query band and a gallery band."""

    query: Band
    gallery: Band

    def __str__(self) -> str:
        return f"{self.query.value} -> {self.gallery.value}"

    @property
    def later(self) -> Band:
        """The later of the two bands in the order rgb, nir, tir."""
        return max(self.query, self.gallery, key=list(Band).index)


def directions(frames: Frames, query: str, gallery: str, protocol: Protocol) -> list[Direction]:
    """Return the directions of a query and a gallery choice, checked against the frames.

    Raises:
        CrossbandError: a band that is not there, one frame only, no frame with two bands, or a direction
            that would only find itself.
    """
    have = frames.bands
    if not have:
        raise CrossbandError("these frames have no images")
    choices = [list(have) if name == "all" else [parse_band(name)] for name in (query, gallery)]
    for band in {band for choice in choices for band in choice}:
        frames.paths(band)
    ways = [
        Direction(q, g) for q in choices[0] for g in choices[1] if q is not g or (query == gallery != "all")
    ]
    if not ways:
        raise CrossbandError(f"these frames have only the band {have[0].value}; a benchmark needs two")
    for way in ways:
        protocol.check(frames, way.query is way.gallery)
    both = frames.table[[band.value for band in {ways[0].query, ways[0].gallery}]].notna().all(axis=1).sum()
    if len(frames) < 2 or (protocol.name == "exact" and both < 2):
        raise CrossbandError(f"{both} frame has both bands; a benchmark needs at least two")
    return ways


@dataclass(frozen=True)
class Example:
    """A query and what was found for it, nearest first.

    Attributes:
        query: the query's frame; ``rank`` of its nearest right item.
        found: the gallery frames, each with its distance and whether it is right.
    """

    query: str
    rank: int
    found: list[tuple[str, float, bool]]


@dataclass(frozen=True)
class RouteMatches:
    """What queries with positions found first.

    Attributes:
        queries: the frames asked for.
        gallery: the frames searched.
        rows: int ``(n,)``, the gallery row found first for each query; -1 where there is none.
        threshold: meters within which a match is right.
    """

    queries: Frames
    gallery: Frames
    rows: np.ndarray
    threshold: float


@dataclass(frozen=True)
class Sides:
    """The two sides of one direction: final vectors and the frames they belong to."""

    queries: FinishedRows | Lifted
    query_frames: Frames
    gallery: FinishedRows | Lifted
    gallery_frames: Frames
    same_band: bool

    @classmethod
    def of(
        cls,
        plain: Embedding,
        way: Direction,
        moved: Embedding | None = None,
        moved_band: Band | None = None,
        own_means: bool = True,
    ) -> Sides:
        """Make the sides of a direction; the vectors of ``moved_band`` come from ``moved``.

        Bands are centered by their own means, or by those that came with a fitted descriptor.
        """
        source = {
            band: moved if moved is not None and band is moved_band else plain
            for band in (way.query, way.gallery)
        }
        means = None
        if plain.descriptor.center and own_means:
            means = {band: source[band].bands[band].mean() for band in source}
        finish = plain.descriptor.finish(means)
        parts = []
        for band, split in ((way.query, "query"), (way.gallery, "gallery")):
            part = source[band].bands[band]
            chosen = _of_split(plain.frames, part.positions, split)
            rows = FinishedRows(part.pooled.subset(chosen), finish, band)
            parts.append((rows, plain.frames.select(part.positions[chosen])))
        return cls(*parts[0], *parts[1], way.query is way.gallery)

    def ranks(self, rule: Protocol, max_memory: int) -> Ranks:
        """Rank each query's nearest positive in bounded memory."""
        positives = rule.positives(self.query_frames, self.gallery_frames)
        blocks = distance_blocks(self.queries, self.gallery, max_memory)
        return rank_positives(blocks, positives, self.itself())

    def nearest(self, max_memory: int) -> np.ndarray:
        """Return the gallery row found first for each query, int ``(n,)``; its own image does not count."""
        _, rows = exact_search(self.queries, self.gallery, 1 + int(self.same_band), max_memory)
        own = self.itself()
        return rows[:, 0] if own is None else np.where(rows[:, 0] == own, rows[:, -1], rows[:, 0])

    def without_hubs(self, max_memory: int) -> Sides:
        """Return sides among which distances order as CSLS does; the queries stand for all queries."""
        queries, gallery = without_hubs(self.queries, self.gallery, max_memory=max_memory)
        return replace(self, queries=queries, gallery=gallery)

    def distances(self, max_memory: int) -> np.ndarray:
        """Return all distances, float32 ``(n, m)``; a query's own image is as far as the farthest."""
        whole = np.empty((self.queries.shape[0], self.gallery.shape[0]), np.float32)
        for start, squared in distance_blocks(self.queries, self.gallery, max_memory):
            whole[start : start + len(squared)] = np.sqrt(squared)
        own = self.itself()
        if own is not None and whole.size:
            rows = np.flatnonzero(own >= 0)
            whole[rows, own[rows]] = whole.max()
        return whole

    def itself(self) -> np.ndarray | None:
        """Return the gallery row that is each query's own image, int ``(n,)``, -1 where there is none.

        ``None`` where the bands differ.
        """
        if not self.same_band:
            return None
        where = {name: row for row, name in enumerate(self.gallery_frames.names)}
        return np.array([where.get(name, -1) for name in self.query_frames.names])

    def examples(
        self,
        ranks: Ranks,
        rule: Protocol,
        max_memory: int,
        each: int = 2,
        k: int = 5,
        listed: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> list[Example]:
        """Return the worst queries, and some that succeed, with the ``k`` best items of each.

        The nearest, or those of the lists of distances and gallery rows ``(n, k)`` that are given.
        """
        order = np.argsort(-ranks.ranks, kind="stable")
        wrong = [row for row in order[:each] if ranks.ranks[row] > 1]
        right = np.flatnonzero(ranks.ranks == 1)
        right = right[np.linspace(0, len(right) - 1, min(2 * each - len(wrong), len(right))).astype(int)]
        chosen = np.array([*right, *wrong], int)
        keep_self = k + int(self.same_band)
        if listed is None:
            listed = exact_search(self.queries.subset(chosen), self.gallery, keep_self, max_memory)
        else:
            listed = listed[0][chosen], listed[1][chosen]
        positives = rule.positives(self.query_frames, self.gallery_frames)
        names, examples = self.gallery_frames.names, []
        for row, near, columns in zip(chosen, *listed, strict=True):
            query = self.query_frames.names[row]
            is_right = positives.block(row, row + 1)[0]
            items = [(names[c], float(d), bool(is_right[c])) for d, c in zip(near, columns, strict=True)]
            items = [item for item in items if not (self.same_band and item[0] == query)][:k]
            examples.append(Example(query, int(ranks.ranks[row]), items))
        return examples

    def cka(self, max_memory: int) -> float | None:
        """Compute CKA over the frames that are on both sides.

        ``None`` for one band, fewer than two frames, or a side whose vectors are all the same.
        """
        where = {name: row for row, name in enumerate(self.gallery_frames.names)}
        pairs = [(row, where[name]) for row, name in enumerate(self.query_frames.names) if name in where]
        if self.same_band or len(pairs) < 2:
            return None
        mine, theirs = np.array(pairs).T
        try:
            return cka_of_rows(self.queries.subset(mine), self.gallery.subset(theirs), max_memory)
        except CrossbandError as error:
            note(str(error))
            return None

    def recall_by_condition(self, ranks: Ranks) -> dict[str, float] | None:
        """Compute R@1 of the queries of each condition, in percent.

        ``None`` where the frames name fewer than two.
        """
        if not self.query_frames.has("condition"):
            return None
        conditions = self.query_frames.table["condition"]
        found = {}
        for condition in conditions.dropna().unique():
            mine = Ranks(ranks.ranks[(conditions == condition).fillna(False).to_numpy(bool)])
            if mine.n_queries:
                found[str(condition)] = recall_at(mine, 1)
        return found if len(found) > 1 else None

    def centroid(self) -> dict[str, object] | None:
        """Compute the centroid condition, where the frames name at least two places."""
        found = self.centroid_distances()
        return None if found is None else {"score": found.score, "places": len(found.places)}

    def centroid_distances(self) -> CentroidCondition | None:
        """Compute the distances of places' centroids, where the frames name at least two places."""
        if self.same_band or not (self.query_frames.has("place") and self.gallery_frames.has("place")):
            return None
        mine, theirs = (
            _centroids(rows, frames)
            for rows, frames in ((self.queries, self.query_frames), (self.gallery, self.gallery_frames))
        )
        places = sorted(set(mine) & set(theirs))
        if len(places) < 2:
            return None
        return compare_centroids(
            np.stack([mine[place] for place in places]), np.stack([theirs[place] for place in places]), places
        )


def _of_split(frames: Frames, positions: np.ndarray, split: str) -> np.ndarray:
    """Which of some rows serve as query or as gallery: those of the split, or all without both splits."""
    splits = frames.table["split"] if "split" in frames.table else pd.Series(dtype=str)
    if not {"query", "gallery"} <= set(splits.dropna()):
        return np.arange(len(positions))
    return np.flatnonzero((splits == split).fillna(False).to_numpy(bool)[positions])


def _centroids(rows: FinishedRows | Lifted, frames: Frames) -> dict[str, np.ndarray]:
    """The mean of each place's vectors, read in bounded memory."""
    places = frames.table["place"]
    sums: dict[str, np.ndarray] = {}
    for start in range(0, len(frames), 64):
        vectors = rows.rows(start, min(start + 64, len(frames)))
        for place, vector in zip(places.iloc[start : start + 64], vectors, strict=True):
            if not pd.isna(place):
                sums[place] = sums.get(place, 0) + vector.astype(np.float64)
    counts = places.value_counts()
    return {place: total / counts[place] for place, total in sums.items()}
