"""A walk through a gallery: many queries in time, found together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ..descriptor_cache import ArrayRows, Rows
from ..rerank import Reranked
from ..search import distance_blocks
from ..sequence import sequence_costs, with_evidence, within_a_band
from .exact import Match, matches_of

__all__ = ["found_together", "in_time", "natural"]


def found_together(
    vectors: np.ndarray,
    table: pd.DataFrame,
    rows: Rows,
    compared: Sequence[Sequence[Match]],
    band: str,
    length: int,
    k: int,
    max_memory: int,
) -> list[list[Match]]:
    """Return the ``k`` best items of each query, by all queries around it.

    Args:
        vectors: ``(n, d)``: the queries, in time.
        table: what is known of the gallery's items, one row each.
        rows: their vectors.
        compared: of each query the items that re-ranking compared; those without a probability say nothing.
        band: of the queries.
        length: frames that a path is long.
        k: how many.
        max_memory: bytes for distances.
    """
    order, runs = in_time(table)
    table = table.iloc[order].reset_index(drop=True)
    distances = np.empty((len(vectors), len(order)), np.float32)
    for start, squared in distance_blocks(ArrayRows(vectors), rows, max_memory):
        distances[start : start + len(squared)] = np.sqrt(squared)[:, order]
    where = {place: column for column, place in enumerate(zip(table["path"], table["band"], strict=True))}
    told = distances
    for row, matches in enumerate(compared):
        judged = [m for m in matches if m.same_place is not None and (m.path, m.band) in where]
        if judged:
            columns = np.array([[where[m.path, m.band] for m in judged]])
            probable = np.array([[float(m.same_place or 0) for m in judged]])
            inliers = np.array([[m.inliers or 0 for m in judged]])
            lists = Reranked(columns, distances[row : row + 1, columns[0]], probable, inliers, probable)
            if all(match.band == band for match in judged):
                lists = within_a_band(lists)
            if told is distances:
                told = _standardized(distances)
            told[row] = with_evidence(distances[row : row + 1], lists)[0]
    costs = sequence_costs(told, np.zeros(len(vectors)), runs, length)
    found = []
    for row, mine in enumerate(costs):
        best = np.lexsort((distances[row], mine))[:k]
        matches = matches_of(table.iloc[best], distances[row, best])
        known = {(m.path, m.band): m for m in compared[row]}
        found.append(
            [
                replace(m, inliers=before.inliers, same_place=before.same_place)
                if (before := known.get((m.path, m.band))) is not None
                else m
                for m in matches
            ]
        )
    return found


def in_time(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return items in the order of time, and the number of each one's run: one band of one sequence.

    In a run by the column ``time`` where all have it, else by the frames' names, whose numbers count.
    """
    runs = list(zip(table["band"], table["sequence"].fillna(""), strict=True))
    names = [natural(name) for name in table["frame"]]
    times = table["time"].fillna("") if table["time"].notna().all() else [""] * len(table)
    keys = list(zip(runs, map(natural, times), names, strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    codes = {run: number for number, run in enumerate(sorted(set(runs)))}
    return np.array(order, np.intp), np.array([codes[runs[i]] for i in order], np.int64)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts ``frame10`` behind ``frame9``."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", str(name))]


def _standardized(distances: np.ndarray) -> np.ndarray:
    centered = distances - distances.mean(1, keepdims=True)
    return centered / np.maximum(distances.std(1, keepdims=True), 1e-9)
