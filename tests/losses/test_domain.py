"""A classifier of bands behind reversed gradients."""

from __future__ import annotations

import torch

from crossband.losses.domain import BandAdversary, reverse_gradient


def test_the_classifier_learns_and_what_it_reads_unlearns():
    torch.manual_seed(0)
    adversary, bands = BandAdversary(4, 2), torch.tensor([0, 0, 1, 1])
    vectors = torch.randn(4, 4, requires_grad=True)
    adversary(vectors, bands).backward()
    plain = vectors.detach().clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(adversary.classify(plain), bands)
    adversary.zero_grad()
    loss.backward()
    assert torch.allclose(vectors.grad, -plain.grad)
    step = vectors.detach() - 0.5 * vectors.grad
    assert torch.nn.functional.cross_entropy(adversary.classify(step), bands) > loss


def test_values_pass_unchanged():
    values = torch.randn(3, 2)
    assert torch.equal(reverse_gradient(values), values)
