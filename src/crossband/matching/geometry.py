"""Which matches one similarity explains: hypotheses from pairs of matches, counted all at once.

A similarity is a complex factor and a complex offset, ``w = a z + b``, so that two matches make a hypothesis by
one division (RANSAC, Fischler and Bolles, CACM 1981, with a fixed number of draws, always the same). It ranks
candidates, ten a query; the transforms of :mod:`crossband.matching.transform` are fitted with more care.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Consensus", "consensus"]

_DRAWS = 256
_APART = 0.125  # of the grid's longer side: nearer matches say nothing of scale and turn
_LEAST = 3  # matches; two always agree


@dataclass(frozen=True)
class Consensus:
    """What one similarity explains.

    Attributes:
        factor: scale and turn, complex.
        offset: complex, in the units of the positions.
        inliers: bool ``(m,)``.
    """

    factor: complex
    offset: complex
    inliers: np.ndarray


def consensus(
    here: np.ndarray,
    there: np.ndarray,
    threshold: float,
    most_scale: float = 1.6,
    most_turn: float = 0.6,
    side: float = 40.0,
    draws: int = _DRAWS,
) -> Consensus:
    """Find the similarity that most matches agree with, refined on them by least squares.

    Args:
        here: complex ``(m,)``: positions, column + 1j row.
        there: complex ``(m,)``: their partners'.
        threshold: distance up to which a match agrees.
        most_scale: the largest factor of scale, and its inverse the smallest.
        most_turn: the largest turn, radians.
        side: the longer side of the image in the units of the positions.
        draws: pairs of matches that are tried.

    Example:
        >>> here = np.array([0, 10, 10j, 10 + 10j, 5, 3j])
        >>> there = 1.1 * here + (2 - 1j); there[5] = 30
        >>> found = consensus(here, there, 1.0)
        >>> int(found.inliers.sum()), complex(np.round(found.offset, 6))
        (5, (2-1j))
    """
    none = Consensus(1, 0, np.zeros(len(here), bool))
    if len(here) < _LEAST:
        return none
    here, there = here.astype(np.complex64), there.astype(np.complex64)
    first, second = np.random.default_rng(0).integers(len(here), size=(2, draws))
    apart = np.abs(here[second] - here[first]) >= _APART * side
    first, second = first[apart], second[apart]
    factor = (there[second] - there[first]) / (here[second] - here[first])
    scale = np.abs(factor)
    likely = (scale < most_scale) & (scale > 1 / most_scale) & (np.abs(np.angle(factor)) < most_turn)
    factor, first = factor[likely], first[likely]
    if not len(factor):
        return none
    offset = there[first] - factor * here[first]
    agree = _square(factor[:, None] * here + (offset[:, None] - there)) < threshold**2
    best = int(agree.sum(1).argmax())
    return _refined(here, there, threshold, Consensus(factor[best], offset[best], agree[best]))


def _refined(here: np.ndarray, there: np.ndarray, threshold: float, found: Consensus) -> Consensus:
    """Least squares on the inliers, as long as no fewer agree."""
    for _ in range(2):
        mine, theirs = here[found.inliers], there[found.inliers]
        if len(mine) < _LEAST:
            break
        centered = mine - mine.mean()
        spread = float((np.abs(centered) ** 2).sum())
        factor = (centered.conj() * (theirs - theirs.mean())).sum() / max(spread, 1e-6)
        offset = theirs.mean() - factor * mine.mean()
        inliers = _square(factor * here + offset - there) < threshold**2
        if inliers.sum() < found.inliers.sum():
            break
        found = Consensus(complex(factor), complex(offset), inliers)
    return found


def _square(numbers: np.ndarray) -> np.ndarray:
    """Squared absolute values: no square root, which is most of the time of ``np.abs``."""
    return np.square(numbers.real) + np.square(numbers.imag)
