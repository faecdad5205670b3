"""Linear CKA against the HSIC it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.metrics import linear_cka


def _reference_cka(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with tr(KHLH) written out."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    k, l = x @ x.T, y @ y.T  # noqa: E741

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        return np.trace(a @ h @ b @ h) / (n - 1) ** 2

    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def _reference_feature_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al., section 3, by the features: |Y'X|^2 / (|X'X| |Y'Y|) of centered columns."""
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


@pytest.mark.parametrize(("n", "d1", "d2"), [(30, 200, 150), (200, 12, 30), (40, 5, 300)])
def test_it_is_the_definition_for_few_and_for_many_images(n, d1, d2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d1)) + 3
    y = x @ rng.normal(size=(d1, d2)) + rng.normal(size=(n, d2)) * 5
    assert linear_cka(x, y) == pytest.approx(_reference_cka(x, y), rel=1e-10)
    assert linear_cka(x, y) == pytest.approx(_reference_feature_cka(x, y), rel=1e-10)


def test_it_does_not_change_under_rotation_scale_and_shift():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 8)), rng.normal(size=(50, 6))
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    assert linear_cka(4 * x @ turn + 7, y) == pytest.approx(linear_cka(x, y))
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x))


def test_it_is_one_for_the_same_and_near_zero_for_unrelated_images():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4))
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(x, rng.normal(size=(2000, 4))) < 0.01
