"""Losses against their equations, written out, and against pytorch-metric-learning."""

from __future__ import annotations

import math

import pytest
import torch

from crossband.losses import (
    ArcFaceLoss,
    ContrastiveLoss,
    TripletLoss,
    arcface_loss,
    contrastive_loss,
    pair_distance,
    triplet_loss,
)

SEEDS = range(5)


def vectors(*shape: int, seed: int = 0, grad: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_(grad)


@pytest.mark.parametrize("seed", SEEDS)
def test_contrastive_is_equation_5(seed):
    a, b = vectors(6, 3, seed=seed), vectors(6, 3, seed=seed + 100)
    matching = torch.arange(6) % 2 == 0
    expected = 0.0
    for i in range(6):
        distance = math.sqrt(sum((x - y) ** 2 for x, y in zip(a[i].tolist(), b[i].tolist(), strict=True)))
        expected += distance if matching[i] else max(0.0, 1.5 - distance)
    assert contrastive_loss(a, b, matching, 1.5).item() == pytest.approx(expected / 6, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_triplet_is_equation_6_over_all_negatives_with_the_best_positive(seed):
    q, p, n = vectors(4, 3, seed=seed), vectors(4, 2, 3, seed=seed + 1), vectors(4, 5, 3, seed=seed + 2)
    expected = 0.0
    for i in range(4):
        near = min(float(((q[i] - x) ** 2).sum()) for x in p[i])
        expected += sum(max(near - float(((q[i] - x) ** 2).sum()) + 0.3, 0.0) for x in n[i])
    assert triplet_loss(q, p, n, 0.3).item() == pytest.approx(expected / 4, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("classes", [2, 7])
def test_arcface_is_equation_7(seed, classes):
    x, w = vectors(4, 3, seed=seed), vectors(3, classes, seed=seed + 1)
    labels, s, m, expected = torch.tensor([0, 1, classes - 1, 0]), 8.0, 0.4, 0.0
    for i, label in enumerate(labels.tolist()):
        theta = [float(torch.acos(x[i] @ w[:, j] / x[i].norm() / w[:, j].norm())) for j in range(classes)]
        true = math.exp(s * math.cos(theta[label] + m))
        others = sum(math.exp(s * math.cos(theta[j])) for j in range(classes) if j != label)
        expected -= math.log(true / (true + others))
    assert arcface_loss(x, w, labels, s, m).item() == pytest.approx(expected / 4, abs=1e-6)


def test_gradients_are_those_of_the_formulas():
    matching = torch.tensor([True, False, True, False])
    pair = (vectors(4, 3, grad=True), vectors(4, 3, seed=1, grad=True))
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, matching, 3.0), pair)
    tuples = (
        vectors(2, 3, grad=True),
        vectors(2, 2, 3, seed=1, grad=True),
        vectors(2, 4, 3, seed=2, grad=True),
    )
    assert torch.autograd.gradcheck(lambda q, p, n: triplet_loss(q, p, n, 0.3), tuples)
    classes = (vectors(4, 3, grad=True), vectors(3, 5, seed=1, grad=True))
    labels = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x, w: arcface_loss(x, w, labels, 8.0, 0.4), classes)


def test_equal_vectors_and_aligned_classes_have_finite_gradients():
    a = torch.ones(2, 3, requires_grad=True)
    pair_distance(a, torch.ones(2, 3)).sum().backward()
    assert torch.equal(a.grad, torch.zeros(2, 3))
    x = torch.eye(2, requires_grad=True)
    arcface_loss(x, torch.eye(2), torch.arange(2)).backward()
    assert torch.isfinite(x.grad).all()


def test_contrastive_and_arcface_are_pytorch_metric_learning_s():
    pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning import distances, losses, reducers

    a, b = vectors(5, 4), vectors(5, 4, seed=1)
    plain = distances.LpDistance(normalize_embeddings=False)
    theirs = losses.ContrastiveLoss(0, 3.5, distance=plain, reducer=reducers.MeanReducer())
    rows, none = torch.arange(5), torch.empty(0, dtype=torch.long)
    for matching in (True, False):
        pairs = (rows, rows, none, none) if matching else (none, none, rows, rows)
        found = theirs(a, indices_tuple=pairs, ref_emb=b).item()
        mine = contrastive_loss(a, b, torch.full((5,), matching), 3.5).item()
        assert mine == pytest.approx(found, abs=1e-6)
    arcface = losses.ArcFaceLoss(6, 4, margin=math.degrees(0.5), scale=64).double()
    labels = torch.tensor([0, 5, 2, 2, 1])
    assert arcface_loss(a, arcface.W, labels).item() == pytest.approx(arcface(a, labels).item(), abs=1e-6)


def test_the_modules_are_the_functions():
    q, p, n = vectors(4, 3), vectors(4, 2, 3, seed=1), vectors(4, 5, 3, seed=2)
    assert TripletLoss(0.2)(q, p, n) == triplet_loss(q, p, n, 0.2)
    pairs = [(q[i], x, True) for i in range(4) for x in p[i]] + [
        (q[i], x, False) for i in range(4) for x in n[i]
    ]
    a, b = torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
    expected = contrastive_loss(a, b, torch.tensor([pair[2] for pair in pairs]), 2.0)
    assert ContrastiveLoss(2.0)(q, p, n).item() == pytest.approx(expected.item(), abs=1e-9)
    module = ArcFaceLoss(3, 4).double()
    labels = torch.tensor([0, 1, 2, 3])
    assert module(q, labels) == arcface_loss(q, module.weights, labels)
