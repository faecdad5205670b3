"""One scalar for two players: each parameter has the gradient of its own loss alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from crossband.losses.adversarial import adversarial_loss
from crossband.losses.n_pair import n_pair_loss
from crossband.nn.unet import PatchGAN


def test_each_player_gets_the_gradient_of_two_separate_steps():
    torch.manual_seed(0)
    maker, judge = nn.Conv2d(2, 1, 3, padding=1), PatchGAN(3, width=4, layers=1)
    condition, real = torch.rand(2, 2, 16, 16), torch.rand(2, 1, 16, 16)
    fool, judged = adversarial_loss(judge, condition, maker(condition), real)
    (3 * fool + judged).backward()
    ours = [p.grad.clone() for p in (*maker.parameters(), *judge.parameters())]
    for module in (maker, judge):
        module.zero_grad()
    made = maker(condition)
    one = torch.ones_like(judge(torch.cat([condition, made], 1)))
    fooled = F.binary_cross_entropy_with_logits(judge(torch.cat([condition, made], 1)), one)
    theirs = list(torch.autograd.grad(3 * fooled, list(maker.parameters())))
    made = made.detach()
    both = F.binary_cross_entropy_with_logits(judge(torch.cat([condition, real], 1)), one)
    both = both + F.binary_cross_entropy_with_logits(judge(torch.cat([condition, made], 1)), 0 * one)
    theirs += list(torch.autograd.grad(both / 2, list(judge.parameters())))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_the_discriminator_learns_to_tell_and_the_generator_to_fool():
    torch.manual_seed(0)
    shift = nn.Parameter(torch.zeros(1))
    judge = PatchGAN(2, width=8, layers=1)
    optimizer = torch.optim.Adam([shift, *judge.parameters()], lr=1e-2, betas=(0.5, 0.999))
    condition = torch.zeros(4, 1, 16, 16)
    for _ in range(150):
        real = 2 + 0.1 * torch.randn(4, 1, 16, 16)
        fool, judged = adversarial_loss(judge, condition, shift + 0.1 * torch.randn(4, 1, 16, 16), real)
        optimizer.zero_grad()
        (fool + judged).backward()
        optimizer.step()
    assert 1.0 < shift.item() < 3.0


def test_n_pair_loss_is_the_mean_of_its_formula():
    torch.manual_seed(1)
    queries, candidates, right = torch.randn(3, 4), torch.randn(5, 4), torch.tensor([2, 0, 4])
    expected = 0.0
    for query, r in zip(queries, right.tolist(), strict=True):
        terms = [float(torch.exp(-((query - c) ** 2).sum() / 0.5)) for c in candidates]
        expected -= float(torch.log(torch.tensor(terms[r] / sum(terms)))) / 3
    assert abs(float(n_pair_loss(queries, candidates, right, 0.5)) - expected) < 1e-5
