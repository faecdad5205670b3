"""PCB, MGN and ABD-Net have the structure of their papers."""

from __future__ import annotations

import pytest
import torch

from crossband.models import create_encoder
from crossband.models.abd import AbdStream, ChannelAttention, PositionAttention, spectral_gap
from crossband.models.mgn import MgnStream
from crossband.models.pcb import PcbStream


def encoder():
    return create_encoder("resnet18", pretrained=False)


def test_pcb_keeps_the_size_of_the_third_stage_and_pools_stripes():
    body = encoder()
    stream = PcbStream(body, "layer4", 512, 5, parts=3, width=8).eval()
    image = torch.randn(1, 3, 96, 64)
    maps = body(image, "layer4")
    assert maps.shape[-2:] == (6, 4)
    stripe = maps[:, :, 2:4].mean((2, 3), keepdim=True)
    assert torch.allclose(stream(image).features[:, 8:16], stream.reduce[1](stripe).flatten(1), atol=1e-5)


def test_mgn_has_eight_classifiers_and_branches_of_two_sizes():
    stream = MgnStream(encoder(), "layer4", 512, 5, width=16).eval()
    shared = stream.encoder(torch.randn(1, 3, 96, 64), stream.layer)
    assert [tuple(branch(shared).shape[-2:]) for branch in stream.branches] == [(3, 2), (6, 4), (6, 4)]
    assert stream(torch.randn(2, 3, 96, 64)).scores.shape == (2, 8, 5)
    first, second = (next(branch.parameters()) for branch in stream.branches[:2])
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


def test_attention_starts_as_the_identity_and_is_softmax_attention_after():
    maps = torch.randn(2, 16, 3, 4)
    position, channel = PositionAttention(16), ChannelAttention()
    assert torch.equal(position(maps), maps)
    channel.gamma.data.fill_(0.5)
    rows = maps.flatten(2)
    weights = torch.softmax(torch.einsum("bcn,bdn->bcd", rows, rows), -1)
    expected = maps + 0.5 * torch.einsum("bcd,bdn->bcn", weights, rows).view_as(maps)
    assert torch.allclose(channel(maps), expected, atol=1e-5)
    position.gamma.data.fill_(0.5)
    query, key, value = (part(maps).flatten(2) for part in (position.query, position.key, position.value))
    weights = torch.softmax(torch.einsum("bcn,bcm->bnm", query, key), -1)
    expected = maps + 0.5 * torch.einsum("bnm,bcm->bcn", weights, value).view_as(maps)
    assert torch.allclose(position(maps), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6)])
def test_the_spectral_gap_is_that_of_the_eigenvalues(shape):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = torch.linalg.eigvalsh(rows @ rows.T)
    expected = (values.max() - values.min()).square()
    assert spectral_gap(rows.float(), steps=2000).item() == pytest.approx(expected.item(), rel=1e-3)


def test_the_spectral_gap_of_orthogonal_rows_is_zero_and_its_gradient_finite():
    rows = torch.linalg.qr(torch.randn(8, 8))[0][:5].requires_grad_()
    gap = spectral_gap(rows)
    gap.backward()
    assert gap.item() < 1e-8
    assert torch.isfinite(rows.grad).all()


def test_abd_net_punishes_only_while_training():
    stream = AbdStream(encoder(), "layer4", 512, 5, width=16)
    image = torch.randn(2, 3, 96, 64)
    assert stream.train()(image).penalty > 0
    assert stream.eval()(image).penalty is None
    assert stream(image).features.shape == (2, 48)
