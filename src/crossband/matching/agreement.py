"""How well two grids of local features agree, once the one is laid over the other by a similarity.

Matches find the similarity; frames two meters apart on one street have nearly as many of them as the same
moment in both bands. What tells them apart is everything between the matches: the similarity is refined on all
positions, seen as a mean of the places around where each of them falls, and the features are compared position
by position. A position counts by how well **anything** in the other image can be like it, so that the dark and
noisy parts of a night, which nothing is like, speak neither for nor against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Laid", "lay_over"]

_ROUNDS = 3
_LEAST = 0.05  # cosine below which a position has no partner worth the name
_OVERLAP = 0.15  # of the positions: an overlap as small as this is believed by half
_AROUND = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)])  # columns, rows


@dataclass(frozen=True)
class Laid:
    """A query laid over ``k`` candidates.

    Attributes:
        factor: complex ``(k,)``: scale and turn.
        offset: complex ``(k,)``: in positions.
        agreement: float64 ``(k,)``: 1 where each position falls on the one that is most like it.
    """

    factor: np.ndarray
    offset: np.ndarray
    agreement: np.ndarray


def lay_over(
    similar: np.ndarray,
    here: np.ndarray,
    factor: np.ndarray,
    offset: np.ndarray,
    grid: tuple[int, int],
    best: np.ndarray | None = None,
) -> Laid:
    """Refine similarities on all positions, and tell how well the features agree.

    Args:
        similar: float32 ``(k, p, n)``: cosines of ``p`` positions of the query and ``n`` of each candidate.
        here: complex ``(p,)``: the query's positions, column + 1j row.
        factor: complex ``(k,)``: first guesses; ``offset`` likewise.
        grid: (rows, columns) of a candidate's positions.
        best: ``(k, n)``: the largest of each column, where it is known.

    Example:
        >>> rows, columns = np.mgrid[:6, :6]
        >>> here = (columns + 1j * rows).ravel()
        >>> laid = lay_over(np.eye(36, dtype=np.float32)[None], here, np.array([1.0]), np.array([0.4j]), (6, 6))
        >>> complex(laid.offset.round(2)[0]), laid.agreement.round(2).tolist()
        (0j, [0.87])
    """
    rows, columns = grid
    best = np.maximum(similar.max(1) if best is None else best, _LEAST)
    if min(grid) >= 3:
        for _ in range(_ROUNDS):
            factor, offset = _refined(similar, here, factor, offset, grid)
    falls = factor[:, None] * here + offset[:, None]
    inside = (falls.real >= 0) & (falls.real <= columns - 1) & (falls.imag >= 0) & (falls.imag <= rows - 1)
    x, y = np.clip(falls.real, 0, columns - 1), np.clip(falls.imag, 0, rows - 1)
    alike = _between(similar, x, y, grid)
    nearest = np.rint(y).astype(np.int64) * columns + np.rint(x).astype(np.int64)
    most = np.take_along_axis(best, nearest, 1)
    weight = np.square(most) * inside
    overlap = inside.mean(1)
    agreement = (alike * weight).sum(1) / np.maximum((most * weight).sum(1), 1e-9)
    return Laid(factor, offset, agreement * overlap / (overlap + _OVERLAP))


def _refined(
    similar: np.ndarray, here: np.ndarray, factor: np.ndarray, offset: np.ndarray, grid: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The similarity to where each position's likeness lies, of the nine places around where it falls."""
    rows, columns = grid
    falls = factor[:, None] * here + offset[:, None]
    x, y = np.rint(falls.real).astype(np.int64), np.rint(falls.imag).astype(np.int64)
    inside = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)
    x, y = np.clip(x, 1, columns - 2), np.clip(y, 1, rows - 2)
    flat = _rows_of(similar) + y * columns + x
    around = similar.reshape(-1)[flat[..., None] + _AROUND[:, 1] * columns + _AROUND[:, 0]]
    around = np.square(np.square(np.maximum(around, 0)))
    total = around.sum(2)
    there = (x + around @ _AROUND[:, 0] / (total + 1e-12)) + 1j * (y + around @ _AROUND[:, 1] / (total + 1e-12))
    weight = total * inside
    known = np.maximum(weight.sum(1, keepdims=True), 1e-9)
    middle, other = (
        (weight * here).sum(1, keepdims=True) / known,
        (weight * there).sum(1, keepdims=True) / known,
    )
    centered = here - middle
    spread = (weight * np.abs(centered) ** 2).sum(1)
    turned = (weight * centered.conj() * (there - other)).sum(1) / np.maximum(spread, 1e-9)
    some = spread > 1e-6
    factor = np.where(some, turned, factor)
    return factor, np.where(some, (other - turned[:, None] * middle)[:, 0], offset)


def _between(similar: np.ndarray, x: np.ndarray, y: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Likeness at places between positions, bilinearly, ``(k, p)``."""
    rows, columns = grid
    left, top = (
        np.minimum(np.floor(a), max(side - 2, 0)).astype(np.int64) for a, side in ((x, columns), (y, rows))
    )
    u, v = x - left, y - top
    flat, corner = similar.reshape(-1), _rows_of(similar) + top * columns + left
    right, below = int(columns > 1), columns if rows > 1 else 0
    upper = flat[corner] * (1 - u) + flat[corner + right] * u
    lower = flat[corner + below] * (1 - u) + flat[corner + below + right] * u
    return upper * (1 - v) + lower * v


def _rows_of(similar: np.ndarray) -> np.ndarray:
    """Where each position's row begins in the flat array, ``(k, p)``."""
    k, p, n = similar.shape
    return (np.arange(k)[:, None] * p + np.arange(p)) * n
