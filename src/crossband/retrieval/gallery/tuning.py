"""Choose how a gallery is searched, and audit it: both against exact search, by the gallery's own vectors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import CrossbandError
from ...progress import note
from ...results import Result
from ..descriptor import DEFAULT_OPTIONS, Options
from ..descriptor_cache import ArrayRows
from ..search import DEFAULT_MEMORY, exact_search
from .cells import CELLS, cell_count, train_centers
from .exact import vectors_of
from .gallery import Gallery
from .homes import METADATA_FILE
from .lance import METADATA
from .metadata import read_metadata

__all__ = ["Audit", "AuditedSearch", "Optimized", "audit", "optimize"]

DEFAULT_RECALL = 0.99
_K = 10
_QUERIES = 200
_TRAINING = 256 << 20  # bytes of vectors that cells are trained by
_SHARES = (0.3, 0.01)  # of the rows, that the conditions of an audit leave
_NEAR = 3.0  # times that a text's share may be off

Search = Callable[[np.ndarray], list[str]]
"""Finds the keys of the nearest rows."""


@dataclass(frozen=True, repr=False)
class Optimized(Result):
    """What :func:`optimize` chose and measured.

    Attributes:
        items: rows of the gallery.
        cells: of the index in memory, or ``None`` where none was made.
        probes: cells that a query looks into, or ``None``.
        wished: the recall that was asked for.
        recall: at 10, of queries that the choice was not made by.
        p50_ms: of one search; ``exact_ms`` of an exact one.
        seconds: that making the index took.
    """

    items: int
    cells: int | None = None
    probes: int | None = None
    wished: float | None = None
    recall: float | None = None
    p50_ms: float | None = None
    exact_ms: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, repr=False)
class AuditedSearch(Result):
    """How well and how fast some queries were answered under one condition.

    Attributes:
        where: the condition; ``None`` for none.
        share: of the rows that it leaves.
        recall: at 10, against exact search.
        p50_ms, p95_ms: of one search; ``exact_p50_ms`` of an exact one.
    """

    where: str | None
    share: float
    recall: float
    p50_ms: float
    p95_ms: float
    exact_p50_ms: float | None


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """What :func:`audit` measured.

    Attributes:
        items: rows of the gallery.
        queries: how many of its own vectors were searched by.
        way: how it is searched: ``memory`` and ``disk`` are exact.
        searches: without a condition, and with some.
    """

    items: int
    queries: int
    way: str
    searches: list[AuditedSearch]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each condition; shares and recall in percent."""
        rows = []
        for one in self.searches:
            row = {"where": one.where or "", "items, %": 100 * one.share, "recall@10, %": 100 * one.recall}
            took = {"p50, ms": one.p50_ms, "p95, ms": one.p95_ms, "exact p50, ms": one.exact_p50_ms}
            rows.append({**row, **took})
        return pd.DataFrame(rows)


def optimize(
    gallery: str | Path,
    index: bool = False,
    *,
    recall: float = DEFAULT_RECALL,
    max_memory: int = DEFAULT_MEMORY,
    options: Options = DEFAULT_OPTIONS,
) -> Optimized:
    """Compact a gallery and, if asked, build and tune an index for a wished recall.

    A gallery that fits into memory gets cells, which every dtype has, others the engine's own index. How many
    cells a query looks into is the least that reaches the recall on half of a sample of the gallery's vectors,
    each without itself; what is told was measured on the other half.

    Args:
        gallery: its address.
        index: build one.
        recall: wished, at 10, in (0, 1].
        max_memory: bytes that the gallery may take in memory.
        options: where weights lie.

    Raises:
        CrossbandError: no gallery, a recall outside (0, 1], or an index where there is none to build.
    """
    if not 0 < recall <= 1:
        raise CrossbandError(f"a recall is above 0 and at most 1, not {recall}", parameter="recall")
    rows = Gallery.open_rows(gallery)
    if not index or rows.serves:
        rows.optimize(index)
        return Optimized(rows.count())
    opened = Gallery.open(gallery, options)
    start = time.perf_counter()
    if opened.finder.fits(max_memory):
        rows.optimize(False)
        chosen = _with_cells(opened, recall)
    else:
        rows.optimize(True)
        chosen = _with_engine(opened, recall)
    chosen["seconds"] = round(time.perf_counter() - start, 1)
    _remember(opened, chosen)
    return Optimized(rows.count(), wished=recall, **{k: v for k, v in chosen.items() if k != "wished"})


def audit(
    gallery: str | Path | Gallery,
    where: Sequence[str] = (),
    *,
    queries: int = _QUERIES,
    max_memory: int = DEFAULT_MEMORY,
    options: Options = DEFAULT_OPTIONS,
) -> Audit:
    """Measure recall at 10 and latency of a gallery's searches, against exact ones.

    The queries are vectors of the gallery, each without itself.

    Args:
        gallery: its address, or opened.
        where: conditions; without any, some of the gallery's own columns that leave about 30 % and 1 %.
        queries: how many.
        max_memory: bytes that the gallery may take in memory.
        options: where weights lie.

    Raises:
        CrossbandError: no gallery, fewer than two rows, or a condition that cannot be read.
    """
    opened = gallery if isinstance(gallery, Gallery) else Gallery.open(gallery, options)
    sample = _sample(opened, queries)
    conditions = list(where) or _conditions(opened)
    searches = [_audited(opened, sample, condition, max_memory) for condition in (None, *conditions)]
    n = opened.rows.count()
    return Audit(n, len(sample.keys), opened.finder.way(max_memory), searches)


@dataclass(frozen=True)
class _Sample:
    """Some rows of a gallery, to search by."""

    keys: list[str]
    vectors: np.ndarray

    def half(self, number: int) -> _Sample:
        return _Sample(self.keys[number::2], self.vectors[number::2])


def _sample(gallery: Gallery, n: int) -> _Sample:
    total = gallery.rows.count()
    if total < 2:
        raise CrossbandError(f"{gallery.home} has {total} rows, too few to measure by; index more")
    chosen = np.sort(np.random.default_rng(0).choice(total, min(n, total), replace=False))
    table = gallery.rows.take(chosen, ["key", "vector"])
    vectors = gallery.coding.values(vectors_of(table)).rows(0, len(table))
    return _Sample(table["key"].to_pylist(), vectors)


def _truth(gallery: Gallery, sample: _Sample, where: str | None) -> list[list[str]]:
    """The keys of the ten nearest rows of each query but itself, exact, of one pass over the rows."""
    best: list[list[tuple[float, str]]] = [[] for _ in sample.keys]
    for batch in gallery.rows.stream(["key", "vector"], 20_000, where):
        rows = gallery.coding.values(vectors_of(batch))
        distances, columns = exact_search(ArrayRows(sample.vectors), rows, _K + 1)
        keys = batch["key"].to_pylist()
        for mine, near, found in zip(best, distances, columns, strict=True):
            mine += [(float(distance), keys[column]) for distance, column in zip(near, found, strict=True)]
            mine.sort(key=lambda one: one[0])
            del mine[_K + 1 :]
    return [[key for _, key in mine if key != own][:_K] for own, mine in zip(sample.keys, best, strict=True)]


def _recall(sample: _Sample, truth: list[list[str]], search: Search) -> tuple[float, np.ndarray]:
    """The share of the truth that a search finds, and the milliseconds of each search."""
    shares, took = [], []
    for key, vector, right in zip(sample.keys, sample.vectors, truth, strict=True):
        start = time.perf_counter()
        found = search(vector)
        took.append(1000 * (time.perf_counter() - start))
        if right:
            shares.append(len(set([one for one in found if one != key][:_K]) & set(right)) / len(right))
    return float(np.mean(shares)) if shares else 1.0, np.array(took)


def _least(reaches: Callable[[int], bool], most: int) -> int:
    """The least number from 1 to ``most`` that reaches what is wished; what reaches it once does above."""
    high = 1
    while high < most and not reaches(high):
        high *= 2
    low, high = high // 2, min(high, most)
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _tuned(gallery: Gallery, wished: float, search: Callable[[int], Search], most: int) -> dict[str, Any]:
    """The least effort that reaches a recall by half of a sample, and what it reaches by the other."""
    sample = _sample(gallery, 2 * _QUERIES)
    truth = _truth(gallery, sample, None)

    def reaches(probes: int) -> bool:
        return _recall(sample.half(0), truth[0::2], search(probes))[0] >= wished

    probes = _least(reaches, most)
    recall, took = _recall(sample.half(1), truth[1::2], search(probes))
    if recall < wished:
        note(f"recall {recall:.3f} of other queries, where {wished} was wished")
    return {"probes": probes, "wished": wished, "recall": recall, "p50_ms": float(np.median(took))}


def _with_cells(gallery: Gallery, wished: float) -> dict[str, Any]:
    n = gallery.rows.count()
    cells, most = cell_count(n), _TRAINING // (4 * gallery.rows.size)
    chosen = np.sort(np.random.default_rng(1).choice(n, min(n, most), replace=False))
    vectors = gallery.coding.values(vectors_of(gallery.rows.take(chosen, ["vector"])))
    centers = train_centers(vectors.rows(0, len(chosen)), cells)
    gallery.home.write_file(CELLS, centers.to_bytes())
    _remember(gallery, {"cells": len(centers.points), "probes": len(centers.points), "wished": wished})
    loaded = gallery.finder.loaded(cells=True)

    def search(probes: int | None) -> Search:
        return lambda vector: loaded.search(vector, _K + 1, probes)[0]["key"].to_pylist()

    found = _tuned(gallery, wished, search, len(centers.points))
    some = _sample(gallery, 20)
    _, took = _recall(some, [[] for _ in some.keys], search(None))
    return {"cells": len(centers.points), **found, "exact_ms": float(np.median(took))}


def _with_engine(gallery: Gallery, wished: float) -> dict[str, Any]:
    def search(probes: int) -> Search:
        return lambda vector: gallery.rows.search(vector, _K + 1, None, probes)["key"].to_pylist()

    return _tuned(gallery, wished, search, 4096)


def _remember(gallery: Gallery, chosen: dict[str, Any]) -> None:
    with gallery.home.alone():
        metadata = {**read_metadata(gallery.home), "search": chosen}
        gallery.home.write_file(METADATA_FILE, json.dumps(metadata).encode())
    gallery.finder.forget()


def _audited(gallery: Gallery, sample: _Sample, where: str | None, max_memory: int) -> AuditedSearch:
    n, left = gallery.rows.count(), gallery.rows.count(where)
    if not left:
        raise CrossbandError(f"no item fulfils {where!r}; choose another condition", parameter="where")
    truth = _truth(gallery, sample, where)

    def search(exact: bool | None) -> Search:
        return lambda vector: gallery.finder.keys(vector, _K + 1, where, exact, max_memory)

    search(None)(sample.vectors[0])  # loads what is loaded once
    recall, took = _recall(sample, truth, search(None))
    p50, p95 = np.percentile(took, [50, 95])
    exact = None
    if gallery.finder.way(max_memory) not in ("memory", "disk", "server"):
        some = _Sample(sample.keys[:20], sample.vectors[:20])
        exact = float(np.median(_recall(some, truth[:20], search(True))[1]))
    return AuditedSearch(where, left / n, recall, float(p50), float(p95), exact)


def _conditions(gallery: Gallery) -> list[str]:
    """Conditions on the gallery's columns that leave about 30 % and 1 % of the rows, where there are any."""
    table = gallery.rows.read(["band", *METADATA])
    found = []
    for share in _SHARES:
        fits = [one for name in table.column_names for one in _of_column(table, name, share)]
        if fits:
            found.append(min(fits)[1])
    return found


def _of_column(table: pa.Table, name: str, share: float) -> list[tuple[float, str]]:
    """How far off a share the nearest condition on a column is, as a factor, and the condition."""
    column = table[name].drop_null()
    if not len(column):
        return []
    if METADATA.get(name) == pa.float64():
        limit = pc.quantile(column, q=max(0.0, 1 - share * len(table) / len(column)))[0].as_py()
        counts = {f"{name} > {limit!r}": pc.sum(pc.greater(column, limit)).as_py()}
    else:
        values = column.value_counts().to_pylist()
        counts = {f"{name} = '" + str(v["values"]).replace("'", "''") + "'": v["counts"] for v in values}
    off = [(max(c / len(table) / share, share * len(table) / c), text) for text, c in counts.items() if c]
    return [one for one in sorted(off)[:1] if one[0] <= _NEAR]
