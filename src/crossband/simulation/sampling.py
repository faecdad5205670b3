"""Directions to look in: evenly spread points, and the hemisphere about a normal."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["about_normals", "evenly_spread", "tangents"]


@lru_cache(maxsize=1)
def evenly_spread() -> np.ndarray:
    """Return 64 points of the unit square, evenly spread (Hammersley), in an order that mixes neighbors."""
    index = np.arange(64)
    reversed_bits = sum(((index >> bit) & 1) << (5 - bit) for bit in range(6))
    points = np.stack([(index + 0.5) / 64, (reversed_bits + 0.5) / 64], axis=1)
    return points[(index * 37) % 64].astype(np.float32)


def tangents(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two directions across each normal ``(n, 3)`` of unit length (Duff et al., JCGT 6 (2017))."""
    sign = np.where(normal[:, 2] >= 0, np.float32(1), np.float32(-1))
    a = -1 / (sign + normal[:, 2])
    b = normal[:, 0] * normal[:, 1] * a
    first = np.stack([1 + sign * normal[:, 0] ** 2 * a, sign * b, -sign * normal[:, 0]], axis=1)
    return first, np.stack([b, sign + normal[:, 1] ** 2 * a, -normal[:, 1]], axis=1)


def about_normals(normal: np.ndarray, first: np.ndarray, second: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return cosine-weighted directions about normals.

    Args:
        normal: ``(n, 3)``, unit length.
        first: their :func:`tangents`; ``second`` likewise.
        points: ``(n, 2)`` of the unit square.
    """
    radius, angle = np.sqrt(points[:, 0]), 2 * np.pi * points[:, 1]
    x, y, z = radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - points[:, 0])
    return (first * x[:, None] + second * y[:, None] + normal * z[:, None]).astype(np.float32)
