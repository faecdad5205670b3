"""One model measured in every direction: ranks before and after re-ranking, as they are and misaligned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..allocator import process_peak_mb
from ..bands import Band
from ..data.preprocess import Warp
from ..engines import IN_PROCESS, Engine
from ..errors import ImageFault
from ..frames import Frames
from ..metrics import Protocol, Ranks, recall_at, recall_interval
from ..nn.encoder import count_parameters
from ..progress import note
from .descriptor import Descriptor
from .directions import Direction, Example, RouteMatches, Sides
from .embed import Embedding, embed
from .rerank import LIKELY, Reranked, Reranking
from .rerank import rerank as rerank_sides
from .search import exact_search
from .sequence import ranks_of_costs, runs_of, sequence_costs, with_evidence, within_a_band

__all__ = ["MISALIGNED", "RECALLS", "Plan", "Run", "measure"]


# The misaligned case that every benchmark shows beside the aligned one: all three at once.
MISALIGNED = Warp(shift=0.05, scale=1.1, rotate=5)
RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class Run:
    """One model in one direction; a row of the table and of ``results.json``.

    ``params_m`` counts the encoder without its classifier, ``params_used_m`` only the layers up to the
    descriptor's; ``size`` is (height, width).

    Recall and the like are in percent. ``misaligned`` is the recall when the images of one band are first
    moved by :data:`MISALIGNED` (of two bands, the later in the order rgb, nir, tir). ``by_condition`` is R@1 of
    the queries of each ``condition`` that the frames name, among the whole gallery. ``reranked`` is how many
    items of each list were compared once more, or ``None``. ``recall`` and ``misaligned`` are what a search
    gives, re-ranked where the model can; ``recall_descriptor`` and ``misaligned_descriptor`` are the
    descriptor's alone. ``same_place`` says how far the probability of one place can be trusted, on each
    query's most probable right item and its most probable wrong one among those compared. ``sequence`` is the
    recall with the evidence of neighbors in time, of the descriptor and re-ranked, where it was asked for.
    ``remark`` says what the failures have in common, where they have. ``matches`` is what each query finds
    first, where positions say what is right; :func:`crossband.retrieval.plot_route_map` draws it.
    """

    model: str
    query_band: str
    gallery_band: str
    n_queries: int
    n_dropped: int
    n_gallery: int
    descriptor_dim: int
    params_m: float
    params_used_m: float
    size: tuple[int, int]
    normalization: dict[str, str]
    recall: dict[str, float]
    recall_ci95: dict[str, tuple[float, float]]
    recall_descriptor: dict[str, float]
    misaligned: dict[str, float] | None
    misaligned_descriptor: dict[str, float] | None
    by_condition: dict[str, float] | None
    cka: float | None
    centroid: dict[str, object] | None
    images_per_s: float | None
    peak_memory_mb: float | None
    reranked: int | None
    same_place: dict[str, object] | None
    sequence: dict[str, object] | None
    remark: str | None
    ranks: Ranks = field(repr=False, compare=False)
    query_frames: tuple[str, ...] = field(repr=False, compare=False)
    examples: list[Example] = field(repr=False, compare=False)
    matches: RouteMatches | None = field(repr=False, compare=False)


@dataclass(frozen=True)
class Plan:
    """What is the same for every model, but for what re-ranks its lists."""

    rule: Protocol
    store: str | Path | None
    misaligned: bool
    own_means: bool
    reranking: Reranking | None
    first: int
    max_memory: int
    workers: int | None
    sequence: int | None = None
    csls: bool = False
    likely: float = LIKELY
    engine: Engine = IN_PROCESS

    def found(self, sides: Sides, local: Sides | None) -> _Found:
        """Rank one direction, before and after re-ranking."""
        if self.csls:
            sides = sides.without_hubs(self.max_memory)
        before = sides.ranks(self.rule, self.max_memory)
        if self.reranking is None or local is None:
            return _Found(before, before, None)
        lists = rerank_sides(sides, local, self.reranking.reranker, self.first, self.max_memory)
        positives = self.rule.positives(sides.query_frames, sides.gallery_frames)
        return _Found(before, lists.ranks(before, positives), lists)

    def along(self, sides: Sides, lists: Reranked | None) -> dict[str, object] | None:
        """Measure the recall with the evidence of neighbors in time."""
        if self.sequence is None:
            return None
        if self.csls:
            sides = sides.without_hubs(self.max_memory)
        distances = sides.distances(self.max_memory)
        runs = runs_of(sides.query_frames), runs_of(sides.gallery_frames)
        positives = self.rule.positives(sides.query_frames, sides.gallery_frames)
        found: dict[str, object] = {"length": self.sequence}
        if lists is not None and sides.same_band:
            lists = within_a_band(lists)
        told = distances if lists is None else with_evidence(distances, lists)
        for name, matrix in (("recall", told), ("recall_descriptor", distances)):
            costs = sequence_costs(matrix, *runs, self.sequence)
            ranks = ranks_of_costs(costs, positives, sides.itself())
            found[name] = {str(n): recall_at(ranks, n) for n in RECALLS}
        return found


@dataclass(frozen=True)
class _Found:
    """The ranks of one direction: the descriptor's, those after re-ranking, and the lists that changed."""

    before: Ranks
    ranks: Ranks
    lists: Reranked | None

    def recall(self) -> dict[str, float]:
        return {str(n): recall_at(self.ranks, n) for n in RECALLS}

    def recall_descriptor(self) -> dict[str, float]:
        return {str(n): recall_at(self.before, n) for n in RECALLS}


@dataclass(frozen=True)
class _Described:
    """All images: as they are, and with one band moved."""

    plain: Embedding
    moved: Embedding | None

    @classmethod
    def of(cls, frames: Frames, descriptor: Descriptor, bands: list[Band], plan: Plan) -> _Described:
        plain = embed(
            frames,
            descriptor,
            bands,
            store=plan.store,
            workers=plan.workers,
            reranking=plan.reranking,
            engine=plan.engine,
        )
        moved = None
        if plan.misaligned and bands[1:]:
            reranking = plan.reranking.with_warp(MISALIGNED) if plan.reranking is not None else None
            shifted = descriptor.with_warp(MISALIGNED)
            moved = embed(
                frames,
                shifted,
                bands[1:],
                store=plan.store,
                workers=plan.workers,
                reranking=reranking,
                engine=plan.engine,
            )
        return cls(plain, moved)

    @property
    def local(self) -> _Described | None:
        """The local features of the same images, where something re-ranks."""
        if self.plain.local is None:
            return None
        return _Described(self.plain.local, self.moved.local if self.moved is not None else None)

    def sides(self, way: Direction, own_means: bool, moved: bool = False) -> Sides:
        if moved:
            return Sides.of(self.plain, way, self.moved, way.later, own_means)
        return Sides.of(self.plain, way, own_means=own_means)


def _matches(sides: Sides, lists: Reranked | None, plan: Plan) -> RouteMatches | None:
    """What each query finds first, where places are told apart by position."""
    if plan.rule.name != "within" or plan.rule.meters is None:
        return None
    rows = sides.nearest(plan.max_memory) if lists is None else lists.columns[:, 0]
    return RouteMatches(sides.query_frames, sides.gallery_frames, rows, plan.rule.meters)


def _offset(sides: Sides, ranks: Ranks, plan: Plan, frames: Frames) -> str | None:
    """What most answers have in common where most are wrong: a constant step from the query in the frames'
    order, as between recordings of which one began late."""
    if plan.rule.name != "exact" or sides.same_band or recall_at(ranks, 1) >= 50 or ranks.n_queries < 5:
        return None
    _, found = exact_search(sides.queries, sides.gallery, 1, plan.max_memory)
    order = {name: row for row, name in enumerate(frames.names)}
    queries = np.array([order[name] for name in sides.query_frames.names])
    answers = np.array([order[name] for name in sides.gallery_frames.names])[found[:, 0]]
    steps, counts = np.unique(answers - queries, return_counts=True)
    step, count = int(steps[counts.argmax()]), int(counts.max())
    if step == 0 or count < 0.5 * len(queries):
        return None
    way = "earlier" if step < 0 else "later"
    far = "the frame one" if abs(step) == 1 else f"the frame {abs(step)}"
    return f"{count} of {len(queries)} queries find {far} {way}: are the recordings offset?"


def measure(
    frames: Frames, descriptor: Descriptor, ways: list[Direction], plan: Plan
) -> Iterator[tuple[Run, list[ImageFault]]]:
    """Measure a descriptor in each direction; give a run, and the images that could not be used."""
    bands = sorted({band for way in ways for band in (way.query, way.gallery)}, key=list(Band).index)
    described = _Described.of(frames, descriptor, bands, plan)
    local = described.local
    plain = described.plain
    params_m = count_parameters(descriptor.encoder) / 1e6
    used_m = descriptor.encoder.used_parameters(descriptor.layer) / 1e6
    ckas: dict[frozenset[Band], float | None] = {}
    for way in ways:
        sides = described.sides(way, plan.own_means)
        found = plan.found(sides, local.sides(way, True) if local else None)
        ranks, lists = found.ranks, found.lists
        if not ranks.n_queries:
            note(f"left out: {way}, where no query has a positive in the gallery")
            continue
        if offset := _offset(sides, ranks, plan, frames):
            note(f"{descriptor.name}, {way}: {offset}")
        pair = frozenset((way.query, way.gallery))
        if pair not in ckas:
            ckas[pair] = sides.cka(plan.max_memory)
        shifted = None
        if described.moved is not None and way.query is not way.gallery:
            shifted = plan.found(
                described.sides(way, plan.own_means, moved=True),
                local.sides(way, True, moved=True) if local else None,
            )
        yield (
            Run(
                model=descriptor.name,
                query_band=way.query.value,
                gallery_band=way.gallery.value,
                n_queries=ranks.n_queries,
                n_dropped=ranks.n_dropped,
                n_gallery=sides.gallery.shape[0],
                descriptor_dim=sides.gallery.shape[1],
                params_m=params_m,
                params_used_m=used_m,
                size=descriptor.preprocess.size,
                normalization={band.value: str(descriptor.preprocess.normalization[band]) for band in bands},
                recall=found.recall(),
                recall_ci95={str(n): recall_interval(ranks.kept <= n) for n in RECALLS},
                recall_descriptor=found.recall_descriptor(),
                misaligned=shifted.recall() if shifted else None,
                misaligned_descriptor=shifted.recall_descriptor() if shifted else None,
                by_condition=sides.recall_by_condition(ranks),
                cka=ckas[pair],
                centroid=sides.centroid(),
                images_per_s=plain.images_per_s,
                peak_memory_mb=process_peak_mb(),
                reranked=lists.columns.shape[1] if lists else None,
                same_place=lists.trust(
                    plan.rule.positives(sides.query_frames, sides.gallery_frames), plan.likely
                )
                if lists
                else None,
                sequence=plan.along(sides, lists),
                remark=offset,
                ranks=ranks,
                query_frames=tuple(sides.query_frames.names),
                examples=sides.examples(
                    ranks,
                    plan.rule,
                    plan.max_memory,
                    listed=(lists.distances, lists.columns) if lists else None,
                ),
                matches=_matches(sides, lists, plan),
            ),
            plain.faults,
        )
