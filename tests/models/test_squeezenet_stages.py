"""SqueezeNet as the encoder of every network that takes any: it is built, runs and learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.models import create_segmenter
from crossband.models.center_detector import CenterDetector
from crossband.models.encoder_labeler import EncoderLabeler
from crossband.models.encoder_translator import EncoderTranslator

NAME = "squeezenet1_1"
RSFNET = {"widths": [16, 16, 16, 16], "reduced": 8}


def assert_learns(network: nn.Module, output: torch.Tensor) -> None:
    assert bool(output.isfinite().all())
    output.square().mean().backward()
    encoder: nn.Module = network.encoder  # type: ignore[assignment]
    grads = [p.grad for p in encoder.parameters() if p.requires_grad]
    assert grads
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in grads)
    assert any(bool(grad.any()) for grad in grads if grad is not None)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rsfnet", {"first": NAME, "second": NAME, **RSFNET}),
        ("rsfnet", {"first": "resnet18", "second": NAME, **RSFNET}),
        ("band_fusion", {"encoder": NAME, "width": 8}),
        ("bisenetv1", {"encoder": NAME}),
    ],
)
def test_segmentation_networks_learn_on_it(name, options):
    torch.manual_seed(0)
    network = create_segmenter(name, 5, options=options).train()
    logits = network(torch.rand(2, 4, 64, 96))
    assert logits.shape == (2, 5, 64, 96)
    assert_learns(network, logits)


def test_the_detector_learns_on_it():
    torch.manual_seed(0)
    network = CenterDetector(2, NAME, width=8, frozen=0).train()
    heat, sides = network(torch.rand(2, 1, 64, 90))
    assert heat.shape == (2, 2, 16, 24)
    assert_learns(network, heat.mean() + sides.mean())


def test_the_labeler_learns_on_it():
    torch.manual_seed(0)
    network = EncoderLabeler("tir", 6, NAME, width=8).train()
    scores = network(torch.rand(2, 1, 40, 50))
    assert scores.shape == (2, 6, 40, 50)
    assert_learns(network, scores)


def test_the_translator_learns_on_it():
    torch.manual_seed(0)
    network = EncoderTranslator(NAME, width=8).train()
    thermal = network(torch.rand(2, 3, 40, 50), torch.tensor([290.0, 280.0])).thermal
    assert thermal.shape == (2, 1, 40, 50)
    assert_learns(network, thermal - 285)
