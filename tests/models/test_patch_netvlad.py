"""Patch-NetVLAD's second look: patches are means of residuals, and what agrees in place comes first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossband.errors import CrossbandError
from crossband.models.netvlad import PatchFeatures, PatchNetVLAD, patch_score, rerank


def features(vectors: torch.Tensor, side: int, shift: tuple[int, int] = (0, 0)) -> PatchFeatures:
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + shift
    return PatchFeatures(F.normalize(vectors, dim=1), places, 2, 1)


@pytest.fixture
def scene() -> torch.Tensor:
    return torch.randn(36, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> PatchNetVLAD:
    torch.manual_seed(0)
    return PatchNetVLAD().eval()


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
                total += share[:, y, z, None] * (x[:, y, z] - network.pool.centres)
        expected = F.normalize(F.normalize(total, dim=1).flatten(), dim=0)
    assert torch.allclose(found.vectors[row * 5 + column], expected, atol=1e-5)


def test_a_patch_as_large_as_the_map_is_the_whole_descriptor(network):
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network.patches(images, 4).vectors, network(images), atol=1e-5)


@pytest.mark.parametrize("method", ["ransac", "spatial"])
def test_what_agrees_in_place_comes_before_what_is_scattered(scene, method):
    generator = torch.Generator().manual_seed(1)
    shuffled = scene[torch.randperm(36, generator=generator)]
    other = torch.randn(36, 24, generator=generator)
    moved = features(scene + 0.05 * torch.randn(36, 24, generator=generator), 6, (1, 0))
    query = [features(scene, 6)]
    items = [[features(other, 6)], [moved], [features(shuffled, 6)]]
    assert rerank(query, items, (1.0,), method)[0] == 1
    assert patch_score(query[0], moved, method) > patch_score(query[0], items[2][0], method)


def test_nothing_mutual_is_no_score_and_wrong_input_is_one_sentence(scene):
    with pytest.raises(CrossbandError, match="one size"):
        patch_score(features(scene, 6), PatchFeatures(scene, np.zeros((36, 2)), 5, 1))
    with pytest.raises(CrossbandError, match="3 weights"):
        rerank([features(scene, 6)], [[features(scene, 6)]])


def test_a_patch_larger_than_the_map_is_one_sentence(network):
    with torch.inference_mode(), pytest.raises(CrossbandError, match="does not fit a map of 4x4"):
        network.patches(torch.rand(1, 3, 64, 64), 5)
