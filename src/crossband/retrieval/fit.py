"""Fit what a descriptor learns without labels: each band's mean, and principal axes that whiten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ..progress import note, says_once
from .descriptor.descriptor import DEFAULT_DESCRIPTOR, DEFAULT_OPTIONS, Descriptor, Options, unit_length
from .descriptor_cache import Rows
from .embed import Embedding, embed

__all__ = ["fit_descriptor", "principal_axes"]


@says_once
def fit_descriptor(
    sets: Frames | Sequence[Frames],
    model: str | Descriptor = DEFAULT_DESCRIPTOR,
    dim: int = 256,
    *,
    whiten: float = 0.5,
    store: str | Path | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> Descriptor:
    """Shrink a descriptor to ``dim`` dimensions by principal axes, whitened, fitted without labels.

    Each band of each set is centered by its own mean before the axes are fitted, so that they describe what
    differs between scenes and not what differs between bands or cameras. The means of all sets together are
    kept for bands whose own mean is not known at the time of use.

    Args:
        sets: one or more sets of frames; never the ones to be searched, if figures are to be believed.
        model: what to shrink; centering is switched on.
        dim: of the vectors.
        whiten: the exponent of the singular values that axes are divided by: 0 none, 1 whole whitening.

        store: the folder of the descriptor store, in the user's cache where ``None``.
        options: how images are read and where weights lie, for a model by name.

    Raises:
        CrossbandError: fewer images than ``dim``.
    """
    sets = [sets] if isinstance(sets, Frames) else list(sets)
    descriptor = Descriptor.of(model, options)
    if not sets or any(not len(frames) for frames in sets):
        raise CrossbandError("a set to fit on has no frames")
    images = sum(int(frames.table[band.value].notna().sum()) for frames in sets for band in frames.bands)
    if images <= dim:
        raise CrossbandError(
            f"{dim} axes need more than {dim} images, and there are {images}; give more, or ask for fewer",
            parameter="dim",
        )
    embeddings = [embed(frames, descriptor, store=store) for frames in sets]
    for fault in (fault for embedding in embeddings for fault in embedding.faults):
        note(f"left out: {fault}")
    centered = np.concatenate([part for embedding in embeddings for part in _centered(embedding)])
    axes = principal_axes(centered, dim, whiten)
    name = f"{descriptor.name}+pca{dim}"
    return replace(descriptor, name=name, center=True, axes=axes, means=_common_means(embeddings))


def principal_axes(centered: np.ndarray, dim: int, whiten: float = 0.5) -> np.ndarray:
    """Compute the principal axes ``(d, dim)`` of centered rows ``(n, d)``.

    Each is divided by its singular value to the power ``whiten``, the first by one: with 1 all projections
    have the variance of the first, with 0 their own.

    Jegou and Chum, "Negative evidences and co-occurences in image retrieval", ECCV 2012. Through the Gram
    matrix when there are fewer rows than dims.

    Raises:
        CrossbandError: the rows span fewer than ``dim`` dimensions.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
        >>> projected = rows @ principal_axes(rows, 3, whiten=1.0)
        >>> bool(np.allclose(np.corrcoef(projected.T), np.eye(3), atol=0.1))
        True
    """
    n, d = centered.shape
    if n <= dim or d < dim:
        raise CrossbandError(
            f"{dim} axes need more than {dim} images and vectors of at least {dim} dims; "
            f"there are {n} images of {d} dims; give more images or ask for fewer axes"
        )
    if n < d:
        values, left = np.linalg.eigh(_gram(centered.T))
        singular = np.sqrt(values[::-1][:dim].clip(0))
        axes = centered.T @ (left[:, ::-1][:, :dim] / np.maximum(singular, 1e-12)).astype(np.float32)
    else:
        values, axes = np.linalg.eigh(_gram(centered))
        singular, axes = np.sqrt(values[::-1][:dim].clip(0)), axes[:, ::-1][:, :dim]
    if not singular[-1] > 1e-6 * singular[0]:
        raise CrossbandError(f"these images vary in fewer than {dim} directions; ask for fewer axes")
    scale = (singular / singular[0]) ** whiten
    return np.ascontiguousarray(axes / scale, np.float32)


def _gram(matrix: np.ndarray, height: int = 4096) -> np.ndarray:
    """``M^T M`` in double precision, without a second copy of the matrix."""
    parts = (matrix[start : start + height].astype(np.float64) for start in range(0, len(matrix), height))
    return sum((part.T @ part for part in parts), np.zeros((matrix.shape[1],) * 2))


def _centered(embedding: Embedding) -> list[np.ndarray]:
    parts = []
    for part in embedding.bands.values():
        rows = unit_length(part.pooled.rows(0, part.pooled.shape[0]))
        parts.append(rows - rows.mean(0))
    return parts


def _common_means(embeddings: list[Embedding]) -> dict[Band, np.ndarray]:
    """The mean of each band over all sets, every image counting once."""
    bands = {band for embedding in embeddings for band in embedding.bands}
    means = {}
    for band in sorted(bands):
        parts: list[tuple[Rows, np.ndarray]] = [
            (e.bands[band].pooled, e.bands[band].mean()) for e in embeddings if band in e.bands
        ]
        counts = np.array([rows.shape[0] for rows, _ in parts], float)
        means[band] = np.average([mean for _, mean in parts], axis=0, weights=counts).astype(np.float32)
    return means
