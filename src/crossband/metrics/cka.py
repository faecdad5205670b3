"""Linear centered kernel alignment of two sets of descriptors of the same frames."""

from __future__ import annotations

import numpy as np

from ..errors import CrossbandError

__all__ = ["cka_from_grams", "linear_cka"]


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Compute linear CKA of ``x (n, d1)`` and ``y (n, d2)``: 1 for the same geometry, 0 for unrelated.

    Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, section 3;
    table 2 of Pendota and Channappayya. Computed from the Gram matrices, which is cheap for n << d.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(20, 5))
        >>> round(linear_cka(x, 3 * x[:, ::-1] + 1), 6)  # invariant to rotation, scale and shift
        1.0
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return cka_from_grams(x @ x.T, y @ y.T)


def cka_from_grams(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741 (the paper's letters)
    """Compute CKA from two Gram matrices ``(n, n)``.

    ``<HKH, HLH> / (|HKH| |HLH|)`` with ``H = I - 11^T / n``.

    Raises:
        CrossbandError: unequal sizes, or all descriptors of one side are the same.
    """
    if k.shape != l.shape:
        raise CrossbandError(
            f"CKA needs the same frames in both bands: {k.shape[0]} and {l.shape[0]} were given"
        )
    k, l = _centered(k), _centered(l)  # noqa: E741
    norms = np.linalg.norm(k) * np.linalg.norm(l)
    if not norms > 0:
        raise CrossbandError("CKA is undefined: all descriptors of one band are equal")
    return float(np.vdot(k, l) / norms)


def _centered(gram: np.ndarray) -> np.ndarray:
    rows = gram.mean(0, keepdims=True)
    return gram - rows - rows.T + gram.mean()
