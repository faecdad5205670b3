"""Supervised contrastive loss against its equation, written out."""

import math

import pytest
import torch
import torch.nn.functional as F

from crossband.losses import supervised_contrastive_loss


def by_the_equation(features: torch.Tensor, labels: list[int], temperature: float) -> float:
    unit, losses = F.normalize(features, dim=1), []
    for i in range(len(labels)):
        others = [a for a in range(len(labels)) if a != i]
        total = sum(math.exp(float(unit[i] @ unit[a]) / temperature) for a in others)
        same = [p for p in others if labels[p] == labels[i]]
        if same:
            parts = [math.log(math.exp(float(unit[i] @ unit[p]) / temperature) / total) for p in same]
            losses.append(-sum(parts) / len(same))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 2, 3]])
def test_it_is_the_equation(labels):
    features = torch.randn(5, 7, generator=torch.Generator().manual_seed(3))
    found = float(supervised_contrastive_loss(features, torch.tensor(labels), 0.5))
    assert found == pytest.approx(by_the_equation(features, labels, 0.5), abs=1e-5)


@pytest.mark.parametrize("n", [1, 3])
def test_images_without_another_of_their_identity_give_nothing_and_no_nan(n):
    features = torch.randn(n, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = supervised_contrastive_loss(features, torch.arange(n))
    loss.backward()
    assert loss.item() == 0
    assert features.grad is not None
    assert (features.grad == 0).all()


def test_its_gradient_is_right():
    features = torch.randn(
        4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda x: supervised_contrastive_loss(x, labels), (features,))
