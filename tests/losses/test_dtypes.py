"""Every loss has the same value and gradient in each dtype on each device, and stays on its device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from crossband.losses.hamnet import (
    batch_hard_triplet_loss,
    identification_loss,
    multi_stream_loss,
    score_coherence_loss,
)
from crossband.losses.metric_learning import arcface_loss, contrastive_loss, triplet_loss
from crossband.losses.n_pair import n_pair_loss
from crossband.losses.segmentation import confidence_loss, weighted_cross_entropy

from ..devices import TOLERANCE, over_devices, over_dtypes

LABELS = torch.tensor([0, 0, 1, 2])
MAP = torch.tensor([0, 1, 2, 255]).reshape(1, 2, 2)
Loss = Callable[..., torch.Tensor]

# the shapes of what has gradients, and a loss of it
LOSSES: dict[str, tuple[list[tuple[int, ...]], Loss]] = {
    "identification": ([(4, 3)], lambda x: identification_loss(x, LABELS.to(x.device)).mean()),
    "multi-stream": ([(4, 2, 3)], lambda x: multi_stream_loss(x, LABELS.to(x.device))),
    "coherence": ([(4, 2, 3)], lambda x: score_coherence_loss(x.softmax(-1))),
    "hard triplets": ([(4, 5)], lambda x: batch_hard_triplet_loss(x, LABELS.to(x.device), 1.0)),
    "contrastive": (
        [(4, 5), (4, 5)],
        lambda x, y: contrastive_loss(x, y, (LABELS == 0).to(x.device), 2.0),
    ),
    "triplet": ([(4, 5), (4, 5), (4, 5)], lambda x, y, z: triplet_loss(x, y, z, 2.0)),
    "arcface": ([(4, 5), (5, 3)], lambda x, w: arcface_loss(x, w, LABELS.to(x.device), 4.0)),
    "n-pair": ([(4, 5), (6, 5)], lambda x, y: n_pair_loss(x, y, LABELS.to(x.device), 5.0)),
    "cross-entropy": ([(1, 3, 2, 2)], lambda x: weighted_cross_entropy(x, MAP.to(x.device))),
    "confidence": ([(4, 2)], lambda x: confidence_loss(x, torch.full_like(x, 0.25))),
}


def measured(name: str, dtype: torch.dtype, device: str) -> list[torch.Tensor]:
    """The loss and the gradients of what it is made of."""
    shapes, loss = LOSSES[name]
    generator = torch.Generator().manual_seed(3)
    given = [torch.rand(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    # what bfloat16 can hold, so that all dtypes read the same numbers
    made = [one.bfloat16().to(device, dtype).requires_grad_() for one in given]
    value = loss(*made)
    value.backward()
    assert value.device.type == device
    assert all(one.grad is not None and one.grad.dtype == dtype for one in made)
    return [value.detach().double().cpu(), *(one.grad.double().cpu() for one in made)]


@over_devices
@over_dtypes
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_agrees_with_itself_in_float64_on_the_cpu(name, dtype, device):
    for ours, wanted in zip(measured(name, dtype, device), measured(name, torch.float64, "cpu"), strict=True):
        assert float((ours - wanted).abs().max()) <= TOLERANCE[dtype] * max(1.0, float(wanted.abs().max()))
