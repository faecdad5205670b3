"""The modality gap: how far the descriptors of two bands lie apart as clouds."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..errors import CrossbandError

__all__ = ["ModalityGap", "modality_gap"]


@dataclass(frozen=True)
class ModalityGap:
    """How two bands' descriptors of the same frames lie.

    Attributes:
        gap: distance between the two means.
        pairs: mean distance between the two descriptors of a frame.
        strangers: mean distance between descriptors of two different frames, one per band.
    """

    gap: float
    pairs: float
    strangers: float

    def to_dict(self) -> dict[str, float]:
        """Return a plain mapping."""
        return asdict(self)


def modality_gap(x: np.ndarray, y: np.ndarray) -> ModalityGap:
    """Measure the gap between paired descriptors of unit length.

    Liang et al., "Mind the Gap", NeurIPS 2022, section 2: the Euclidean distance of the means.

    Args:
        x: ``(n, d)``, one band; rows are scaled to unit length.
        y: ``(n, d)``, the other band, row by row the same frames.

    Raises:
        CrossbandError: unequal shapes, or fewer than two frames.

    Example:
        >>> x = np.eye(3)
        >>> modality_gap(x, x).gap, round(modality_gap(x, x).strangers, 3)
        (0.0, 1.414)
    """
    if x.shape != y.shape or len(x) < 2:
        raise CrossbandError(
            f"the modality gap needs two or more frames in both bands: {x.shape} and {y.shape}"
        )
    x, y = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (x, y))
    squared = np.maximum(2 - 2 * (x @ y.T), 0)
    distances = np.sqrt(squared)
    n = len(x)
    own = np.linalg.norm(x - y, axis=1)
    strangers = (distances.sum() - np.trace(distances)) / (n * (n - 1))
    return ModalityGap(float(np.linalg.norm(x.mean(0) - y.mean(0))), float(own.mean()), float(strangers))
