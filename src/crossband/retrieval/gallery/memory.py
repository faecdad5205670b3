"""A gallery in memory, loaded again only after a change, and the approximate search in it.

A query looks into the cells nearest to it, or at all rows where there are no cells. What it sees is estimated,
by a matrix product or by codes, and the best of it measured in double precision. Under a condition cells are
looked into until as many rows that fulfil it were seen as without one, so that conditions that go with places
lose little; where it leaves few rows, all of them are looked at, so that a selective one loses nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from ..descriptor_cache import Rows
from .cells import Centers, sorted_places
from .coding import Coding
from .conditions import columns_of, fulfils, parse_condition
from .exact import vectors_of
from .lance import CONDITION_COLUMNS, GalleryStore, row_schema

__all__ = ["STREAM_BYTES", "Codes", "Loaded", "Whole", "load"]

STREAM_BYTES = 8 << 20  # of vectors at a time: the store reads many such batches ahead
_MASKS = 8  # conditions whose rows are remembered
_RUN = 1 << 16  # rows that are estimated together
_FEW = 20_000  # rows left by a condition, that are all looked at
_SPARE = 16  # candidates beyond k, so that rounding cannot push one out
_COLUMNS = [name for name in row_schema(1, "float32").names if name != "vector"]


class Loaded(ABC):
    """All rows of one version, by their places: in the order of the store or, with cells, of these.

    Args:
        version: of the rows.
        order: the row of the store at each place.
        centers: of the cells, if there are any; ``starts`` is where each begins.
    """

    def __init__(self, version: object, order: np.ndarray, centers: Centers | None, starts: np.ndarray) -> None:
        self.version, self.order, self.centers, self.starts = version, order, centers, starts
        self._masks: OrderedDict[str, np.ndarray] = OrderedDict()
        self._counts: OrderedDict[str, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.order)

    def mask(self, where: str) -> np.ndarray:
        """Return which places hold rows that fulfil a condition, boolean ``(n,)``."""
        if where not in self._masks:
            condition = parse_condition(where, CONDITION_COLUMNS)
            self._masks[where] = fulfils(condition, self.columns(sorted(columns_of(condition))))
            while len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        self._masks.move_to_end(where)
        return self._masks[where]

    def search(
        self, query: np.ndarray, k: int, probes: int | None, where: str | None = None
    ) -> tuple[pa.Table, np.ndarray]:
        """Find the ``k`` nearest rows within some cells, nearest first.

        Args:
            query: ``(d,)``.
            k: how many; fewer come back where there are fewer.
            probes: cells to look into, or more under a condition; ``None`` for all.
            where: a condition.

        Returns:
            what is known of the rows, and their squared distances in double precision.
        """
        keep = None if where is None else self.mask(where)
        estimate, wanted = self.estimator(query), self.spare(k)
        places, near = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for start, stop in self._runs(query, probes, where):
            run = slice(start, stop) if keep is None else start + np.flatnonzero(keep[start:stop])
            near.append(estimate(run))
            places.append(np.arange(start, stop) if isinstance(run, slice) else run)
        place, estimated = np.concatenate(places), np.concatenate(near)
        if len(place) > wanted:
            place = place[np.argpartition(estimated, wanted)[:wanted]]
        return self.measured(query, np.sort(place), k)

    def _runs(self, query: np.ndarray, probes: int | None, where: str | None) -> Iterator[tuple[int, int]]:
        """First and last place, exclusive, of what is looked at."""
        if self.centers is not None and probes is not None:
            total = len(self.centers.points)
            if where is None:
                near = self.centers.nearest(query, probes)
            else:
                left = self._left(where)
                most = int(left.sum())
                wanted = most if most <= _FEW else probes * len(self) / total
                near = self.centers.in_order(query)
                near = near[: 1 + int(np.searchsorted(np.cumsum(left[near]), wanted))]
                near = near[left[near] > 0]
            if len(near) < total:
                for cell in np.sort(near):
                    yield int(self.starts[cell]), int(self.starts[cell + 1])
                return
        for start in range(0, len(self), _RUN):
            yield start, min(start + _RUN, len(self))

    def _left(self, where: str) -> np.ndarray:
        """How many rows of each cell fulfil a condition."""
        if where not in self._counts:
            before = np.concatenate([[0], np.cumsum(self.mask(where), dtype=np.int64)])
            self._counts[where] = np.diff(before[self.starts])
            while len(self._counts) > _MASKS:
                self._counts.popitem(last=False)
        return self._counts[where]

    @abstractmethod
    def columns(self, names: list[str]) -> pa.Table:
        """Return some columns, place by place."""

    @abstractmethod
    def spare(self, k: int) -> int:
        """Tell how many candidates are measured to find ``k``."""

    @abstractmethod
    def estimator(self, query: np.ndarray) -> Callable[[slice | np.ndarray], np.ndarray]:
        """Return what estimates the squared distances to some places, but for a constant."""

    @abstractmethod
    def measured(self, query: np.ndarray, places: np.ndarray, k: int) -> tuple[pa.Table, np.ndarray]:
        """Return the ``k`` nearest of some places, as :meth:`search` does."""


class Whole(Loaded):
    """Rows with their vectors and all that is known of them.

    Attributes:
        table: what is known.
        rows: the vectors.
    """

    def __init__(self, table: pa.Table, rows: Rows, *loaded: object) -> None:
        super().__init__(*loaded)  # type: ignore[arg-type]
        self.table, self.rows = table, rows

    def columns(self, names: list[str]) -> pa.Table:
        """Return columns of the table."""
        return self.table.select(names)

    def spare(self, k: int) -> int:
        """Return a few more: the matrix product is exact but for rounding."""
        return k + _SPARE

    def estimator(self, query: np.ndarray) -> Callable[[slice | np.ndarray], np.ndarray]:
        """Return the matrix product."""
        norms: np.ndarray = self.rows.squared_norms  # type: ignore[attr-defined]  # both kinds have it

        def product(places: slice | np.ndarray) -> np.ndarray:
            step = getattr(self.rows, "at_once", _RUN)
            if isinstance(places, slice):
                starts = range(places.start, places.stop, step)
                parts = [self.rows.rows(start, min(start + step, places.stop)) @ query for start in starts]
            else:
                starts = range(0, len(places), step)
                parts = [self.rows.take(places[start : start + step]) @ query for start in starts]
            return norms[places] - 2 * np.concatenate([np.empty(0, np.float32), *parts])

        return product

    def measured(self, query: np.ndarray, places: np.ndarray, k: int) -> tuple[pa.Table, np.ndarray]:
        """Measure in memory."""
        squared = np.square(self.rows.take(places) - query.astype(np.float64)).sum(1)
        best = np.argsort(squared, kind="stable")[:k]
        return self.table.take(places[best]), squared[best]


class Codes(Loaded):
    """A code of each row; all else is read from the store when it is wanted.

    Attributes:
        codes: uint8 ``(n, width)``.
    """

    def __init__(self, codes: np.ndarray, coding: Coding, store: GalleryStore, *loaded: object) -> None:
        super().__init__(*loaded)  # type: ignore[arg-type]
        assert coding.coder is not None
        self.codes, self._coding, self._coder, self._store = codes, coding, coding.coder, store

    def columns(self, names: list[str]) -> pa.Table:
        """Read columns."""
        return self._store.read(names).combine_chunks().take(self.order)

    def spare(self, k: int) -> int:
        """Return many more: codes are coarse."""
        return max(200, 20 * k)

    def estimator(self, query: np.ndarray) -> Callable[[slice | np.ndarray], np.ndarray]:
        """Return what the coder makes of the codes."""
        estimate = self._coder.estimate(query)
        return lambda places: estimate(self.codes[places])

    def measured(self, query: np.ndarray, places: np.ndarray, k: int) -> tuple[pa.Table, np.ndarray]:
        """Read the rows and measure them."""
        table = self._store.take(self.order[places], [*_COLUMNS, "vector"])
        vectors = self._coding.values(vectors_of(table)).take(np.arange(len(table)))
        squared = np.square(vectors - query.astype(np.float64)).sum(1)
        best = np.argsort(squared, kind="stable")[:k]
        return table.drop_columns(["vector"]).take(best), squared[best]


def load(store: GalleryStore, coding: Coding, centers: Centers | None, height: int) -> Whole | Codes | None:
    """Read all rows into one matrix that is filled as they come, so that it stands in memory once.

    With centers the rows are read twice, first to know where each belongs. ``None`` where another process
    changed them meanwhile.

    Args:
        store: where they are.
        coding: how they are kept.
        centers: of cells to sort them by.
        height: rows to read at a time.
    """
    version, n = store.version(), store.count()
    order, starts = np.arange(n), np.zeros(1, np.int64)
    if centers is not None:
        cells = [centers.assign(_floats(coding, vectors)) for _, vectors in _stream(store, ["vector"], height)]
        assigned = np.concatenate([np.empty(0, np.int32), *cells])
        if len(assigned) != n:
            return None
        order, starts = sorted_places(assigned, len(centers.points))
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    known, filled, coder = [], 0, coding.coder
    matrix: np.ndarray | None = None
    for batch, vectors in _stream(store, ["vector"] if coder else [*_COLUMNS, "vector"], height):
        if filled + len(batch) > n:
            return None
        numbers = vectors if coder is None else coder.encode(_floats(coding, vectors))
        if matrix is None:
            matrix = np.empty((n, numbers.shape[1]), numbers.dtype)
        matrix[place[filled : filled + len(batch)]] = numbers
        known.append(batch.drop_columns(["vector"]))
        filled += len(batch)
    if filled < n or matrix is None or store.version() != version:
        return None
    if coder is not None:
        return Codes(matrix, coding, store, version, order, centers, starts)
    table = pa.concat_tables(known)
    if centers is not None:
        table = table.combine_chunks().take(order)
    return Whole(table, coding.values(matrix), version, order, centers, starts)


def _stream(store: GalleryStore, columns: list[str], height: int) -> Iterator[tuple[pa.Table, np.ndarray]]:
    for batch in store.stream(columns, height):
        yield batch, vectors_of(batch)


def _floats(coding: Coding, stored: np.ndarray) -> np.ndarray:
    return coding.values(stored).rows(0, len(stored))
