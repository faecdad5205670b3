"""Descriptors of two bands in the plane: PCA, t-SNE and UMAP, all from one table of principal scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from ..errors import CrossbandError, MissingExtraError
from ..registry import Registry
from .descriptor_cache import Rows
from .search import DEFAULT_MEMORY, gram_matrix

__all__ = ["PROJECTIONS", "check_projection", "principal_scores", "project"]

_COMPONENTS = 50  # what t-SNE and UMAP read


def principal_scores(rows: Rows, components: int = _COMPONENTS, max_memory: int = DEFAULT_MEMORY) -> np.ndarray:
    """Compute the first principal components' scores of ``n`` descriptors, float64 ``(n, c)``.

    The descriptors are read in tiles.

    Through the Gram matrix, so that a vector may be of any length; c is at most ``components`` and n.

    Example:
        >>> from crossband.retrieval.descriptor_cache import ArrayRows
        >>> principal_scores(ArrayRows(np.array([[0.0, 0], [2, 0], [4, 0]])), 1).ravel().round(6).tolist()
        [-2.0, 0.0, 2.0]
    """
    gram = gram_matrix(rows, max_memory)
    mean = gram.mean(0, keepdims=True)
    values, vectors = np.linalg.eigh(gram - mean - mean.T + gram.mean())
    order = np.argsort(-values)[:components]
    scores = vectors[:, order] * np.sqrt(np.maximum(values[order], 0))
    return scores * np.where(scores[-1] < 0, -1, 1)  # the last row's sign settles each axis


def project(scores: np.ndarray, method: str, seed: int = 0) -> np.ndarray:
    """Project principal scores ``(n, c)`` to points ``(n, 2)``, float64.

    Args:
        scores: of :func:`principal_scores`.
        method: ``pca``, ``tsne`` (van der Maaten and Hinton, JMLR 2008) or ``umap`` (McInnes et al., 2018).
        seed: the same seed gives the same points on one machine.

    Raises:
        CrossbandError: an unknown method, a library that is missing, or fewer than four descriptors.
    """
    check_projection(method)
    if len(scores) < 4:
        raise CrossbandError(f"a projection needs at least four descriptors; there are {len(scores)}")
    return PROJECTIONS.get(method)(scores, seed)


def check_projection(method: str) -> None:
    """Refuse a projection that is none, before any work.

    Raises:
        CrossbandError: an unknown name; a library that is missing is another matter.
    """
    PROJECTIONS.get(method)


def _pca(scores: np.ndarray, seed: int) -> np.ndarray:
    return np.pad(scores, ((0, 0), (0, max(0, 2 - scores.shape[1]))))[:, :2]


def _tsne(scores: np.ndarray, seed: int) -> np.ndarray:
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise _missing("t-SNE", "scikit-learn") from None
    perplexity = min(30.0, (len(scores) - 1) / 3)
    start = _pca(scores, seed)
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(scores).astype(float)


def _umap(scores: np.ndarray, seed: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from umap import UMAP
    except ImportError:
        raise _missing("UMAP", "umap-learn") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about threads, which a seed forbids
        neighbors = min(15, len(scores) - 1)
        return UMAP(n_neighbors=neighbors, init="pca", random_state=seed).fit_transform(scores).astype(float)


def _missing(what: str, package: str) -> CrossbandError:
    return MissingExtraError(f"{what} needs {package}; pip install 'crossband[explain]'")


PROJECTIONS: Registry[Callable[[np.ndarray, int], np.ndarray]] = Registry("projection")
PROJECTIONS.add("pca", _pca)
PROJECTIONS.add("tsne", _tsne)
PROJECTIONS.add("umap", _umap)
