"""Small layers against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from crossband.nn.layers import GridMeans, Resize, conv_unit, grid_means, resized


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (23, 40), (1, 1)])
@pytest.mark.parametrize("grid", [1, 2, 3, 6])
def test_means_of_a_grid_are_those_of_adaptive_pooling_at_any_size(size, grid):
    maps = torch.rand(2, 3, *size, dtype=torch.float64)
    wanted = F.adaptive_avg_pool2d(maps, grid)
    assert torch.allclose(grid_means(maps, grid, grid), wanted, atol=1e-12)
    assert torch.allclose(GridMeans(grid)(maps), wanted, atol=1e-12)


def test_resizing_is_torchs_and_leaves_what_has_the_size():
    maps = torch.rand(1, 2, 5, 7)
    assert resized(maps, (5, 7)) is maps
    for aligned in (False, True):
        wanted = F.interpolate(maps, (9, 8), mode="bilinear", align_corners=aligned)
        assert torch.equal(resized(maps, (9, 8), align_corners=aligned), wanted)
        assert torch.equal(Resize(aligned)(maps, (9, 8)), wanted)
    assert torch.equal(resized(maps, (10, 14), mode="nearest"), F.interpolate(maps, (10, 14), mode="nearest"))


def test_a_unit_keeps_the_size_whatever_its_kernel_and_dilation():
    x = torch.rand(2, 4, 11, 13)
    for kernel, dilation in ((1, 1), (3, 4), (7, 1), ((3, 1), 2), ((1, 5), 1)):
        unit = conv_unit(4, 6, kernel, dilation=dilation)
        assert unit(x).shape == (2, 6, 11, 13)
        assert unit[0].bias is None
        assert float(unit(x).detach().min()) >= 0
    plain = conv_unit(4, 6, stride=2, bias=True, relu=False)
    assert plain(x).shape == (2, 6, 6, 7)
    assert plain[0].bias is not None
    assert float(plain(x).detach().min()) < 0
