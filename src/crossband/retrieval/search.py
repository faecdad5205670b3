"""Exact nearest neighbours in bounded memory, over queries and gallery that may lie on disk.

Distances are Euclidean. **Ties** are broken by position: of two gallery rows at the same distance, the one
that stands first in the gallery comes first. To make that hold whatever the tiles, the candidates that the
matrix product finds are measured again, one by one, in double precision; where a row left out may be as near
as the last one kept, as among many copies of one image, more candidates are taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..errors import CrossbandError
from .store import Rows

__all__ = ["DEFAULT_MEMORY", "distance_blocks", "exact_search", "gram_matrix", "parse_memory"]

DEFAULT_MEMORY = 2 << 30
_SLACK = 16  # candidates beyond k that are measured again, so that rounding cannot push one out


def parse_memory(text: str) -> int:
    """Bytes of a size such as ``512M`` or ``2G``.

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
        raise CrossbandError(f"{text!r} is no size; write --max-memory 512M or 2G")
    return size


def exact_search(
    queries: Rows,
    gallery: Rows,
    k: int,
    max_memory: int = DEFAULT_MEMORY,
    keep: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest gallery rows of each query, nearest first.

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
        >>> from crossband.retrieval.store import ArrayRows
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
        blocks = _candidate_blocks(_Taken(queries, waiting), gallery, wide, max_memory, keep)
        for q0, vectors, candidates, beyond in blocks:
            exact = _measure(vectors, gallery, candidates, max_memory // 4)
            order = np.lexsort((candidates, exact), axis=1)[:, :k]
            where = waiting[q0 : q0 + len(vectors)]
            found_rows[where] = np.take_along_axis(candidates, order, 1)
            nearest = np.take_along_axis(exact, order, 1)
            found_distances[where] = nearest
            unsure.append(where[beyond <= _reach(vectors, nearest[:, -1])])
        waiting = np.concatenate(unsure) if wide < allowed else waiting[:0]
        wide = min(8 * wide, allowed)
    return found_distances, found_rows


def distance_blocks(
    queries: Rows, gallery: Rows, max_memory: int = DEFAULT_MEMORY
) -> Iterator[tuple[int, np.ndarray]]:
    """The matrix of squared Euclidean distances, some whole rows of it at a time.

    A distance that is no more than rounding is zero, so that equal rows tie whatever the tiles.

    Yields:
        the first query's row, and a float32 block ``(queries in it, m)``, never below zero.

    Raises:
        CrossbandError: as :func:`exact_search`.
    """
    m = gallery.shape[0]
    height = max(1, min(queries.shape[0], 4096, max_memory // 4 // (4 * max(m, 1))))
    for q0, q_tile in _tiles(queries, height, max_memory // 4):
        block = np.empty((len(q_tile), m), np.float32)
        for g0, tile in _distance_tiles(q_tile, gallery, max_memory // 2):
            block[:, g0 : g0 + tile.shape[1]] = tile.numpy()
        block[block <= _reach(q_tile.numpy(), np.zeros(len(block)))[:, None]] = 0
        yield q0, block


def gram_matrix(rows: Rows, max_memory: int = DEFAULT_MEMORY) -> np.ndarray:
    """The inner products of all rows with each other, float64 ``(n, n)``."""
    n = rows.shape[0]
    gram = np.empty((n, n))
    for r0, tile in _tiles(rows, n, max_memory // 3):
        for c0, other in _tiles(rows, n, max_memory // 3):
            if c0 <= r0:
                product = (tile @ other.T).double().numpy()
                gram[r0 : r0 + len(tile), c0 : c0 + len(other)] = product
                gram[c0 : c0 + len(other), r0 : r0 + len(tile)] = product.T
    return gram


def _tiles(rows: Rows, most: int, memory: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Consecutive rows as tensors of at most ``most`` rows and ``memory`` bytes."""
    n, d = rows.shape
    height = min(most, memory // (8 * max(d, 1)))  # twice four bytes: the file's page and its copy
    if height < 1:
        raise CrossbandError(f"one descriptor has {d} numbers; give at least --max-memory {-(-32 * d >> 20)}M")
    for start in range(0, n, height):
        yield start, torch.from_numpy(rows.rows(start, min(start + height, n)))


def _distance_tiles(queries: torch.Tensor, gallery: Rows, memory: int) -> Iterator[tuple[int, torch.Tensor]]:
    if queries.shape[1] != gallery.shape[1]:
        raise CrossbandError(
            f"{queries.shape[1]} numbers a query and {gallery.shape[1]} a gallery row; use one model for both"
        )
    norms = queries.square().sum(1, keepdim=True)
    width = max(1, memory // 2 // (8 * max(len(queries), 1)))
    for g0, tile in _tiles(gallery, width, memory // 2):
        squared = torch.addmm(tile.square().sum(1)[None], queries, tile.T, alpha=-2)
        yield g0, squared.add_(norms).clamp_(min=0)


def _candidate_blocks(
    queries: Rows, gallery: Rows, wide: int, max_memory: int, keep: np.ndarray | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """For some queries at a time: the first one's row, the vectors, the ``wide`` nearest gallery rows by the
    matrix product, unsorted, and the squared distance that no row left out is below."""
    dropped = None if keep is None else torch.from_numpy(~np.asarray(keep, bool))
    for q0, q_tile in _tiles(queries, 4096, max_memory // 4):
        best = torch.empty(len(q_tile), 0)
        columns = torch.empty(len(q_tile), 0, dtype=torch.int64)
        for g0, tile in _distance_tiles(q_tile, gallery, max_memory // 2):
            if dropped is not None:
                tile.masked_fill_(dropped[None, g0 : g0 + tile.shape[1]], torch.inf)
            values, index = tile.topk(min(wide, tile.shape[1]), dim=1, largest=False, sorted=False)
            best = torch.cat([best, values], 1)
            columns = torch.cat([columns, index + g0], 1)
            if best.shape[1] > wide:
                best, order = best.topk(wide, dim=1, largest=False, sorted=False)
                columns = columns.gather(1, order)
        yield q0, q_tile.numpy(), columns.numpy(), best.amax(1).numpy()


def _measure(queries: np.ndarray, gallery: Rows, rows: np.ndarray, memory: int) -> np.ndarray:
    """Euclidean distances of each query to some gallery rows ``(n, c)``, in double precision."""
    distances = np.empty(rows.shape)
    pairs = max(1, memory // (12 * gallery.shape[1]))  # a row read, and its difference in double
    width = min(pairs, rows.shape[1])
    height = max(1, pairs // width)
    for top in range(0, rows.shape[0], height):
        for left in range(0, rows.shape[1], width):
            part = rows[top : top + height, left : left + width]
            found = gallery.take(part.ravel()).reshape(*part.shape, -1)
            difference = np.subtract(found, queries[top : top + height, None], dtype=np.float64)
            squared = np.einsum("ncd,ncd->nc", difference, difference)
            distances[top : top + height, left : left + width] = np.sqrt(squared)
    return distances


def _reach(queries: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The largest squared distance that the matrix product may give a row that is truly at a distance."""
    norms = np.sqrt(np.einsum("nd,nd->n", queries, queries, dtype=np.float64))
    return distances**2 + _rounding(queries.shape[1]) * (norms**2 + (norms + distances) ** 2)


def _rounding(d: int) -> float:
    """How far a float32 matrix product over ``d`` numbers may be off, as a share of the squared norms."""
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
