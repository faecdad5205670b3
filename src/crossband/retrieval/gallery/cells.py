"""Approximate search in memory: vectors in cells, of which a query looks into the nearest few.

The inverted file of Sivic and Zisserman ("Video Google", ICCV 2003) over k-means of the vectors themselves: the
rows of a cell lie side by side, so that a query reads a few runs of memory instead of all of it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import DamagedFileError

__all__ = ["CELLS", "Centers", "cell_count", "sorted_places", "train_centers"]

CELLS = "cells.npy"
"""The gallery's file of centers."""
_ROUNDS = 10
_PER_CELL = 40  # vectors of the sample


@dataclass(frozen=True)
class Centers:
    """The middles of cells.

    Attributes:
        points: float32 ``(c, d)``.
    """

    points: np.ndarray

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """Return the nearest center of each vector, int32 ``(n,)``."""
        points = torch.from_numpy(self.points)
        half = 0.5 * points.square().sum(1)
        found = []
        for start in range(0, len(vectors), 8192):
            some = torch.from_numpy(np.require(vectors[start : start + 8192], requirements="W"))
            found.append((some @ points.T - half).argmax(1).int().numpy())
        return np.concatenate(found) if found else np.empty(0, np.int32)

    def nearest(self, query: np.ndarray, n: int) -> np.ndarray:
        """Return the ``n`` centers nearest to a query, in no order."""
        squared = np.square(self.points).sum(1) - 2 * (self.points @ query)
        return np.argpartition(squared, n - 1)[:n] if n < len(squared) else np.arange(len(squared))

    def to_bytes(self) -> bytes:
        """Return what :meth:`of_bytes` reads."""
        file = io.BytesIO()
        np.save(file, self.points, allow_pickle=False)
        return file.getvalue()

    @classmethod
    def of_bytes(cls, data: bytes, size: int) -> Centers:
        """Read centers of vectors of ``size`` dims.

        Raises:
            DamagedFileError: no such thing.
        """
        try:
            points = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError, OverflowError, MemoryError):
            points = np.empty(0)
        if points.ndim != 2 or points.shape[1] != size or points.dtype != np.float32 or not len(points):
            raise DamagedFileError("the gallery's index is damaged; crossband gallery optimize makes it")
        return cls(points)


def cell_count(n: int) -> int:
    """Tell into how many cells ``n`` vectors are best divided.

    Example:
        >>> cell_count(1_000_000), cell_count(300)
        (1000, 17)
    """
    return max(1, math.isqrt(n))


def train_centers(sample: np.ndarray, n: int, seed: int = 0) -> Centers:
    """Find ``n`` centers of a sample ``(m, d)`` by k-means; of at most 40 vectors a cell."""
    generator = np.random.default_rng(seed)
    sample = sample[generator.permutation(len(sample))[: _PER_CELL * n]]
    points = sample[: min(n, len(sample))].copy()
    for _ in range(_ROUNDS):
        mine = Centers(points).assign(sample)
        sums = torch.zeros(points.shape).index_add_(0, torch.from_numpy(mine).long(), torch.from_numpy(sample))
        counts = np.bincount(mine, minlength=len(points))
        points = (sums.numpy() / np.maximum(counts, 1)[:, None]).astype(np.float32)
        empty = counts == 0
        points[empty] = sample[generator.integers(0, len(sample), int(empty.sum()))]
    return Centers(points)


def sorted_places(cells: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of rows by their cells, and where each of ``n`` cells starts in it.

    Example:
        >>> order, starts = sorted_places(np.array([1, 0, 1]), 2)
        >>> order.tolist(), starts.tolist()
        ([1, 0, 2], [0, 1, 3])
    """
    starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=n))])
    return np.argsort(cells, kind="stable"), starts
