from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import nn

from crossband.models import create_segmenter
from crossband.nn.counting import count_cost, thop_operations
from crossband.nn.layers import Resize


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


def test_what_version_0_0_31_counts_and_what_it_does_not():
    """Its rules, from the package: a bias one an output, nearest nothing, adaptive pooling by whole windows."""
    x = torch.zeros(1, 4, 10, 12)
    assert thop_operations(nn.Conv2d(4, 8, 3, padding=1), x) == 8 * 120 * (4 * 9 + 1)
    assert thop_operations(nn.ConvTranspose2d(4, 8, 2, stride=2), x) == 8 * 480 * (4 * 4 + 1)
    assert thop_operations(nn.Upsample(scale_factor=2, mode="nearest"), x) == 0
    assert thop_operations(nn.Upsample(scale_factor=2, mode="bilinear"), x) == 11 * 4 * 480
    assert thop_operations(nn.AdaptiveAvgPool2d((3, 5)), x) == 4 * 15 * (3 * 2 + 1)
    assert thop_operations(nn.LeakyReLU(), x) == 480
    assert thop_operations(nn.BatchNorm2d(4), x) == 2 * 480
    assert thop_operations(nn.GroupNorm(2, 4), x) == 0


@pytest.mark.parametrize(
    ("name", "thop"),
    [
        pytest.param("rsfnet50_18", 64_690_635_264, marks=pytest.mark.slow),
        ("mfnet", 8_421_312_000),
        pytest.param("rtfnet152", 336_685_440_000, marks=pytest.mark.slow),
    ],
)
def test_exact_figures_of_whole_networks(name, thop):
    options = {"multi_branch": False} if name.startswith("rsfnet") else {}
    with torch.device("meta"):
        network = create_segmenter(name, options=options)
    assert round(count_cost(network, 1, 4, 480, 640).thop_g * 1e9) == thop


@pytest.mark.parametrize(
    "name",
    ["mfnet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rsfnet50_18", "rtfnet18", "pstnet"))],
)
def test_the_figure_of_thop_is_thops(name):
    """With 0.0.31 as it is; what later versions count differently is put back to what 0.0.31 counted."""
    thop = pytest.importorskip(
        "thop", exc_type=ImportError, reason="thop is not installed: nothing to compare with"
    )

    def adds(rule: Callable[[Any, torch.Tensor, torch.Tensor], int]) -> Callable[..., None]:
        def count(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            module.total_ops += torch.DoubleTensor([rule(module, inputs[0], output)])

        return count

    def convolved(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
        kernel = module.in_channels // module.groups * module.weight[0, 0].numel()
        return y.numel() * (kernel + (module.bias is not None))

    old = version("thop").startswith("0.0.31")
    rules: dict[type[nn.Module], Callable[..., None]] = {
        nn.BatchNorm2d: adds(lambda module, x, y: 2 * x.numel()),
        nn.LeakyReLU: adds(lambda module, x, y: x.numel()),
        nn.Conv2d: adds(convolved),
        nn.ConvTranspose2d: adds(convolved),
        nn.Conv1d: adds(lambda module, x, y: y.numel() * module.weight[0].numel()),
        nn.AdaptiveAvgPool2d: adds(lambda module, x, y: y.numel() * (x[0, 0].numel() // y[0, 0].numel() + 1)),
    }
    resize = {Resize: adds(lambda module, x, y: 11 * y.numel())}  # stands for nn.Upsample, which thop knows
    network = create_segmenter(name)
    images = torch.zeros(1, 4, 64, 64)
    ours = thop_operations(network, images)
    theirs, _ = thop.profile(network, (images,), resize if old else resize | rules, verbose=False)
    assert ours == int(theirs)
