"""Which model finds the right image in the other band? Every direction, from one embedding pass per model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import __version__
from ..allocator import process_peak_mb
from ..bands import Band
from ..data.preprocess import Warp
from ..errors import CrossbandError, ImageFault
from ..files import make_folder, results_kind, write_file
from ..frames import Frames
from ..matching.keypoints import OWN
from ..metrics import (
    Protocol,
    Ranks,
    paired_test,
    recall_at,
    recall_interval,
)
from ..nn.encoder import count_parameters
from ..progress import note, says_once
from ..results import Result
from .descriptor import DEFAULT_DESCRIPTOR, DEFAULT_OPTIONS, Descriptor, Options, distinct
from .directions import Direction, Example, RouteMatches, Sides, directions
from .embed import Embedding, embed
from .rerank import DEFAULT_RERANK, LIKELY, Reranked, SecondLook
from .rerank import rerank as rerank_sides
from .search import DEFAULT_MEMORY, exact_search
from .sequence import check_length, ranks_of_costs, runs_of, sequence_costs, with_evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report import LookUp

__all__ = ["MISALIGNED", "Benchmark", "Run", "benchmark"]

# The misaligned case that every benchmark shows beside the aligned one: all three at once.
MISALIGNED = Warp(shift=0.05, scale=1.1, rotate=5)
RECALLS = (1, 5, 10)
_NOT_IN_JSON = ("ranks", "query_frames", "examples", "matches")


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


@dataclass(frozen=True, repr=False)
class Benchmark(Result):
    """What :func:`benchmark` measured.

    Attributes:
        protocol: what counts as right, and on what.
        runs: one per model and direction.
        comparisons: for each direction, each model against the best one, on the same queries.
        faults: images left out, with their reasons.
        frames: what was measured.
    """

    protocol: dict[str, object]
    runs: list[Run]
    comparisons: list[dict[str, object]]
    faults: list[ImageFault]
    frames: Frames = field(compare=False)

    def to_dict(self) -> dict[str, object]:
        """Return the content of ``results.json``."""
        runs = []
        for run in self.runs:
            runs.append({name: value for name, value in vars(run).items() if name not in _NOT_IN_JSON})
        return {
            "crossband": __version__,
            "protocol": self.protocol,
            "runs": runs,
            "comparisons": self.comparisons,
            "left_out": [{"path": fault.path, "reason": fault.reason} for fault in self.faults],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per run, flat."""
        rows = []
        for run in self.runs:
            row: dict[str, object] = {
                "model": run.model,
                "query": run.query_band,
                "gallery": run.gallery_band,
                "n_queries": run.n_queries,
                "n_dropped": run.n_dropped,
                "n_gallery": run.n_gallery,
            }
            for n in RECALLS:
                row[f"R@{n}"] = run.recall[str(n)]
            row["R@1_low"], row["R@1_high"] = run.recall_ci95["1"]
            row["R@1_misaligned"] = run.misaligned["1"] if run.misaligned else None
            row["R@1_descriptor"] = run.recall_descriptor["1"]
            row["R@1_misaligned_descriptor"] = (
                run.misaligned_descriptor["1"] if run.misaligned_descriptor else None
            )
            if run.sequence:
                row["R@1_sequence"] = _first_recall(run.sequence, "recall")
                row["R@1_sequence_descriptor"] = _first_recall(run.sequence, "recall_descriptor")
            row.update({f"R@1_{condition}": recall for condition, recall in (run.by_condition or {}).items()})
            row["cka"] = run.cka
            row["centroid"] = f"{run.centroid['score']}/{run.centroid['places']}" if run.centroid else None
            row.update(
                reranked=run.reranked,
                dim=run.descriptor_dim,
                params_m=run.params_m,
                images_per_s=run.images_per_s,
            )
            rows.append({**row, "peak_memory_mb": run.peak_memory_mb})
        return pd.DataFrame(rows)

    def to_display(self) -> pd.DataFrame:
        """Return a table for people: the main figures and what they need beside them.

        ``alone`` is R@1 by the descriptor alone, before the first items of each list are re-ranked.
        """
        rows = []
        for run in self.runs:
            low, high = run.recall_ci95["1"]
            rows.append(
                {
                    "model": run.model,
                    "query": run.query_band,
                    "gallery": run.gallery_band,
                    "R@1": run.recall["1"],
                    "95 %": f"{low:.1f}-{high:.1f}",
                    "R@5": run.recall["5"],
                    "misaligned": run.misaligned["1"] if run.misaligned else None,
                    "alone": run.recall_descriptor["1"] if run.reranked else None,
                    "alone, misaligned": run.misaligned_descriptor["1"]
                    if run.misaligned_descriptor and run.reranked
                    else None,
                    **(
                        {
                            f"sequence of {run.sequence['length']}": _first_recall(run.sequence, "recall"),
                            "sequence, alone": _first_recall(run.sequence, "recall_descriptor"),
                        }
                        if run.sequence
                        else {}
                    ),
                    **(run.by_condition or {}),
                    "CKA": run.cka,
                    "centroid": f"{run.centroid['score']}/{run.centroid['places']}" if run.centroid else None,
                    "re-ranked": run.reranked,
                    "queries": run.n_queries,
                    "dropped": run.n_dropped or None,
                    "dim": run.descriptor_dim,
                    "images/s": run.images_per_s,
                }
            )
        return pd.DataFrame(rows).astype({"re-ranked": "Int64", "dropped": "Int64"})

    def plot(self) -> Figure:
        """Draw R@1 of each model and direction with its interval; see :mod:`crossband.reports.plots`."""
        from ..reports.plots import plot_recall

        return plot_recall(self.to_pandas())

    def report(self, folder: str | Path, published: LookUp | None = None) -> Path:
        """Write ``results.json``, ``results.csv`` and ``report.html`` into a folder; gives the page.

        The page's pictures are read again from the frames that were measured. ``published`` looks up a paper's
        figures of a dataset and a model, as :func:`crossband.papers.rgbt_retrieval.published_retrieval`.
        """
        from .report import write_report

        out = self.write(folder)
        return write_report(self, self.frames, out, published=published)

    def write(self, out: str | Path) -> Path:
        """Write ``results.json`` and ``results.csv``; return the folder."""
        out = make_folder(out)
        check_own_results(out)
        write_file(out / "results.json", json.dumps(self.to_dict(), indent=1) + "\n")
        write_file(out / "results.csv", self.to_pandas().to_csv(index=False))
        return out


def _first_recall(sequence: dict[str, object], name: str) -> float:
    recall = sequence[name]
    assert isinstance(recall, dict)
    return float(recall["1"])


def check_own_results(out: str | Path) -> None:
    """Refuse a folder whose ``results.json`` another verb wrote.

    Raises:
        CrossbandError: it holds no runs of a benchmark.
    """
    path = Path(out) / "results.json"
    if path.is_file() and "runs" not in results_kind(path):
        raise CrossbandError(f"{path} is of another verb and stays; choose another folder", parameter="out")


@says_once
def benchmark(
    frames: Frames,
    models: str | Descriptor | Sequence[str | Descriptor] = DEFAULT_DESCRIPTOR,
    query: str = "all",
    gallery: str = "all",
    *,
    store: str | Path | None = None,
    protocol: str = "exact",
    misaligned: bool = True,
    own_means: bool = True,
    rerank: int = DEFAULT_RERANK,
    rerank_features: str = OWN,
    sequence: int | None = None,
    csls: bool = False,
    likely: float = LIKELY,
    options: Options = DEFAULT_OPTIONS,
    max_memory: int = DEFAULT_MEMORY,
    workers: int | None = None,
) -> Benchmark:
    """Measure models on frames, in every direction between their bands.

    Frames of the splits ``query`` and ``gallery`` are used as such where the manifest has both; otherwise
    every frame is query and gallery. Images that cannot be used are left out and listed.

    Args:
        frames: two or more frames with two bands.
        models: one or more descriptors: a name, text or file, or a :class:`Descriptor`.
        query: a band, or ``all``; ``gallery`` likewise.
        store: the folder of the descriptor store, in the user's cache where ``None``; a second run computes
            nothing again.
        protocol: ``exact``, ``place`` or ``within:METERS``.
        misaligned: also measure with one band misaligned.
        own_means: center each band by its own mean in these frames; else by the means that came with a
            fitted descriptor, which shows what is lost where a set's own are not known.
        rerank: how many items of each list are compared once more, by models that can; 0 leaves the
            descriptor's order.
        rerank_features: ``encoder`` for the model's own re-ranker or its encoder's maps, or the name of learned
            local features (:func:`crossband.matching.list_features`), which re-rank any model's lists.
        sequence: also measure with so many frames in time for each query; frames of a sequence are in order.
        csls: take off each item how near it is to queries of any kind, which undoes hubs
            (:mod:`crossband.retrieval.hubs`).
        likely: the probability of one place from which on a match counts as found.
        options: how images are read and where weights lie.
        max_memory: bytes for distances and tiles.

    Raises:
        CrossbandError: frames that cannot be benchmarked, an unknown model, or missing weights.
    """
    rule = Protocol.parse(protocol)
    ways = directions(frames, query, gallery, rule)
    if rerank < 0:
        raise CrossbandError(f"{rerank} items cannot be re-ranked; choose 1 or more, or 0 for none")
    if sequence is not None:
        check_length(sequence)
    runs: list[Run] = []
    faults: dict[tuple[str, str], ImageFault] = {}
    loaded = [Descriptor.of(model, options) for model in distinct(models)]  # refused before any work
    for descriptor in loaded:
        look = SecondLook.of(descriptor, rerank_features, options.weights) if rerank else None
        plan = _Plan(
            rule, store, misaligned, own_means, look, rerank, max_memory, workers, sequence, csls, likely
        )
        for run, found in _measure(frames, descriptor, ways, plan):
            runs.append(run)
            faults.update(((fault.path, fault.reason), fault) for fault in found)
    if not runs:
        raise CrossbandError(f"no query has a positive in the gallery under protocol {rule}; choose another")
    for fault in faults.values():
        note(f"left out: {fault}")
    described: dict[str, object] = {
        "positives": str(rule),
        "distance": "euclidean",
        "ties": "ties are ranked pessimistically; search breaks them by gallery order",
        "misaligned": str(MISALIGNED) if misaligned else None,
        "means": "own" if own_means else "of the model",
        "frames": len(frames),
        "reranked": rerank,
        "rerank_features": rerank_features,
        "sequence": sequence,
        "csls": csls,
        "interval": "95 %, bootstrap over queries (2000 resamples, seed 0); Clopper-Pearson where all agree",
    }
    return Benchmark(described, runs, _comparisons(runs), list(faults.values()), frames)


@dataclass(frozen=True)
class _Plan:
    """What is the same for every model, but for what re-ranks its lists."""

    rule: Protocol
    store: str | Path | None
    misaligned: bool
    own_means: bool
    look: SecondLook | None
    first: int
    max_memory: int
    workers: int | None
    sequence: int | None = None
    csls: bool = False
    likely: float = LIKELY

    def found(self, sides: Sides, local: Sides | None) -> _Found:
        """The ranks of one direction, before and after re-ranking."""
        if self.csls:
            sides = sides.without_hubs(self.max_memory)
        before = sides.ranks(self.rule, self.max_memory)
        if self.look is None or local is None:
            return _Found(before, before, None)
        lists = rerank_sides(sides, local, self.look.reranker, self.first, self.max_memory)
        positives = self.rule.positives(sides.query_frames, sides.gallery_frames)
        return _Found(before, lists.ranks(before, positives), lists)

    def along(self, sides: Sides, lists: Reranked | None) -> dict[str, object] | None:
        """The recall with the evidence of neighbors in time."""
        if self.sequence is None:
            return None
        if self.csls:
            sides = sides.without_hubs(self.max_memory)
        distances = sides.distances(self.max_memory)
        runs = runs_of(sides.query_frames), runs_of(sides.gallery_frames)
        positives = self.rule.positives(sides.query_frames, sides.gallery_frames)
        found: dict[str, object] = {"length": self.sequence}
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
    def of(cls, frames: Frames, descriptor: Descriptor, bands: list[Band], plan: _Plan) -> _Described:
        plain = embed(frames, descriptor, bands, store=plan.store, workers=plan.workers, look=plan.look)
        moved = None
        if plan.misaligned and bands[1:]:
            look = plan.look.with_warp(MISALIGNED) if plan.look is not None else None
            shifted = descriptor.with_warp(MISALIGNED)
            moved = embed(frames, shifted, bands[1:], store=plan.store, workers=plan.workers, look=look)
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


def _matches(sides: Sides, lists: Reranked | None, plan: _Plan) -> RouteMatches | None:
    """What each query finds first, where places are told apart by position."""
    if plan.rule.name != "within" or plan.rule.meters is None:
        return None
    rows = sides.nearest(plan.max_memory) if lists is None else lists.columns[:, 0]
    return RouteMatches(sides.query_frames, sides.gallery_frames, rows, plan.rule.meters)


def _offset(sides: Sides, ranks: Ranks, plan: _Plan, frames: Frames) -> str | None:
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


def _measure(
    frames: Frames, descriptor: Descriptor, ways: list[Direction], plan: _Plan
) -> Iterator[tuple[Run, list[ImageFault]]]:
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


def _comparisons(runs: list[Run]) -> list[dict[str, object]]:
    """Each model against the best one of its direction, on the queries that both answered."""
    found: list[dict[str, object]] = []
    for way in dict.fromkeys((run.query_band, run.gallery_band) for run in runs):
        mine = [run for run in runs if (run.query_band, run.gallery_band) == way]
        best = max(mine, key=lambda run: run.recall["1"])
        for run in mine:
            if run is not best:
                test = paired_test(*_paired_hits(best, run))
                found.append(
                    {
                        "query_band": way[0],
                        "gallery_band": way[1],
                        "best": best.model,
                        "model": run.model,
                        **asdict(test),
                    }
                )
    return found


def _paired_hits(first: Run, second: Run) -> tuple[np.ndarray, np.ndarray]:
    hits = [
        pd.Series(run.ranks.ranks == 1, index=run.query_frames)[run.ranks.ranks > 0] for run in (first, second)
    ]
    common = hits[0].index.intersection(hits[1].index)
    return hits[0][common].to_numpy(), hits[1][common].to_numpy()
