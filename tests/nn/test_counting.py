from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.models import create_segmenter
from crossband.nn.counting import count_cost, thop_operations


def test_multiply_adds_of_known_layers():
    assert (
        count_cost(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), 1, 4, 10, 10).macs_g * 1e9
        == 25 * 8 * 2 * 9
    )
    up = count_cost(nn.ConvTranspose2d(4, 8, 2, stride=2, bias=False), 1, 4, 5, 5)
    assert up.macs_g * 1e9 == 25 * 4 * 8 * 4  # each input pixel meets the kernel once
    assert up.thop_g == 4 * up.macs_g  # thop says each output pixel does
    assert up.flops_g == 2 * up.macs_g


def test_a_network_without_memory_costs_the_same_and_keeps_its_mode():
    network = create_segmenter("mfnet")
    with torch.device("meta"):
        paper = create_segmenter("mfnet")
    network.train()
    assert count_cost(network, 1, 4, 32, 64) == count_cost(paper, 1, 4, 32, 64)
    assert network.training


@pytest.mark.parametrize("name", ["rsfnet50_18", "rtfnet18", "mfnet"])
def test_the_figure_of_thop_is_thops(name):
    """The installed thop counts four per element of a BatchNorm with weights; version 0.0.31 counted two."""
    thop = pytest.importorskip(
        "thop", exc_type=ImportError, reason="thop is not installed: nothing to compare with"
    )

    def two_each(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        module.total_ops += torch.DoubleTensor([2 * inputs[0].numel()])

    network = create_segmenter(name)
    images = torch.zeros(1, 4, 64, 64)
    ours = thop_operations(network, images)
    theirs, _ = thop.profile(network, (images,), {nn.BatchNorm2d: two_each}, verbose=False)
    assert ours == int(theirs)
