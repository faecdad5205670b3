"""Patch-NetVLAD's re-ranking: patches are means of residuals, and what agrees in place comes first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossband.errors import CrossbandError
from crossband.models.netvlad import PatchFeatures, PatchNetVLAD, PatchReranker, patch_score
from crossband.nn import Encoder


def features(vectors: torch.Tensor, side: int, shift: tuple[int, int] = (0, 0)) -> PatchFeatures:
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + shift
    return PatchFeatures(F.normalize(vectors, dim=1), places, 2, 1)


@pytest.fixture
def scene() -> torch.Tensor:
    return torch.randn(36, 24, generator=torch.Generator().manual_seed(0))


def blocks(n: int, shape: tuple[int, int]) -> torch.Tensor:
    """Images of colored squares of 16 pixels, which even a network without training tells apart."""
    colors = torch.randn(n, 3, *shape, generator=torch.Generator().manual_seed(0))
    return 4 * F.interpolate(colors, scale_factor=16)


@pytest.fixture(scope="module")
def network() -> PatchNetVLAD:
    torch.manual_seed(0)
    return PatchNetVLAD().eval()


@pytest.mark.slow
def test_a_patch_is_the_mean_residual_of_its_positions(network):
    images = torch.rand(1, 3, 80, 96)
    with torch.inference_mode():
        found = network.patches(images, 2)
        maps = network.encoder(images)
        x = F.normalize(maps, dim=1)[0]
        row, column = 1, 3
        assert found.places[row * 5 + column].tolist() == [column, row]
        share = (
            torch.einsum("kc,chw->khw", network.pool.weights, x) + network.pool.bias[:, None, None]
        ).softmax(0)
        total = torch.zeros(64, 512)
        for y in (row, row + 1):
            for z in (column, column + 1):
                total += share[:, y, z, None] * (x[:, y, z] - network.pool.centers)
        expected = F.normalize(F.normalize(total, dim=1).flatten(), dim=0)
    assert torch.allclose(found.vectors[row * 5 + column], expected, atol=1e-5)


def test_a_patch_as_large_as_the_map_is_the_whole_descriptor(network):
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network.patches(images, 4).vectors, network(images), atol=1e-5)


def test_what_agrees_in_place_comes_before_what_is_scattered(scene):
    generator = torch.Generator().manual_seed(1)
    shuffled = scene[torch.randperm(36, generator=generator)]
    other = torch.randn(36, 24, generator=generator)
    moved = features(scene + 0.05 * torch.randn(36, 24, generator=generator), 6, (1, 0))
    for method in ("ransac", "spatial"):
        scores = [patch_score(features(scene, 6), item, method) for item in (moved, features(shuffled, 6))]
        assert scores[0] > scores[1]
        assert scores[0] > patch_score(features(scene, 6), features(other, 6), method)


@pytest.mark.slow
def test_scores_are_put_on_one_scale_for_each_size_and_weighed(network):
    reranker = PatchReranker(Encoder(network, "out"), sizes=(2, 3), weights=(0.7, 0.3), method="spatial")
    with torch.inference_mode():
        local = reranker(blocks(4, (5, 6)))
        assert local.shape == (4, 4 * 5 + 3 * 4, 3 + 32768)
        found = reranker.scores(local[0], iter(local[1:]))
        raw = np.array(
            [
                [patch_score(mine[size], theirs[size], "spatial") for size in (0, 1)]
                for mine, theirs in ((reranker._patches(local[0]), reranker._patches(one)) for one in local[1:])
            ]
        )
    expected = sum(w * (raw[:, i] - raw[:, i].mean()) / raw[:, i].std() for i, w in enumerate((0.7, 0.3)))
    assert np.allclose(found, expected, atol=1e-9)


def test_local_features_hold_the_patches_of_every_size(network):
    reranker = PatchReranker(Encoder(network, "out"), sizes=(2, 3))
    with torch.inference_mode():
        images = torch.rand(1, 3, 80, 96)
        for size, found in zip((2, 3), reranker._patches(reranker(images)[0]), strict=True):
            expected = network.patches(images, size)
            assert torch.allclose(found.vectors, expected.vectors, atol=1e-6)
            assert np.array_equal(found.places, expected.places)
            assert found.size == size


@pytest.mark.slow
def test_an_identical_image_comes_first(network):
    reranker = PatchReranker(Encoder(network, "out"), sizes=(2, 3), weights=(0.5, 0.5))
    with torch.inference_mode():
        local = reranker(blocks(5, (6, 6)))
        assert reranker.scores(local[2], local).argmax() == 2
        assert reranker.scores(local[2], []).shape == (0,)


def test_wrong_input_is_one_sentence(scene):
    with pytest.raises(CrossbandError):
        patch_score(features(scene, 6), PatchFeatures(scene, np.zeros((36, 2)), 5, 1))


def test_a_patch_larger_than_the_map_is_one_sentence(network):
    with torch.inference_mode(), pytest.raises(CrossbandError, match="4x4"):
        network.patches(torch.rand(1, 3, 64, 64), 5)
