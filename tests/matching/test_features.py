"""Local features depend on one image alone, and the gradient image on edges alone."""

from __future__ import annotations

import pytest
import torch

from crossband.errors import CrossbandError
from crossband.matching import LocalFeatures
from crossband.matching.gradients import gradient_image
from crossband.models import create_encoder
from crossband.nn import Encoder


@pytest.fixture(scope="module")
def features() -> LocalFeatures:
    return LocalFeatures.of(create_encoder("efficientnet_lite0"))


def test_features_are_short_unit_vectors_of_their_own_image(features):
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both, alone = features(images), features(images[1:])
    rows, columns = features.grid((64, 96))
    assert (rows, columns) == (8, 12)
    assert both.shape == (2, 96, 64)
    assert torch.allclose(both.norm(dim=2), torch.ones(2, 96), atol=1e-4)
    assert torch.allclose(both[1], alone[0], atol=1e-3)


def test_a_blank_image_has_no_features_that_are_not_finite(features):
    with torch.inference_mode():
        assert features(torch.zeros(1, 3, 64, 64)).isfinite().all()


def test_the_gradient_image_does_not_know_which_side_is_bright_and_hardly_how_bright():
    scene = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    scene = torch.nn.functional.interpolate(scene, (96, 96), mode="nearest")
    there = gradient_image(scene)
    assert torch.allclose(there, gradient_image(1 - scene), atol=1e-5)
    assert (there - gradient_image(0.3 * scene)).abs().mean() < 0.05
    assert 0 <= there.min() <= there.max() <= 1
    assert gradient_image(torch.full((1, 1, 40, 40), 0.5)).max() < 1e-3


def test_an_encoder_that_names_no_layers_is_one_sentence():
    with pytest.raises(CrossbandError, match="names no layers"):
        LocalFeatures(Encoder(torch.nn.Conv2d(3, 4, 3), ""))
