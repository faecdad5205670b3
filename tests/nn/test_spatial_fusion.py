from __future__ import annotations

import pytest
import torch

from crossband.nn.spatial_fusion import Confidence, Recalibration, ResidualSpatialFusion, create_fusion


@pytest.mark.parametrize("name", ["rsf", "sum", "concat", "gma"])
def test_every_fusion_keeps_shapes_and_passes_gradients_to_both_streams(name):
    fusion = create_fusion(name, 8, 4, 3)
    first, second = (torch.rand(2, 8, 6, 10, requires_grad=True) for _ in range(2))
    one, two = fusion(first, second, torch.ones(2, 2))
    assert one.shape == two.shape == first.shape
    (one.sum() + two.square().sum()).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert float(first.grad.abs().sum()) > 0
    assert float(second.grad.abs().sum()) > 0


def test_a_stream_without_confidence_is_left_as_it_was():
    fusion = ResidualSpatialFusion(8, 4).eval()
    first, second = torch.rand(2, 8, 6, 6), torch.rand(2, 8, 6, 6)
    one, two = fusion(first, second, torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert torch.equal(one, first)
    assert not torch.allclose(two, second)


@torch.no_grad()
def test_the_weights_of_a_stream_are_the_other_stream():
    """Where the other stream says nothing anywhere, all positions weigh alike; else they do not."""
    torch.manual_seed(0)
    fusion = ResidualSpatialFusion(8, 4).eval()
    flat, scene = torch.zeros(1, 8, 9, 9), torch.rand(1, 8, 9, 9)
    one, _ = fusion(torch.ones(1, 8, 9, 9), flat, torch.ones(1, 2))
    assert float(one[..., 3:6, 3:6].std(dim=(2, 3)).max()) < 1e-6
    one, _ = fusion(torch.ones(1, 8, 9, 9), scene, torch.ones(1, 2))
    assert float(one[..., 3:6, 3:6].std(dim=(2, 3)).max()) > 1e-4


def test_recalibration_weighs_channels_by_their_neighbors():
    """ECA's width for 64, 512 and 2048 channels, and weights between 0 and 1."""
    assert [Recalibration(c, 8).weigh.kernel_size for c in (64, 512, 2048)] == [(3,), (5,), (7,)]
    part = Recalibration(16, 4).eval()
    assert part(torch.rand(2, 16, 5, 5)).shape == (2, 4, 5, 5)
    trust = Confidence(16)(torch.rand(3, 16, 4, 4))
    assert trust.shape == (3,)
    assert bool(((trust > 0) & (trust < 1)).all())
