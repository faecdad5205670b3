"""The centroid condition: is each place, on average, nearest to itself in the other band?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError

__all__ = ["CentroidCondition", "centroid_condition", "compare_centroids"]


@dataclass(frozen=True)
class CentroidCondition:
    """The centroid condition: table 3 of Pendota and Channappayya.

    Attributes:
        score: places whose centroid in the query band is nearest to its own in the gallery band.
        places: the places' names, sorted.
        distances: float64 ``(places, places)``, query centroid by gallery centroid.
    """

    score: int
    places: tuple[str, ...]
    distances: np.ndarray


def centroid_condition(
    queries: np.ndarray, query_places: list[str], gallery: np.ndarray, gallery_places: list[str]
) -> CentroidCondition:
    """Count the places whose query centroid is strictly nearest to their own gallery centroid.

    Pendota and Channappayya, section 4.1.3. Only places that both sides have are compared.

    Args:
        queries: descriptors ``(n, d)``; ``query_places`` names the place of each.
        gallery: descriptors ``(m, d)``; ``gallery_places`` names the place of each.

    Raises:
        CrossbandError: fewer than two places in common.

    Example:
        >>> x = np.array([[0.0], [0.2], [5.0]])
        >>> centroid_condition(x, ["a", "a", "b"], x + 1, ["a", "a", "b"]).score
        2
    """
    places = sorted(set(query_places) & set(gallery_places))
    _check(places)
    return compare_centroids(
        _centroids(queries, query_places, places), _centroids(gallery, gallery_places, places), places
    )


def compare_centroids(mine: np.ndarray, theirs: np.ndarray, places: list[str]) -> CentroidCondition:
    """Compute the centroid condition from centroids ``(places, d)`` of both bands."""
    _check(places)
    distances = np.array([np.linalg.norm(theirs - centroid, axis=1) for centroid in mine])
    others = np.where(np.eye(len(places), dtype=bool), np.inf, distances)
    score = int((np.diag(distances) < others.min(1)).sum())
    return CentroidCondition(score, tuple(places), distances)


def _check(places: list[str]) -> None:
    if len(places) < 2:
        raise CrossbandError(f"the centroid condition needs two places or more; there are {len(places)}")


def _centroids(descriptors: np.ndarray, names: list[str], places: list[str]) -> np.ndarray:
    labels = np.asarray(names)
    return np.stack([descriptors[labels == place].mean(0, dtype=np.float64) for place in places])
