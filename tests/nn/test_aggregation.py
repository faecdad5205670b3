"""Aggregators against their equations and limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from crossband.errors import CrossbandError
from crossband.nn.aggregation import AGGREGATORS, GeM, NetVLAD, create_aggregator, kmeans

OPTIONS = {"gem": {}, "netvlad": {"clusters": 3}, "mixvpr": {"size": (4, 5), "out_channels": 6}}


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("per_channel", [False, True])
def test_gem_is_equation_2(per_channel):
    x = maps(2, 4, 3, 5)
    gem = GeM(4, p=2.5, per_channel=per_channel, normalize=False).double()
    assert gem.p.numel() == (4 if per_channel else 1)
    with torch.no_grad():
        gem.p += torch.arange(gem.p.numel()) * 0.5
    p = gem.p.expand(4)
    for b in range(2):
        for k in range(4):
            values = x[b, k].flatten().tolist()
            expected = (sum(v ** p[k].item() for v in values) / len(values)) ** (1 / p[k].item())
            assert gem(x)[b, k].item() == pytest.approx(expected, abs=1e-6)


def test_gem_is_spoc_at_one_and_mac_at_infinity():
    x = maps(2, 4, 6, 6)
    assert torch.allclose(GeM(4, p=1.0, normalize=False).double()(x), x.mean((2, 3)), atol=1e-12)
    assert torch.allclose(GeM(4, p=1e6, normalize=False).double()(x), x.amax((2, 3)), atol=1e-4)


def test_gem_stays_finite_for_large_p_large_values_and_empty_maps():
    gem = GeM(2, p=60.0)
    x = torch.tensor([[[[0.0, 1e4]], [[0.0, 0.0]]]], requires_grad=True)
    out = gem(x)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(gem.p.grad).all()


def test_netvlad_is_equations_3_and_4():
    x = maps(2, 5, 2, 3)
    vlad = NetVLAD(5, clusters=3, normalize_input=False).double()
    found = vlad.residuals(x)
    w, b, c = (part.detach() for part in (vlad.weights, vlad.bias, vlad.centers))
    for n in range(2):
        points = x[n].flatten(1).T
        for k in range(3):
            expected = torch.zeros(5, dtype=torch.float64)
            for point in points:
                scores = [math.exp(float(w[j] @ point + b[j])) for j in range(3)]
                expected += scores[k] / sum(scores) * (point - c[k])
            assert torch.allclose(found[n, k], expected, atol=1e-6)


def test_netvlad_with_a_sharp_assignment_is_vlad():
    features = F.normalize(maps(60, 4, seed=1), dim=1)
    vlad = NetVLAD(4, clusters=3, alpha=1e5).double()
    vlad.initialize(features)
    x = maps(1, 4, 3, 3, seed=2)
    points = F.normalize(x[0].flatten(1).T, dim=1)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for point in points:
        k = (vlad.centers - point).square().sum(1).argmin()
        expected[k] += point - vlad.centers[k]
    assert torch.allclose(vlad.residuals(x)[0], expected, atol=1e-6)


def test_netvlad_normalizes_each_cluster_and_then_the_whole():
    vlad = NetVLAD(5, clusters=3)
    out = vlad(maps(2, 5, 4, 4).float())
    assert torch.allclose(out.reshape(2, 3, 5).norm(dim=2), torch.full((2, 3), 3**-0.5), atol=1e-5)
    assert NetVLAD(512, 64).dim == 32768


def test_netvlad_whitens_to_uncorrelated_components():
    vlad = NetVLAD(5, clusters=3, whiten=4)
    full = torch.randn(100, 15, generator=torch.Generator().manual_seed(0))
    assert vlad.dim == 15
    vlad.fit_whitening(full)
    assert vlad.dim == 4
    mean, axes = vlad.whitening
    projected = (full - mean) @ axes
    assert torch.allclose(torch.cov(projected.T), torch.eye(4), atol=1e-4)
    assert vlad(maps(2, 5, 4, 4).float()).shape == (2, 4)
    with pytest.raises(CrossbandError):
        vlad.fit_whitening(full[:3])


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_every_aggregator_gives_unit_descriptors_of_its_dim_and_trains_all_it_has(name):
    aggregator = create_aggregator(name, 5, **OPTIONS[name])
    out = aggregator(maps(2, 5, 4, 5).float())
    assert out.shape == (2, aggregator.dim)
    assert torch.allclose(out.norm(dim=1), torch.ones(2), atol=1e-5)
    (out * torch.arange(aggregator.dim)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in aggregator.parameters())


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_gradients_are_those_of_the_formulas(name):
    aggregator = create_aggregator(name, 5, **OPTIONS[name]).double()
    x = (maps(1, 5, 4, 5) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(aggregator, (x,), fast_mode=True)


def test_half_precision_around_them_does_not_reach_the_aggregators():
    x = maps(2, 5, 4, 5).float()
    for name, options in OPTIONS.items():
        aggregator = create_aggregator(name, 5, **options)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = aggregator(x)
        assert out.dtype == torch.float32
        assert torch.equal(out, aggregator(x))


def test_kmeans_finds_separate_clusters_and_is_the_same_for_the_same_seed():
    generator = torch.Generator().manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = middles.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=generator)
    found = kmeans(points, 3, seed=1)
    assert torch.cdist(middles, found).min(1).values.max() < 0.1
    assert torch.equal(found, kmeans(points, 3, seed=1))
    with pytest.raises(CrossbandError):
        kmeans(points[:2], 3)
    assert torch.isfinite(kmeans(torch.ones(5, 2), 3)).all()
