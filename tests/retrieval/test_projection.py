"""Projections: principal scores are scikit-learn's, and clusters stay together."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.projection import principal_scores, project


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3, 1, 40)) * 5 + rng.normal(size=(3, 12, 40))).reshape(36, 40).astype(np.float32)


def test_principal_scores_are_scikit_learns_but_for_the_sign(clusters):
    ours = principal_scores(ArrayRows(clusters), 5)
    theirs = PCA(5, svd_solver="full").fit_transform(clusters)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-3)


@pytest.mark.parametrize("method", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.slow)])
def test_clusters_stay_together(clusters, method):
    if method == "umap":
        pytest.importorskip("umap")
    points = project(principal_scores(ArrayRows(clusters)), method)
    centers = points.reshape(3, 12, 2).mean(1)
    nearest = np.linalg.norm(points[:, None] - centers[None], axis=-1).argmin(1)
    assert (nearest == np.repeat([0, 1, 2], 12)).all()
    assert np.allclose(points, project(principal_scores(ArrayRows(clusters)), method))
