"""What a network costs, counted: parameters, multiply-adds, and the figure that papers call FLOPs.

Three numbers hide behind the word. ``macs`` are multiply-adds of convolutions and matrix products, as torch's
own counter sees them; ``flops`` are twice that; ``thop`` is what the package of that name printed when most
papers on RGB-thermal networks were written, version 0.0.31: multiply-adds of every *module* (what is called as
a function does not count) and one for each output of a convolution that has a bias, two for each element of a
BatchNorm, one for each of a LeakyReLU, transposed convolutions as if each output saw the whole kernel, and
nothing for nearest upsampling, LayerNorm or attention.

That version also counts what is registered at two places twice in parameters and four times in operations, so a
network that keeps its backbone whole and in pieces was printed too large (PSTNet: 163.64 G in papers, by the
same rules 130.34). Here a module counts once for each time it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .encoder import count_parameters
from .hooks import watching

__all__ = ["Cost", "count_cost", "thop_operations"]


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass.

    Attributes:
        params_m: parameters, millions.
        macs_g: multiply-adds, 10^9.
        flops_g: twice that.
        thop_g: the figure of thop 0.0.31, 10^9.
    """

    params_m: float
    macs_g: float
    flops_g: float
    thop_g: float


def count_cost(network: nn.Module, *shape: int) -> Cost:
    """Count the cost of a network's pass over one tensor.

    Nothing is computed but shapes where the network is on the ``meta`` device.

    Args:
        network: it is put into evaluation mode, and back.
        shape: of its input, ``(B, C, H, W)``.

    Example:
        >>> count_cost(nn.Conv2d(3, 8, 3, padding=1, bias=False), 1, 3, 10, 10).macs_g * 1e9
        21600.0
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    training = network.training
    network.eval()
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            thop = thop_operations(network, torch.zeros(shape, device=device))
    finally:
        network.train(training)
    flops = counter.get_total_flops()
    return Cost(count_parameters(network) / 1e6, flops / 2e9, flops / 1e9, thop / 1e9)


def thop_operations(network: nn.Module, images: torch.Tensor) -> int:
    """Count the operations that thop 0.0.31 reports for a network's pass over ``images``."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += _rule(module)(module, inputs[0], output)

    leaves = [module for module in network.modules() if _rule(module) is not None]
    with watching(leaves, count):
        network(images)
    return total


def _convolution(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    kernel = module.in_channels // module.groups * math.prod(module.weight.shape[2:])
    return y.numel() * (kernel + (module.bias is not None))


def _normalization(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return 2 * x.numel()


def _linear(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return module.in_features * y.numel()


def _one_each(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return x.numel()


def _pooling(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return y.numel()


def _adaptive_pooling(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    window = math.prod(a // b for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
    return (window + 1) * y.numel()


def _upsampling(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return {"linear": 5, "bilinear": 11, "bicubic": 259}.get(module.mode, 0) * y.numel()


_Rule = Callable[[Any, torch.Tensor, torch.Tensor], int]
_RULES: tuple[tuple[tuple[type[nn.Module], ...], _Rule], ...] = (
    ((nn.modules.conv._ConvNd,), _convolution),
    ((nn.modules.batchnorm._BatchNorm,), _normalization),
    ((nn.LeakyReLU,), _one_each),
    ((nn.Linear,), _linear),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _pooling),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_pooling),
    ((nn.Upsample,), _upsampling),
)


def _rule(module: nn.Module) -> Any:
    return next((rule for kinds, rule in _RULES if isinstance(module, kinds)), None)
