"""Which model finds the right image in the other band? Every direction, from one embedding pass per model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import __version__
from ..engines import IN_PROCESS, Engine
from ..errors import CrossbandError, ImageFault
from ..files import make_folder, results_kind, write_file
from ..frames import Frames
from ..matching.keypoints import OWN
from ..metrics import Protocol, paired_test
from ..progress import note, says_once
from ..results import Result
from .descriptor import DEFAULT_DESCRIPTOR, DEFAULT_OPTIONS, Descriptor, Options, distinct
from .directions import directions
from .measure import MISALIGNED, RECALLS, Plan, Run, measure
from .rerank import DEFAULT_RERANK, LIKELY, Reranking
from .search import DEFAULT_MEMORY
from .sequence import check_length

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report import LookUp

__all__ = ["Benchmark", "benchmark"]

_NOT_IN_JSON = ("ranks", "query_frames", "examples", "matches")
_WORST = 100  # queries that are named


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
            told = {name: value for name, value in vars(run).items() if name not in _NOT_IN_JSON}
            runs.append({**told, "worst": _worst(run)})
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


def _worst(run: Run) -> list[dict[str, object]]:
    """The queries that are not found first, furthest back first."""
    order = np.argsort(-run.ranks.ranks, kind="stable")[:_WORST]
    return [
        {"query": run.query_frames[row], "rank": int(run.ranks.ranks[row])}
        for row in order
        if run.ranks.ranks[row] > 1
    ]


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
    engine: Engine = IN_PROCESS,
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
        workers: threads that read, and on a CPU run the encoder.
        engine: who describes the images; see :func:`crossband.embed`.

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
        reranking = Reranking.of(descriptor, rerank_features, options.weights) if rerank else None
        plan = Plan(
            rule,
            store,
            misaligned,
            own_means,
            reranking,
            rerank,
            max_memory,
            workers,
            sequence,
            csls,
            likely,
            engine,
        )
        for run, found in measure(frames, descriptor, ways, plan):
            runs.append(run)
            faults.update(((fault.path, fault.reason), fault) for fault in found)
    if not runs:
        raise CrossbandError(f"no query has a positive in the gallery under protocol {rule}; choose another")
    for fault in faults.values():
        note(f"left out: {fault}")
    described = {
        **_protocol(rule, misaligned, own_means),
        "frames": len(frames),
        "reranked": rerank,
        "rerank_features": rerank_features,
        "sequence": sequence,
        "csls": csls,
    }
    return Benchmark(described, runs, _comparisons(runs), list(faults.values()), frames)


def _protocol(rule: Protocol, misaligned: bool, own_means: bool) -> dict[str, object]:
    """What was counted as right, and how the figures were made."""
    return {
        "positives": str(rule),
        "distance": "euclidean",
        "ties": "ties are ranked pessimistically; search breaks them by gallery order",
        "misaligned": str(MISALIGNED) if misaligned else None,
        "means": "own" if own_means else "of the model",
        "interval": "95 %, bootstrap over queries (2000 resamples, seed 0); Clopper-Pearson where all agree",
    }


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
