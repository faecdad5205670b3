"""Structural re-parameterization: several branches while training, one convolution once trained.

Ding et al., "RepVGG", CVPR 2021, and "Diverse Branch Block", CVPR 2021; the branches are those of Li et al.,
"Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", figure 4: K x K and 1 x 1, each with
its BatchNorm, and the series 1 x 1 then 1 x K and 1 x 1 then K x 1, which in the authors' code have none.

The input is padded before the branches, not inside them. So a series sees, beyond the border, what its first
convolution makes of zeros, and is one convolution exactly, with a BatchNorm between the two as well.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from .hooks import watching

__all__ = [
    "Fusable",
    "MultiBranchConv2d",
    "conv_batchnorm",
    "deploy",
    "fold_batchnorms",
    "fused_kernel",
    "reparameterize",
    "series_kernel",
]

Kernel = tuple[torch.Tensor, torch.Tensor]


@runtime_checkable
class Fusable(Protocol):
    """A module that equals one convolution and can return it."""

    def fused(self) -> nn.Conv2d:
        """Return the one convolution that equals this module in evaluation mode."""


def conv_batchnorm(
    channels_in: int, channels_out: int, kernel: int | tuple[int, int], **options: Any
) -> nn.Sequential:
    """Make a convolution without bias and its BatchNorm; ``options`` are the convolution's."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, bias=False, **options)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out))


def fused_kernel(convolution: nn.Module, norm: nn.Module) -> Kernel:
    """Fuse a convolution and its BatchNorm into one weight and bias, float64.

    Example:
        >>> part = conv_batchnorm(2, 3, 1).eval()
        >>> weight, bias = fused_kernel(part[0], part[1])
        >>> weight.shape, bias.shape
        (torch.Size([3, 2, 1, 1]), torch.Size([3]))
    """
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = 0.0 if convolution.bias is None else convolution.bias.double()
    shift = norm.bias.double() + (bias - norm.running_mean.double()) * scale
    return convolution.weight.double() * scale[:, None, None, None], shift


def series_kernel(first: Kernel, second: Kernel, groups: int = 1) -> Kernel:
    """Merge a 1 x 1 convolution and the one after it into one.

    Args:
        first: weight ``(M, C / groups, 1, 1)`` and bias ``(M,)``.
        second: weight ``(O, M / groups, h, w)`` and bias ``(O,)``.
        groups: of both.

    Returns:
        weight ``(O, C / groups, h, w)`` and bias ``(O,)``.

    Raises:
        CrossbandError: the first is no 1 x 1 convolution.
    """
    (one, shift), (two, last) = first, second
    if one.shape[-2:] != (1, 1):
        raise CrossbandError(f"only a 1x1 convolution merges into the next one, not {tuple(one.shape[-2:])}")
    inner = one.flatten(1).unflatten(0, (groups, -1))
    outer = two.unflatten(0, (groups, -1))
    weight = torch.einsum("gomhw,gmc->gochw", outer, inner).flatten(0, 1)
    bias = torch.einsum("gomhw,gm->go", outer, shift.unflatten(0, (groups, -1))).flatten() + last
    return weight, bias


class MultiBranchConv2d(nn.Module):
    """A K x K convolution with a 1 x 1, a 1 x K and a K x 1 one beside it, all added up.

    Args:
        channels: in and out.
        kernel_size: K, odd.
        stride: of every branch.
        dilation: of every branch.
        groups: of every convolution.

    Raises:
        CrossbandError: K is even.

    Example:
        >>> block = MultiBranchConv2d(8, 5).eval()
        >>> x = torch.rand(1, 8, 6, 7)
        >>> bool((block.fused()(x) - block(x)).abs().max() < 1e-5)
        True
    """

    def __init__(
        self, channels: int, kernel_size: int, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise CrossbandError(f"a kernel of {kernel_size} has no center; use an odd size")
        self.channels, self.kernel_size, self.groups = channels, kernel_size, groups
        self.stride, self.dilation = stride, dilation
        self.padding = dilation * (kernel_size // 2)
        k, options = kernel_size, {"stride": stride, "groups": groups}
        spread = {**options, "dilation": dilation}
        self.square = conv_batchnorm(channels, channels, k, **spread)
        self.point = conv_batchnorm(channels, channels, 1, **options)
        self.wide, self.tall = (
            nn.Sequential(
                nn.Conv2d(channels, channels, 1, groups=groups, bias=False),
                nn.Conv2d(channels, channels, shape, stride, dilation=dilation, groups=groups, bias=False),
            )
            for shape in ((1, k), (k, 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        p = self.padding
        rows, columns = F.pad(x, (p, p, 0, 0)), F.pad(x, (0, 0, p, p))
        whole = F.pad(rows, (0, 0, p, p))
        return self.square(whole) + self.point(x) + self.wide(rows) + self.tall(columns)

    def fused(self) -> nn.Conv2d:
        """Return the one convolution that equals all branches."""
        k, middle = self.kernel_size, self.kernel_size // 2
        weight, bias = fused_kernel(self.square[0], self.square[1])
        point = fused_kernel(self.point[0], self.point[1])
        for small, shift in (point, *(self._series(branch) for branch in (self.wide, self.tall))):
            top, left = (middle if side == 1 else 0 for side in small.shape[-2:])
            weight[..., top : top + small.shape[-2], left : left + small.shape[-1]] += small
            bias = bias + shift
        one = nn.Conv2d(
            self.channels, self.channels, k, self.stride, self.padding, self.dilation, self.groups
        ).to(next(self.parameters()))
        one.weight.data.copy_(weight)
        assert one.bias is not None
        one.bias.data.copy_(bias)
        return one

    def _series(self, branch: nn.Sequential) -> Kernel:
        weights = [part.weight.double() for part in branch if isinstance(part, nn.Conv2d)]
        none = weights[0].new_zeros(self.channels)
        return series_kernel((weights[0], none), (weights[1], none), self.groups)


def reparameterize(model: nn.Module) -> nn.Module:
    """Return the deployed form of a model.

    A copy in which every block of branches is the one convolution it equals.

    The model itself stays as it is.

    Raises:
        CrossbandError: it is in training mode, where BatchNorm goes by the batch and nothing is equal.

    Example:
        >>> deployed = reparameterize(nn.Sequential(MultiBranchConv2d(4, 3)).eval())
        >>> type(deployed[0]).__name__
        'Conv2d'
    """
    _refuse_training(model)
    if isinstance(model, Fusable):
        return model.fused().eval().requires_grad_(False)
    deployed = copy.deepcopy(model)
    for name, module in list(deployed.named_modules()):
        if isinstance(module, Fusable):
            parent, _, own = name.rpartition(".")
            setattr(deployed.get_submodule(parent), own, module.fused().eval())
    return deployed.requires_grad_(False)


def fold_batchnorms(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """Fold BatchNorms into the convolutions before them, in a copy of a model.

    A BatchNorm folds where it alone reads the convolution's output; that is seen in a pass over ``example``,
    not guessed from names.

    Raises:
        CrossbandError: the model is in training mode, or the copy's output differs from the model's by more
            than a thousandth of its largest value (a convolution's output is read by a function too, say).

    Example:
        >>> model = conv_batchnorm(3, 4, 3).eval()
        >>> [type(part).__name__ for part in fold_batchnorms(model, torch.zeros(1, 3, 8, 8))]
        ['Conv2d', 'Identity']
    """
    _refuse_training(model)
    folded = copy.deepcopy(model).requires_grad_(False)
    with torch.inference_mode():
        before = model(example)
        for convolution, norm in _pairs_of(folded, example):
            parts = dict(folded.named_modules())
            weight, bias = fused_kernel(parts[convolution], parts[norm])
            parts[convolution].weight = nn.Parameter(weight.to(example.dtype), requires_grad=False)
            parts[convolution].bias = nn.Parameter(bias.to(example.dtype), requires_grad=False)
            parent, _, own = norm.rpartition(".")
            setattr(folded.get_submodule(parent), own, nn.Identity())
        off = float((folded(example) - before).abs().max() / before.abs().max().clamp(min=1e-12))
    if not off < 1e-3:
        raise CrossbandError(f"folding BatchNorm changes the model's output by {off:.1e}; deploy it without")
    return folded


def deploy(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return the form that runs fastest: :func:`reparameterize`, then :func:`fold_batchnorms`.

    Raises:
        CrossbandError: as these.
    """
    return fold_batchnorms(reparameterize(model), example)


def _pairs_of(model: nn.Module, example: torch.Tensor) -> list[tuple[str, str]]:
    """The names of the convolutions and of the one BatchNorm each that alone among modules reads its output."""
    made: dict[int, str] = {}
    kept: list[torch.Tensor] = []  # so that no two outputs share an address
    readers: dict[str, list[str]] = {}
    calls: dict[str, int] = {}
    names = {module: name for name, module in model.named_modules()}

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for value in inputs:
            if isinstance(value, torch.Tensor) and id(value) in made:
                readers.setdefault(made[id(value)], []).append(names[module])
        if isinstance(module, nn.Conv2d):
            calls[names[module]] = calls.get(names[module], 0) + 1
            made[id(output)] = names[module]
            kept.append(output)

    leaves = [module for module in names if not list(module.children())]
    with watching(leaves, watch):
        model(example)
    parts = dict(model.named_modules())
    return [
        (convolution, found[0])
        for convolution, found in readers.items()
        if len(found) == calls[convolution] == 1 and isinstance(parts[found[0]], nn.BatchNorm2d)
    ]


def _refuse_training(model: nn.Module) -> None:
    if any(module.training for module in model.modules()):
        raise CrossbandError("a model in training mode has no deployed form; call model.eval() first")
