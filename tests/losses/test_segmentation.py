"""Equations (6) to (9) against torch's own losses and a few lines from the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossband.errors import CrossbandError
from crossband.losses.segmentation import (
    SegmentationLoss,
    class_weights,
    confidence_loss,
    weighted_cross_entropy,
)
from crossband.nn.heads import Head


def test_weights_of_classes_by_their_share():
    counts = torch.tensor([900, 100, 0])
    wanted = [1 / math.log(1.05 + share) for share in (0.9, 0.1, 0.0)]
    assert class_weights(counts).tolist() == pytest.approx(wanted)
    assert class_weights(counts, 1.02)[2].item() == pytest.approx(1 / math.log(1.02))


def test_cross_entropy_is_a_mean_over_pixels_not_over_weights():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0] = 255
    weights = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)
    total, n = 0.0, 0
    for b, y, x in np.ndindex(2, 4, 5):
        label = int(labels[b, y, x])
        if label != 255:
            total -= float(weights[label] * logits[b, :, y, x].log_softmax(0)[label])
            n += 1
    assert weighted_cross_entropy(logits, labels, weights).item() == pytest.approx(total / n)
    by_weights = F.cross_entropy(logits, labels, weights, ignore_index=255)
    assert by_weights.item() != pytest.approx(total / n, rel=0.05)


def test_pixels_without_a_label_have_no_gradient_and_none_at_all_no_loss():
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    labels = torch.tensor([[[0, 255], [1, 255]]])
    weighted_cross_entropy(logits, labels).backward()
    assert logits.grad is not None
    assert bool((logits.grad[..., 1] == 0).all())
    assert bool((logits.grad[..., 0] != 0).all())
    assert weighted_cross_entropy(logits, torch.full((1, 2, 2), 255)).item() == 0


@pytest.mark.parametrize("name", ["smooth_l1", "l1", "l2"])
def test_confidences_regress_by_the_named_loss_summed_over_streams(name):
    generator = torch.Generator().manual_seed(0)
    got, wanted = torch.rand(6, 2, generator=generator), torch.rand(6, 2, generator=generator)
    error = (got - wanted).abs()
    each = {"smooth_l1": 0.5 * error**2, "l1": error, "l2": error**2}[name]
    assert confidence_loss(got, wanted, name).item() == pytest.approx(each.sum(1).mean().item(), rel=1e-5)


def test_smooth_l1_is_straight_beyond_one():
    assert confidence_loss(torch.tensor([[3.0]]), torch.tensor([[0.0]])).item() == pytest.approx(2.5)


def test_a_missing_pseudo_label_pulls_nothing():
    got = torch.tensor([[0.9, 0.2]], requires_grad=True)
    loss = confidence_loss(got, torch.tensor([[float("nan"), 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * 0.2**2)
    assert got.grad is not None
    assert got.grad[0, 0].item() == 0


def test_the_mean_over_weights_is_torchs_own():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0] = 255
    weights = torch.tensor([1.0, 5.0, 20.0])
    got = weighted_cross_entropy(logits, labels, weights, mean="weights")
    assert got.item() == pytest.approx(F.cross_entropy(logits, labels, weights, ignore_index=255).item())
    nothing = torch.full_like(labels, 255)
    assert weighted_cross_entropy(logits, nothing, weights, mean="weights").item() == 0
    with pytest.raises(CrossbandError, match="mean"):
        weighted_cross_entropy(logits, labels, weights, mean="median")


def test_the_whole_loss_adds_lambda_times_the_regression_and_the_heads_by_their_weights():
    logits, labels = torch.randn(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    got, wanted = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.1, 0.9]])
    heads = {"confidence": Head("confidence"), "side": Head("classes", 0.4), "edge": Head("border_logit")}
    further = {"confidence": got, "side": torch.randn(1, 3, 2, 2), "edge": torch.randn(1, 1, 4, 4)}
    further["side"] = torch.randn(1, 3, 4, 4)
    plain = SegmentationLoss(None, balance=0.0)(logits, labels, further, wanted)
    assert plain.item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    both = SegmentationLoss(None, balance=0.3, heads=heads)(logits, labels, further, wanted)
    regression = 0.3 * 2 * 0.5 * 0.4**2
    side = 0.4 * F.cross_entropy(further["side"], labels).item()
    edge = F.binary_cross_entropy_with_logits(further["edge"], torch.zeros(1, 1, 4, 4)).item()
    assert (both - plain).item() == pytest.approx(regression + side + edge, rel=1e-4)
    with pytest.raises(CrossbandError, match="unknown loss of the confidence 'l3'; did you mean l2"):
        SegmentationLoss(None, regression="l3")
    with pytest.raises(CrossbandError, match="target of a head"):
        SegmentationLoss(None, heads={"edge": Head("borders")})
