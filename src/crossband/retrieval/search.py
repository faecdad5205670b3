"""Exact nearest neighbors in bounded memory, over queries and gallery that may lie on disk.

Distances are Euclidean. **Ties** are broken by position: of two gallery rows at the same distance, the one
that stands first in the gallery comes first. To make that hold whatever the tiles, candidates whose order the
single-precision matrix product cannot tell are measured again, one by one, in double precision; where a row
left out may be as near as the last one kept, as among many copies of one image, more candidates are taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch

from ..errors import CrossbandError
from ..metrics.cka import cka_from_grams
from .descriptor_cache import Rows

__all__ = ["DEFAULT_MEMORY", "cka_of_rows", "distance_blocks", "exact_search", "gram_matrix", "parse_memory"]

DEFAULT_MEMORY = 2 << 30
_SLACK = 16  # candidates beyond k, so that rounding cannot push one out
_TILE = 1 << 20  # distances in a tile of a search: few enough to stay in the cache


def parse_memory(text: str) -> int:
    """Parse a size such as ``512M`` or ``2G`` as bytes.

    Raises:
        CrossbandError: not a size.

    Example:
        >>> parse_memory("512M")
        536870912
    """
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in units else (text, "")
    try:
        size = int(float(number) * (1 << units.get(unit, 0)))
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise CrossbandError(f"{text!r} is no size; write 512M or 2G", parameter="max_memory")
    return size


def exact_search(
    queries: Rows,
    gallery: Rows,
    k: int,
    max_memory: int = DEFAULT_MEMORY,
    keep: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``k`` nearest gallery rows of each query, nearest first.

    Args:
        queries: ``(n, d)``.
        gallery: ``(m, d)``.
        k: how many; fewer come back where the gallery (or what is kept of it) is smaller.
        max_memory: bytes that the tiles may take together.
        keep: boolean ``(m,)``: the gallery rows that may be found.

    Returns:
        distances ``(n, k)`` float32 and rows ``(n, k)`` int64.

    Raises:
        CrossbandError: unequal widths, or a memory too small for one query and one gallery row.

    Example:
        >>> from crossband.retrieval.descriptor_cache import ArrayRows
        >>> gallery = ArrayRows(np.array([[0.0, 0], [3, 4], [0, 0]]))
        >>> distances, rows = exact_search(ArrayRows(np.zeros((1, 2))), gallery, k=3)
        >>> distances.tolist(), rows.tolist()
        ([[0.0, 0.0, 5.0]], [[0, 2, 1]])
    """
    n, m = queries.shape[0], gallery.shape[0]
    allowed = m if keep is None else int(np.count_nonzero(keep))
    k = min(k, allowed)
    found_distances, found_rows = np.empty((n, k), np.float32), np.empty((n, k), np.int64)
    waiting, wide = np.arange(n if k else 0), min(k + _SLACK, allowed)
    while len(waiting):
        unsure = []
        asked = queries if len(waiting) == n else _Taken(queries, waiting)
        for q0, vectors, columns, squared, error in _candidate_blocks(asked, gallery, wide, max_memory, keep):
            squared = _settled(vectors, gallery, columns, squared, error, k, max_memory // 4)
            order = np.lexsort((columns, squared), axis=1)[:, :k]
            where = waiting[q0 : q0 + len(vectors)]
            found_rows[where] = np.take_along_axis(columns, order, 1)
            nearest = np.take_along_axis(squared, order, 1)
            found_distances[where] = np.sqrt(nearest)
            unsure.append(where[squared[:, -1] <= nearest[:, -1] + 2 * error])
        waiting = np.concatenate(unsure) if wide < allowed else waiting[:0]
        wide = min(8 * wide, allowed)
    return found_distances, found_rows


def distance_blocks(
    queries: Rows, gallery: Rows, max_memory: int = DEFAULT_MEMORY
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the matrix of squared Euclidean distances, some rows at a time.

    A distance that is no more than rounding is zero, so that equal rows tie whatever the tiles.

    Yields:
        the first query's row, and a float32 block ``(queries in it, m)``, never below zero.

    Raises:
        CrossbandError: as :func:`exact_search`.
    """
    m = gallery.shape[0]
    held = max_memory // 8  # of two: the last block is there yet while the next is made
    height = max(1, min(queries.shape[0], 4096, held // (4 * max(m, 1))))
    for q0, q_tile in _tiles(queries, height, max_memory // 4):
        block = np.empty((len(q_tile), m), np.float32)
        for g0, tile in _distance_tiles(q_tile, gallery, max_memory // 2, max_memory):
            block[:, g0 : g0 + tile.shape[1]] = tile
        norms = _squared_norms(q_tile)
        block += norms[:, None]
        block[block <= _error(norms, q_tile.shape[1], 0.0)[:, None]] = 0
        yield q0, block


def gram_matrix(rows: Rows, max_memory: int = DEFAULT_MEMORY) -> np.ndarray:
    """Compute the inner products of all rows with each other, float64 ``(n, n)``."""
    n = rows.shape[0]
    gram = np.empty((n, n))
    for r0, tile in _tiles(rows, n, max_memory // 3):
        for c0, other in _tiles(rows, n, max_memory // 3):
            if c0 <= r0:
                product = (tile @ other.T).double().numpy()
                gram[r0 : r0 + len(tile), c0 : c0 + len(other)] = product
                gram[c0 : c0 + len(other), r0 : r0 + len(tile)] = product.T
    return gram


def cka_of_rows(x: Rows, y: Rows, max_memory: int = DEFAULT_MEMORY) -> float:
    """Compute linear CKA of two sets of vectors of the same frames, read in tiles.

    The sets are ``(n, d1)`` and ``(n, d2)``.

    Through Gram matrices ``(n, n)`` or, where vectors are shorter than the sets are long, covariances
    ``(d, d)``, whichever is smaller; see :func:`crossband.metrics.linear_cka`.

    Raises:
        CrossbandError: all vectors of one side are the same.
    """
    n, widest = x.shape[0], max(x.shape[1], y.shape[1])
    if n <= widest:
        return cka_from_grams(gram_matrix(x, max_memory), gram_matrix(y, max_memory))
    cross, own_x, own_y = (_covariance(a, b, max_memory) for a, b in ((x, y), (x, x), (y, y)))
    norms = np.linalg.norm(own_x) * np.linalg.norm(own_y)
    if not norms > 0:
        raise CrossbandError("CKA is undefined: all descriptors of one band are equal")
    return float(np.linalg.norm(cross) ** 2 / norms)


def _covariance(x: Rows, y: Rows, max_memory: int) -> np.ndarray:
    """The sum over frames of the products of what differs from the mean, float64 ``(d1, d2)``."""
    n = x.shape[0]
    height = max(1, max_memory // (64 * (x.shape[1] + y.shape[1])))
    total = np.zeros((x.shape[1], y.shape[1]))
    sums = np.zeros(x.shape[1]), np.zeros(y.shape[1])
    for start in range(0, n, height):
        mine, theirs = (rows.rows(start, min(start + height, n)).astype(np.float64) for rows in (x, y))
        total += mine.T @ theirs
        for kept, part in zip(sums, (mine, theirs), strict=True):
            kept += part.sum(0)
    return total - np.outer(*sums) / n


def _tiles(rows: Rows, most: int, memory: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Consecutive rows as tensors of at most ``most`` rows and ``memory`` bytes."""
    n, d = rows.shape
    if memory < 8 * d:
        raise CrossbandError(
            f"one descriptor has {d} numbers; give at least {-(-32 * d >> 20)}M of memory",
            parameter="max_memory",
        )
    height = max(1, min(most, memory // (16 * max(d, 1))))  # four bytes, thrice more while rows are finished
    for start in range(0, n, height):
        yield start, _tensor(rows.rows(start, min(start + height, n)))


def _tensor(rows: np.ndarray) -> torch.Tensor:
    """An array as a tensor that is only read: one that a file or a store owns is not copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(rows)


def _distance_tiles(
    queries: torch.Tensor, gallery: Rows, memory: int, most: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Squared distances, less each query's squared norm, of all queries to some gallery rows at a time, at
    most ``most`` values per tile; the next is written over the last."""
    if queries.shape[1] != gallery.shape[1]:
        raise CrossbandError(
            f"dimension mismatch: queries have {queries.shape[1]} dims, "
            f"the gallery has {gallery.shape[1]}; use one model for both"
        )
    scaled = -2 * queries
    width = max(1, min(most, memory // 16) // max(len(queries), 1))
    # one buffer, of numpy: tiles that torch allocates one after another leave holes too small for the next
    buffer = torch.from_numpy(np.empty(len(queries) * min(width, gallery.shape[0]), np.float32))
    at_once = getattr(gallery, "at_once", gallery.shape[0])
    for g0, rows in _tiles(gallery, at_once, memory // 2):
        theirs = _gallery_norms(gallery, g0, rows)
        for start in range(0, len(rows), width):
            some = rows[start : start + width]
            tile = buffer[: len(queries) * len(some)].view(len(queries), len(some))
            torch.mm(scaled, some.T, out=tile)
            found = tile.numpy()
            found += theirs[start : start + width]
            yield g0 + start, found


def _squared_norms(rows: torch.Tensor) -> np.ndarray:
    return torch.linalg.vector_norm(rows, dim=1).square_().numpy()


def _gallery_norms(gallery: Rows, start: int, rows: torch.Tensor) -> np.ndarray:
    """Squared norms of rows just read; what is in memory knows its own."""
    known: np.ndarray | None = getattr(gallery, "squared_norms", None)
    return _squared_norms(rows) if known is None else known[start : start + len(rows)]


def _candidate_blocks(
    queries: Rows, gallery: Rows, wide: int, max_memory: int, keep: np.ndarray | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """For some queries at a time: the first one's row, the vectors, of the ``wide`` nearest gallery rows by
    the matrix product, nearest first, the position and the squared distance in double, and how far these
    distances may be off."""
    dropped = None if keep is None else ~np.asarray(keep, bool)
    for q0, q_tile in _tiles(queries, 1024, max_memory // 4):
        best = _Best(len(q_tile), wide)
        for g0, tile in _distance_tiles(q_tile, gallery, max_memory // 2, _TILE):
            if dropped is not None:
                tile[:, dropped[g0 : g0 + tile.shape[1]]] = np.inf
            best.offer(tile, g0)
        squared, columns = best.sorted()
        norms = _squared_norms(q_tile)
        squared = np.maximum(squared + norms[:, None], 0, dtype=np.float64)
        yield q0, q_tile.numpy(), columns, squared, _error(norms, q_tile.shape[1], squared[:, -1])


class _Best:
    """The nearest candidates of some queries, as tiles of distances go by.

    Selecting costs more than the matrix product, so a tile is first compared with the worst candidate kept of
    each query, and what is nearer waits until there is enough of it to select from.
    """

    def __init__(self, n: int, wide: int) -> None:
        self._n, self._wide = n, wide
        self._squared = np.empty((n, 0), np.float32)
        self._columns = np.empty((n, 0), np.int64)
        self._worst = np.full((n, 1), np.inf, np.float32)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._count = 0

    def offer(self, tile: np.ndarray, first: int) -> None:
        """Take in squared distances ``(n, w)`` to the gallery rows from ``first`` on."""
        width = tile.shape[1]
        if self._squared.shape[1] < self._wide:  # nothing to compare with yet
            columns = np.broadcast_to(np.arange(first, first + width), tile.shape)
            self._select(tile, columns)
            return
        flat = np.flatnonzero(tile < self._worst)
        rows, columns = np.divmod(flat, width)
        self._waiting.append((rows, columns + first, tile.ravel()[flat]))
        self._count += len(flat)
        if self._count > 8 * self._n:
            self._merge()

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances and gallery rows ``(n, wide)``, nearest first."""
        self._merge()
        order = np.argsort(self._squared, axis=1)
        return np.take_along_axis(self._squared, order, 1), np.take_along_axis(self._columns, order, 1)

    def _merge(self) -> None:
        """Lay what waits side by side, one row per query, and select."""
        if not self._count:
            return
        rows, columns, squared = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        order = np.argsort(rows, kind="stable")
        rows, columns, squared = rows[order], columns[order], squared[order]
        counts = np.bincount(rows, minlength=self._n)
        place = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
        side = np.full((self._n, counts.max()), np.inf, np.float32)
        names = np.zeros(side.shape, np.int64)
        side[rows, place], names[rows, place] = squared, columns
        self._waiting, self._count = [], 0
        self._select(side, names)

    def _select(self, squared: np.ndarray, columns: np.ndarray) -> None:
        squared = np.concatenate([self._squared, squared], 1)
        columns = np.concatenate([self._columns, columns], 1)
        if squared.shape[1] > self._wide:
            chosen = np.argpartition(squared, self._wide - 1, axis=1)[:, : self._wide]
            squared = np.take_along_axis(squared, chosen, 1)
            columns = np.take_along_axis(columns, chosen, 1)
        self._squared, self._columns = squared, columns
        self._worst = squared.max(1, keepdims=True)


def _settled(
    queries: np.ndarray,
    gallery: Rows,
    columns: np.ndarray,
    squared: np.ndarray,
    error: np.ndarray,
    k: int,
    memory: int,
) -> np.ndarray:
    """Squared distances, sorted, with those measured again whose order among the first ``k`` is not certain,
    or that are so small that rounding is a thousandth of them."""
    close = np.diff(squared, axis=1) <= 2 * error[:, None]
    group = np.pad(np.cumsum(~close, axis=1), ((0, 0), (1, 0)))
    doubtful = (
        np.pad(close, ((0, 0), (1, 0))) | np.pad(close, ((0, 0), (0, 1))) | (squared <= 1000 * error[:, None])
    )
    pairs = np.argwhere(doubtful & (group <= group[:, k - 1 : k]))
    settled = squared.copy()
    height = max(1, min(memory, _TILE) // (16 * gallery.shape[1]))
    for start in range(0, len(pairs), height):
        rows, places = pairs[start : start + height].T
        difference = np.subtract(queries[rows], gallery.take(columns[rows, places]), dtype=np.float64)
        settled[rows, places] = np.einsum("nd,nd->n", difference, difference)
    return settled


def _error(norms: np.ndarray, d: int, squared: np.ndarray | float) -> np.ndarray:
    """How far the matrix product may be off the squared distances, up to the one given, of queries of ``d``
    numbers with these squared norms."""
    longest = np.sqrt(norms, dtype=np.float64) + np.sqrt(squared)  # of any gallery row at that distance
    return _rounding(d) * (norms + longest**2)


def _rounding(d: int) -> float:
    """How far a float32 matrix product over ``d`` dims may be off, as a share of the squared norms."""
    return float(np.finfo(np.float32).eps) * (8 + d**0.5 / 8)


class _Taken:
    """Some rows of others."""

    def __init__(self, rows: Rows, index: np.ndarray) -> None:
        self._rows, self._index = rows, index

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._index), self._rows.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self._rows.take(self._index[start:stop])

    def take(self, index: np.ndarray) -> np.ndarray:
        return self._rows.take(self._index[index])
