"""What a descriptor learns without labels: means that remove the shift of a band, axes that whiten."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.retrieval import benchmark, embed, fit_descriptor
from crossband.retrieval.descriptor.descriptor import Finish, unit_length
from crossband.retrieval.fit import principal_axes


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Centered rows whose variances fall from axis to axis."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values = rng.normal(size=(n, d)) * np.linspace(5, 1, d) @ turn
    return (values - values.mean(0)).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(500, 12), (40, 200)])
def test_without_whitening_the_axes_are_the_principal_ones(n, d):
    x = rows(n, d)
    axes = principal_axes(x, 4, whiten=0)
    _, singular, right = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(abs(np.sum(axes * right[:4].T, 0)), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(x @ axes, axis=0), singular[:4], rtol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(500, 12), (40, 200)])
def test_whole_whitening_gives_uncorrelated_numbers_of_equal_variance(n, d):
    projected = rows(n, d) @ principal_axes(rows(n, d), 5, whiten=1)
    covariance = np.cov(projected.T)
    np.testing.assert_allclose(covariance / covariance[0, 0], np.eye(5), atol=1e-3)


def test_half_whitening_lies_between():
    x = rows(500, 12)
    spread = [np.ptp(np.log((x @ principal_axes(x, 5, whiten)).std(0))) for whiten in (0, 0.5, 1)]
    assert spread[0] > spread[1] > spread[2]
    assert spread[1] == pytest.approx(spread[0] / 2, rel=1e-3)


def test_the_gram_matrix_and_the_covariance_lead_to_the_same_axes():
    x = rows(60, 60)
    fewer = principal_axes(x[:, :59], 5)  # by the covariance
    wide = principal_axes(np.pad(x[:, :59], ((0, 0), (0, 40))), 5)[:59]  # by the Gram matrix
    signs = np.sign(np.sum(fewer * wide, 0))
    np.testing.assert_allclose(fewer, wide * signs, atol=1e-4)


def test_too_few_images_are_one_sentence():
    with pytest.raises(CrossbandError, match=r"more than 8 images .* there are 8 images of 20 dims"):
        principal_axes(rows(8, 20), 8)


def test_images_that_vary_in_too_few_directions_are_one_sentence():
    flat = rows(50, 3) @ np.ones((3, 20), np.float32)
    with pytest.raises(CrossbandError, match="ask for fewer dims"):
        principal_axes(flat, 4)


def test_fitting_needs_more_images_than_numbers(tmp_path, pairs, hog):
    with pytest.raises(CrossbandError, match="there are 36 images of 128 dims"):
        fit_descriptor([pairs], hog, 40, store=tmp_path)


def test_a_fitted_descriptor_is_small_centered_and_knows_the_bands_it_saw(tmp_path, pairs, hog):
    fitted = fit_descriptor([pairs], hog, 8, store=tmp_path)
    assert fitted.center
    assert fitted.axes is not None
    assert fitted.axes.shape == (128, 8)
    assert set(fitted.means or {}) == {Band.RGB, Band.NIR, Band.TIR}
    np.testing.assert_allclose(
        fitted.means[Band.TIR], embed(pairs, hog, store=tmp_path).means()[Band.TIR], atol=1e-6
    )


def test_means_of_several_sets_count_every_image_once(tmp_path, pairs, hog):
    parts = [pairs.select(np.arange(3)), pairs.select(np.arange(3, 12))]
    together = fit_descriptor([pairs], hog, 8, store=tmp_path)
    apart = fit_descriptor(parts, hog, 8, store=tmp_path)
    for band in Band:
        np.testing.assert_allclose(apart.means[band], together.means[band], atol=1e-6)


def test_each_set_is_centered_by_itself_before_the_axes(tmp_path, pairs, hog):
    """The first axis of two sets must not be the difference between them."""
    embedding = embed(pairs, hog, store=tmp_path)
    expected = []
    for part in embedding.bands.values():
        vectors = unit_length(part.pooled.rows(0, 12))
        expected.append(vectors - vectors.mean(0))
    fitted = fit_descriptor([pairs], hog, 8, store=tmp_path, whiten=0)
    other = principal_axes(np.concatenate(expected), 8, 0)
    np.testing.assert_allclose(abs(np.sum(fitted.axes * other, 0)), 1, atol=1e-3)


def test_centering_removes_a_constant_shift_of_a_band():
    rng = np.random.default_rng(0)
    scenes = unit_length(rng.normal(size=(50, 16)).astype(np.float32))
    thermal = scenes + 3 * rng.normal(size=16).astype(np.float32)
    norms = np.linalg.norm(thermal, axis=1, keepdims=True)
    means = {Band.RGB: scenes.mean(0), Band.TIR: (thermal / norms).mean(0)}
    finish = Finish(means)

    def hits(a: np.ndarray, b: np.ndarray) -> int:
        return int((((a[:, None] - b[None]) ** 2).sum(-1).argmin(1) == np.arange(50)).sum())

    assert hits(scenes, thermal) < 25
    assert hits(finish(scenes, Band.RGB), finish(thermal, Band.TIR)) == 50


def test_a_fitted_descriptor_stands_beside_others_in_a_benchmark(tmp_path, pairs, hog, small):
    path = str(fit_descriptor([pairs], hog, 8, store=tmp_path).save(tmp_path / "small.safetensors"))
    result = benchmark(pairs, ["hog", path], "rgb", "tir", store=tmp_path, options=small, misaligned=False)
    assert [run.model for run in result.runs] == ["hog", path]
    assert [run.descriptor_dim for run in result.runs] == [128, 8]
