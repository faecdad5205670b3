"""Exact search among the rows of a gallery, some at a time, and what it finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ...errors import DamagedFileError
from ..descriptor_cache import ArrayRows, Rows
from ..search import exact_search
from .lance import METADATA

__all__ = ["Match", "Part", "matches_of", "nearest", "vectors_of"]


@dataclass(frozen=True)
class Match:
    """One item found.

    Attributes:
        rank: 1 is best.
        frame: the frame's name; ``band`` and ``path`` of its image.
        distance: Euclidean, between final vectors.
        metadata: what the manifest said of the frame, without what it left empty.
        inliers: matches of local features that one similarity explains; ``None`` where it was not compared.
        same_place: the probability that query and item show one place; ``None`` likewise.
        content: identifies what the image file held when it was indexed.
    """

    rank: int
    frame: str
    band: str
    path: str
    distance: float
    metadata: dict[str, object]
    inliers: int | None = None
    same_place: float | None = None
    content: str = field(default="", repr=False, compare=False)

    def to_dict(self) -> dict[str, object]:
        """Return a flat record for JSON."""
        known = {"rank": self.rank, "frame": self.frame, "band": self.band, "path": self.path}
        compared = {"inliers": self.inliers, "same_place": self.same_place}
        return {**known, "distance": self.distance, **compared, **self.metadata}


def matches_of(table: pd.DataFrame, distances: np.ndarray) -> list[Match]:
    """Make the matches of found rows, nearest first."""
    matches: list[Match] = []
    for rank, (row, distance) in enumerate(zip(table.to_dict("records"), distances, strict=True), 1):
        metadata = {name: row[name] for name in METADATA if not pd.isna(row[name])}
        content = row["digest"].partition("-")[0]
        matches.append(
            Match(rank, row["frame"], row["band"], row["path"], float(distance), metadata, content=content)
        )
    return matches


_FEW = 0.1  # of the rows, that are copied rather than passed over

Part = tuple[pa.Table, Rows, np.ndarray | None]


def vectors_of(batch: pa.Table) -> np.ndarray:
    """Return the vectors of some rows ``(n, k)``, not copied where they lie in one piece.

    Raises:
        CrossbandError: a row without one.
    """
    vectors = batch["vector"].combine_chunks()
    numbers = vectors.flatten()
    if vectors.null_count or numbers.null_count:
        raise DamagedFileError(
            "a row of the gallery has no vector; index its frames into another", parameter="gallery"
        )
    return numbers.to_numpy(zero_copy_only=False).reshape(len(batch), -1)


def nearest(query: np.ndarray, parts: Iterable[Part], k: int, memory: int) -> tuple[pa.Table, np.ndarray]:
    """Find the nearest rows of all parts, exactly; of equally near ones, those that come first.

    What is known of them and their squared distances is returned, nearest first.
    """
    tables: list[pa.Table] = []
    squared = np.empty(0)
    for table, rows, keep in parts:
        found = _found(query, rows, k, memory, keep)
        both = np.concatenate([squared, _squared(query, rows, found, memory)])
        order = np.argsort(both, kind="stable")[:k]
        if len(squared) == k and order.max(initial=0) < k:
            continue  # none is nearer than what is there
        squared = both[order]
        tables = [pa.concat_tables([*tables, table.take(found)]).take(order)]
    return tables[0] if tables else pa.table({}), squared


def _found(query: np.ndarray, rows: Rows, k: int, memory: int, keep: np.ndarray | None) -> np.ndarray:
    """The nearest rows; where few may be found, these alone are measured."""
    asked = ArrayRows(query[None])
    chosen = None if keep is None else np.flatnonzero(keep)
    if chosen is None or len(chosen) > _FEW * rows.shape[0] or 8 * len(chosen) * len(query) > memory:
        return exact_search(asked, rows, k, memory, keep)[1][0]
    return chosen[exact_search(asked, ArrayRows(rows.take(chosen)), k, memory)[1][0]]


def _squared(query: np.ndarray, rows: Rows, found: np.ndarray, memory: int) -> np.ndarray:
    """Squared distances to some rows in double precision, so that those of several parts compare."""
    step = max(1, memory // (16 * len(query)))
    some = [
        np.square(rows.take(found[start : start + step]) - query.astype(np.float64)).sum(1)
        for start in range(0, len(found), step)
    ]
    return np.concatenate([np.empty(0), *some])
