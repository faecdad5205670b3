"""Why does a model find what it finds? What lies behind one direction of a benchmark, model by model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from .. import __version__
from ..bands import Band
from ..errors import CrossbandError, unknown_name
from ..files import make_folder, write_file
from ..frames import Frames
from ..io import read_image
from ..metrics import CentroidCondition, Hubness, ModalityGap, Protocol, hubness, modality_gap, recall_at
from ..metrics.ranking import Ranks
from ..progress import note, says_once
from ..results import Result
from .benchmark import Benchmark, benchmark
from .descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    Descriptor,
    Finish,
    FinishedRows,
    Options,
    distinct,
)
from .descriptor_cache import Rows
from .directions import Direction, Example, Sides, directions
from .embed import Embedding, embed
from .projection import check_projection, principal_scores, project
from .rerank import DEFAULT_RERANK
from .search import DEFAULT_MEMORY, distance_blocks, exact_search
from .similarity_map import DEFAULT_MASKS, Masks, SimilarityMap, similarity_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report import LookUp

__all__ = ["DistanceCurve", "Explanation", "Heat", "ModelExplanation", "Plane", "explain"]

_MOST_POINTS = 1000  # descriptors per band in a projection


@dataclass(frozen=True)
class DistanceCurve:
    """The distances of one query to the whole gallery, in its order.

    Attributes:
        query: the query's frame; ``row`` its place among the queries.
        distances: float32 ``(m,)``.
        right: rows of the gallery that are right.
        rank: of the nearest right one.
    """

    query: str
    row: int
    distances: np.ndarray
    right: list[int]
    rank: int

    @property
    def found(self) -> int:
        """The row that is nearest."""
        return int(self.distances.argmin())


@dataclass(frozen=True)
class Plane:
    """Descriptors of both bands in the plane.

    Attributes:
        method: ``pca``, ``tsne`` or ``umap``.
        points: ``(n, 2)``.
        is_query: bool ``(n,)``: the band.
        places: the place of each point, ``""`` where the frames name none.
        frames: the frame of each.
    """

    method: str
    points: np.ndarray
    is_query: np.ndarray
    places: list[str]
    frames: list[str]


@dataclass(frozen=True)
class Heat:
    """The similarity maps of one query and one gallery image, figure 6 of the paper.

    Attributes:
        query: the query's frame; ``item`` the gallery's.
        right: whether it is right.
        on_query: what of the query brings it near to the item; ``on_item`` the reverse.
    """

    query: str
    item: str
    right: bool
    on_query: SimilarityMap
    on_item: SimilarityMap


@dataclass(frozen=True)
class ModelExplanation:
    """What lies behind one model's figures in one direction.

    Attributes:
        model: its name.
        query_band: where queries come from; ``gallery_band`` what is searched.
        recall_1: percent.
        curves: distance plots, of queries that fail first.
        worst: the queries whose right item stands furthest back, with what was found for them.
        planes: projections.
        gap: of the vectors without and with centering, and the R@1 of each in percent.
        hubs: of the first match; ``hub`` names the frame that answers most often.
        centroids: the places against each other, or ``None`` without places.
        heats: for each query its right item, and what was found first where that is another.
    """

    model: str
    query_band: str
    gallery_band: str
    recall_1: float
    curves: list[DistanceCurve]
    worst: list[Example]
    planes: list[Plane]
    gap: dict[str, tuple[ModalityGap, float]] | None
    hubs: Hubness
    hub: str
    centroids: CentroidCondition | None
    heats: list[Heat] = field(repr=False)

    def to_dict(self) -> dict[str, object]:
        """Return a plain mapping, without pictures."""
        return {
            "model": self.model,
            "query_band": self.query_band,
            "gallery_band": self.gallery_band,
            "recall_1": self.recall_1,
            "gap": None
            if self.gap is None
            else {name: {**gap.to_dict(), "recall_1": recall} for name, (gap, recall) in self.gap.items()},
            "hubness": {
                "k": self.hubs.k,
                "skewness": self.hubs.skewness,
                "antihubs": self.hubs.antihubs,
                "hub": self.hub,
                "hub_answers": int(self.hubs.counts.max()),
            },
            "worst": [asdict(example) for example in self.worst],
            "distances": [
                {
                    "query": c.query,
                    "rank": c.rank,
                    "found": c.found,
                    "right": c.right,
                    "values": np.round(c.distances.astype(float), 5).tolist(),
                }
                for c in self.curves
            ],
            "centroids": None
            if self.centroids is None
            else {
                "score": self.centroids.score,
                "places": list(self.centroids.places),
                "distances": self.centroids.distances.tolist(),
            },
            "planes": [
                {
                    "method": p.method,
                    "points": np.round(p.points, 4).tolist(),
                    "frames": p.frames,
                    "band": [self.query_band if q else self.gallery_band for q in p.is_query],
                }
                for p in self.planes
            ],
            "heat": [
                {
                    "query": h.query,
                    "item": h.item,
                    "right": h.right,
                    "distance": h.on_query.distance,
                    "peak_on_query": h.on_query.peak(),
                    "peak_on_item": h.on_item.peak(),
                }
                for h in self.heats
            ],
        }


@dataclass(frozen=True, repr=False)
class Explanation(Result):
    """What :func:`explain` gives: the figures, and what lies behind them."""

    result: Benchmark
    models: list[ModelExplanation]

    def to_dict(self) -> dict[str, object]:
        """Return the content of ``explanation.json``."""
        return {"crossband": __version__, "models": [model.to_dict() for model in self.models]}

    def to_pandas(self) -> pd.DataFrame:
        """One row a model: its recall, the gap between the bands with and without centering, and its hubs."""
        rows = []
        for model in self.models:
            gap = {f"R@1 {name}": recall for name, (_, recall) in (model.gap or {}).items()}
            rows.append(
                {
                    "model": model.model,
                    "query": model.query_band,
                    "gallery": model.gallery_band,
                    "R@1": model.recall_1,
                    **gap,
                    "hub": model.hub,
                    "hub_answers": int(model.hubs.counts.max()),
                    "hubness": model.hubs.skewness,
                }
            )
        return pd.DataFrame(rows)

    def plot(self) -> Figure:
        """Draw the first projection of the first model, both bands in one plane.

        Raises:
            CrossbandError: nothing was projected.
        """
        from .figures import plot_plane

        drawn = [(model, plane) for model in self.models for plane in model.planes]
        if not drawn:
            raise CrossbandError("nothing was projected; explain with projections", parameter="projections")
        model, plane = drawn[0]
        return plot_plane(plane, (model.query_band, model.gallery_band))

    def report(self, folder: str | Path, published: LookUp | None = None) -> Path:
        """Write ``explanation.json``, ``results.json`` and ``report.html`` into a folder; gives the page."""
        from .report import write_report

        out = self.write(folder)
        return write_report(self.result, self.result.frames, out, self, published)

    def write(self, out: str | Path) -> Path:
        """Write ``explanation.json`` and ``explanation.csv``; return the folder.

        A benchmark's own files in the folder stay.
        """
        out = make_folder(out)
        write_file(out / "explanation.csv", self.result.to_pandas().to_csv(index=False))
        models = [model.to_dict() for model in self.models]
        content = {"crossband": __version__, "benchmark": self.result.to_dict(), "models": models}
        write_file(out / "explanation.json", json.dumps(content) + "\n")
        return out


@says_once
def explain(
    frames: Frames,
    models: str | Descriptor | Sequence[str | Descriptor] = DEFAULT_DESCRIPTOR,
    query: str = "rgb",
    gallery: str = "tir",
    *,
    store: str | Path | None = None,
    queries: Sequence[str] | None = None,
    protocol: str = "exact",
    projections: Sequence[str] = ("tsne", "pca"),
    masks: Masks | None = DEFAULT_MASKS,
    each: int = 3,
    rerank: int = DEFAULT_RERANK,
    options: Options = DEFAULT_OPTIONS,
    max_memory: int = DEFAULT_MEMORY,
    workers: int | None = None,
) -> Explanation:
    """Benchmark models in one direction and explain the figures.

    Figures 3 to 6 and table 3 of Pendota and Channappayya, and what else tells why a query fails: the gap
    between the bands, hubs, the worst queries.

    Args:
        frames: as for :func:`crossband.retrieval.benchmark`.
        models: descriptors.
        query: a band; ``gallery`` another.
        store: the folder of the descriptor store.
        queries: frames to draw distance plots and similarity maps of; without them, the ``each`` on which the
            models disagree or fail most.
        protocol: what is right.
        projections: of ``pca``, ``tsne`` and ``umap``.
        masks: the windows of the similarity maps; ``None`` draws none.
        each: queries to draw where none are named.
        rerank: how many items of each list the table's figures compare once more; the plots are of the
            descriptor alone.
        options: how images are read and where weights lie.
        max_memory: bytes for distances and tiles.
        workers: threads.

    Raises:
        CrossbandError: as :func:`crossband.retrieval.benchmark`; one band twice, or a query that is not there.
    """
    rule = Protocol.parse(protocol)
    for method in projections:
        check_projection(method)
    ways = directions(frames, query, gallery, rule)
    if len(ways) != 1 or ways[0].query is ways[0].gallery:
        raise CrossbandError(
            "explain looks at one direction between two bands; give query rgb and gallery tir",
            parameter="query",
        )
    (way,) = ways
    for name in queries or ():
        if name not in frames.names:
            raise unknown_name("query", name, frames.names)
    result = benchmark(
        frames,
        models,
        query,
        gallery,
        store=store,
        protocol=protocol,
        misaligned=False,
        rerank=rerank,
        options=options,
        max_memory=max_memory,
        workers=workers,
    )
    chosen = _choose(result, list(queries) if queries else None, each)
    explained = []
    for model in distinct(models):
        descriptor = Descriptor.of(model, options)
        embedding = embed(frames, descriptor, [way.query, way.gallery], store=store, workers=workers)
        view = _View(embedding, way, rule, max_memory)
        explained.append(view.explain(chosen, projections, masks, workers))
    return Explanation(result, explained)


def _choose(result: Benchmark, named: list[str] | None, each: int) -> list[str]:
    """The queries to draw: those named, or those with the largest sum of log ranks over the models."""
    common = [
        name for name in result.runs[0].query_frames if all(name in run.query_frames for run in result.runs)
    ]
    if named is not None:
        for name in named:
            if name not in common:
                raise unknown_name("query", name, common)
        return named
    score = np.zeros(len(common))
    for run in result.runs:
        ranks = dict(zip(run.query_frames, run.ranks.ranks, strict=True))
        score += np.log([max(ranks[name], 1) for name in common])
    return [common[row] for row in np.argsort(-score, kind="stable")[:each]]


@dataclass(frozen=True)
class _View:
    """One model in one direction."""

    embedding: Embedding
    way: Direction
    rule: Protocol
    max_memory: int

    def explain(
        self, chosen: list[str], projections: Sequence[str], masks: Masks | None, workers: int | None
    ) -> ModelExplanation:
        sides = Sides.of(self.embedding, self.way)
        ranks = sides.ranks(self.rule, self.max_memory)
        _, found = exact_search(sides.queries, sides.gallery, 1, self.max_memory)
        hubs = hubness(found, sides.gallery.shape[0])
        curves = [self._curve(sides, ranks, name) for name in chosen]
        worst = [e for e in sides.examples(ranks, self.rule, self.max_memory, each=4) if e.rank > 1]
        return ModelExplanation(
            model=self.embedding.descriptor.name,
            query_band=self.way.query.value,
            gallery_band=self.way.gallery.value,
            recall_1=recall_at(ranks, 1),
            curves=curves,
            worst=sorted(worst, key=lambda example: -example.rank),
            planes=self._planes(sides, projections),
            gap=self._gap(),
            hubs=hubs,
            hub=sides.gallery_frames.names[hubs.top],
            centroids=sides.centroid_distances(),
            heats=[] if masks is None else self._heats(sides, curves, masks, workers),
        )

    def _curve(self, sides: Sides, ranks: Ranks, name: str) -> DistanceCurve:
        row = sides.query_frames.names.index(name)
        queries = sides.queries.subset(np.array([row]))
        ((_, squared),) = distance_blocks(queries, sides.gallery, self.max_memory)
        positives = self.rule.positives(sides.query_frames, sides.gallery_frames).block(row, row + 1)[0]
        right = np.flatnonzero(positives).tolist()
        return DistanceCurve(name, row, np.sqrt(squared[0]), right, int(ranks.ranks[row]))

    def _planes(self, sides: Sides, methods: Sequence[str]) -> list[Plane]:
        sets = [(sides.queries, sides.query_frames), (sides.gallery, sides.gallery_frames)]
        step = max(1, -(-max(len(frames) for _, frames in sets) // _MOST_POINTS))
        parts = [
            (rows.subset(np.arange(0, len(f), step)), f.select(slice(None, None, step))) for rows, f in sets
        ]
        both = _Both(parts[0][0], parts[1][0])
        places = [
            "" if place is None or place != place else str(place)
            for _, frames in parts
            for place in (frames.table["place"].tolist() if frames.has("place") else [None] * len(frames))
        ]
        is_query = np.arange(both.shape[0]) < parts[0][0].shape[0]
        names = [name for _, frames in parts for name in frames.names]
        scores, planes = principal_scores(both, max_memory=self.max_memory), []
        for method in methods:
            try:
                planes.append(Plane(method, project(scores, method), is_query, places, names))
            except CrossbandError as error:
                note(str(error))
        return planes

    def _gap(self) -> dict[str, tuple[ModalityGap, float]] | None:
        """The gap of the frames that have both bands, without and with centering."""
        parts = [self.embedding.bands[band] for band in (self.way.query, self.way.gallery)]
        common, *rows = np.intersect1d(parts[0].positions, parts[1].positions, return_indices=True)
        if len(common) < 2:
            return None
        descriptor = self.embedding.descriptor
        found = {}
        means = self.embedding.means()
        for name, given in (("raw", None), ("centered", means)):
            finish = Finish(
                given or {band: np.zeros_like(mean) for band, mean in means.items()}, descriptor.axes
            )
            sides = [
                FinishedRows(part.pooled.subset(index[:_MOST_POINTS]), finish, part.band)
                for part, index in zip(parts, rows, strict=True)
            ]
            x, y = (side.rows(0, side.shape[0]) for side in sides)
            nearest = exact_search(sides[0], sides[1], 1, self.max_memory)[1][:, 0]
            hits = float((nearest == np.arange(len(nearest))).mean() * 100)
            found[name] = modality_gap(x, y), hits
        return found

    def _heats(
        self, sides: Sides, curves: list[DistanceCurve], masks: Masks, workers: int | None
    ) -> list[Heat]:
        descriptor = self.embedding.descriptor
        finish = descriptor.finish(self.embedding.means() if descriptor.center else None)
        heats = []
        for curve in curves:
            items = list(dict.fromkeys([*curve.right[:1], curve.found]))
            query = _tensor(descriptor, sides.query_frames, curve.row, self.way.query)
            ours = sides.queries.take(np.array([curve.row]))[0]
            for row in items:
                item = _tensor(descriptor, sides.gallery_frames, row, self.way.gallery)
                theirs = sides.gallery.take(np.array([row]))[0]
                on_query = similarity_map(
                    descriptor, query, self.way.query, theirs, finish, masks, workers=workers
                )
                on_item = similarity_map(
                    descriptor, item, self.way.gallery, ours, finish, masks, workers=workers
                )
                name = sides.gallery_frames.names[row]
                heats.append(Heat(curve.query, name, row in curve.right, on_query, on_item))
        return heats


def _tensor(descriptor: Descriptor, frames: Frames, row: int, band: Band) -> torch.Tensor:
    path = frames.paths(band)[row]
    assert path is not None  # it has a descriptor
    least = descriptor.preprocess.least(band)
    return descriptor.preprocess(read_image(path, band, frames.units()[row], least=least), band)


class _Both:
    """Two sets of rows, one after the other."""

    def __init__(self, first: Rows, second: Rows) -> None:
        self._parts = first, second

    @property
    def shape(self) -> tuple[int, int]:
        return self._parts[0].shape[0] + self._parts[1].shape[0], self._parts[0].shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.take(np.arange(start, min(stop, self.shape[0])))

    def take(self, index: np.ndarray) -> np.ndarray:
        first, second = self._parts
        n = first.shape[0]
        mine = index < n
        out = np.empty((len(index), self.shape[1]), np.float32)
        out[mine], out[~mine] = first.take(index[mine]), second.take(index[~mine] - n)
        return out
