"""Poolings against their definitions, written out plainly."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from crossband.errors import CrossbandError
from crossband.nn import Pooling
from crossband.nn.pooling import channel_normalize, gem

MAPS = torch.rand(2, 5, 12, 18, generator=torch.Generator().manual_seed(0))


def pool(name: str, maps: torch.Tensor = MAPS) -> torch.Tensor:
    return Pooling.parse(name)(maps)


def _reference_cells(maps: torch.Tensor, grid: int, reduce) -> torch.Tensor:
    """A reduction of each cell of a grid that divides the map evenly, flattened channel first."""
    b, c, h, w = maps.shape
    cells = maps.reshape(b, c, grid, h // grid, grid, w // grid).permute(0, 1, 2, 4, 3, 5)
    return reduce(cells.reshape(b, c, grid, grid, -1)).flatten(1)


def test_flat_is_the_map_itself():
    assert torch.equal(pool("flat"), MAPS.reshape(2, -1))


def test_normflat_is_unit_length_over_the_channels_at_each_position():
    vectors = pool("normflat").reshape(MAPS.shape)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2, 12, 18), atol=1e-6)
    assert torch.allclose(vectors * MAPS.norm(dim=1, keepdim=True), MAPS, atol=1e-6)


def test_normflat_leaves_a_position_of_zeros_at_zero():
    assert not channel_normalize(torch.zeros(1, 4, 2, 2)).any()


def test_avg_and_max_are_over_the_whole_map():
    assert torch.allclose(pool("avg"), MAPS.mean((2, 3)), atol=1e-6)
    assert torch.equal(pool("max"), MAPS.amax((2, 3)))


@pytest.mark.parametrize("grid", [2, 3, 6])
def test_grids_reduce_each_cell(grid):
    assert torch.allclose(pool(f"avg{grid}"), _reference_cells(MAPS, grid, lambda x: x.mean(-1)), atol=1e-6)
    assert torch.equal(pool(f"max{grid}"), _reference_cells(MAPS, grid, lambda x: x.amax(-1)))
    cubes = _reference_cells(MAPS, grid, lambda x: x.pow(3).mean(-1).pow(1 / 3))
    assert torch.allclose(pool(f"gem{grid}"), cubes, atol=1e-6)


def test_gem_with_p_1_is_the_average_and_with_large_p_the_maximum():
    assert torch.allclose(gem(MAPS, p=1), F.adaptive_avg_pool2d(MAPS, 1), atol=1e-6)
    peaks = MAPS.double() + 0.5
    assert torch.allclose(gem(peaks, p=600), F.adaptive_max_pool2d(peaks, 1), rtol=0.01)


def test_gem_counts_negative_values_as_nothing():
    assert torch.isfinite(pool("gem", -MAPS)).all()
    assert pool("gem", -MAPS).max() < 1e-5


@pytest.mark.parametrize(("height", "width"), [(20, 20), (12, 18), (10, 7), (4, 4)])
def test_windows_overlap_and_count_only_what_the_map_holds(height, width):
    maps = torch.rand(1, 2, height, width)
    rows, columns = range(0, height, 3), range(0, width, 3)
    expected = [
        maps[0, c, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean()
        for c in range(2)
        for y in rows
        for x in columns
    ]
    vector = pool("avg5s3", maps)
    assert vector.shape == (1, 2 * math.ceil(height / 3) * math.ceil(width / 3))
    assert torch.allclose(vector[0], torch.stack(expected), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["normflat", "flat", "avg", "avg6", "avg12", "avg5s3", "gem", "gem4", "max", "max2"]
)
def test_a_name_reads_back_as_it_is_written(name):
    assert str(Pooling.parse(name)) == name


@pytest.mark.parametrize(
    "name", ["", "mean", "avg0", "avg100", "flat2", "normflat3", "gem5s3", "max2s1", "avgs3", "AVG"]
)
def test_an_unknown_name_is_one_sentence_that_lists_the_poolings(name):
    with pytest.raises(CrossbandError, match="pooling"):
        Pooling.parse(name)


def test_the_vector_is_float32_whatever_the_map():
    assert pool("avg", MAPS.half()).dtype == torch.float32
