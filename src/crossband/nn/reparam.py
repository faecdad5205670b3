"""Structural re-parameterisation: several branches while training, one convolution once trained.

Ding et al., "RepVGG", CVPR 2021, and "Diverse Branch Block", CVPR 2021; the branches are those of Li et al.,
"Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", figure 4: K x K, 1 x 1, and the series
1 x 1 then 1 x K and 1 x 1 then K x 1, each convolution with its BatchNorm.

The input is padded before the branches, not inside them. So a series sees, beyond the border, what its first
convolution makes of zeros, and is one convolution exactly; with padding between the two it would not be.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError

__all__ = ["Fusable", "MultiBranchConv2d", "conv_batchnorm", "fused_kernel", "reparameterise", "series_kernel"]

Kernel = tuple[torch.Tensor, torch.Tensor]


@runtime_checkable
class Fusable(Protocol):
    """A module that knows the one convolution it is the same as."""

    def fused(self) -> nn.Conv2d:
        """That convolution, of this module in evaluation mode."""


def conv_batchnorm(
    channels_in: int, channels_out: int, kernel: int | tuple[int, int], **options: Any
) -> nn.Sequential:
    """A convolution without bias, then its BatchNorm; ``options`` are the convolution's."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, bias=False, **options)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out))


def fused_kernel(convolution: nn.Module, norm: nn.Module) -> Kernel:
    """Weight and bias, float64, of the convolution that does what a convolution and its BatchNorm do.

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
    """The one convolution that does what a 1 x 1 convolution and another after it do.

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
            raise CrossbandError(f"a kernel of {kernel_size} has no middle; take an odd one")
        self.channels, self.kernel_size, self.groups = channels, kernel_size, groups
        self.stride, self.dilation = stride, dilation
        self.padding = dilation * (kernel_size // 2)
        k, options = kernel_size, {"stride": stride, "groups": groups}
        spread = {**options, "dilation": dilation}
        self.square = conv_batchnorm(channels, channels, k, **spread)
        self.point = conv_batchnorm(channels, channels, 1, **options)
        self.wide = nn.Sequential(
            *conv_batchnorm(channels, channels, 1, groups=groups),
            *conv_batchnorm(channels, channels, (1, k), **spread),
        )
        self.tall = nn.Sequential(
            *conv_batchnorm(channels, channels, 1, groups=groups),
            *conv_batchnorm(channels, channels, (k, 1), **spread),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` to ``(B, C, ceil(H / stride), ceil(W / stride))``."""
        p = self.padding
        rows, columns = F.pad(x, (p, p, 0, 0)), F.pad(x, (0, 0, p, p))
        whole = F.pad(rows, (0, 0, p, p))
        return self.square(whole) + self.point(x) + self.wide(rows) + self.tall(columns)

    def fused(self) -> nn.Conv2d:
        """The one convolution."""
        k, middle = self.kernel_size, self.kernel_size // 2
        weight, bias = fused_kernel(self.square[0], self.square[1])
        for branch in (self.point, self.wide, self.tall):
            small, shift = self._kernel(branch)
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

    def _kernel(self, branch: nn.Sequential) -> Kernel:
        parts = [fused_kernel(branch[i], branch[i + 1]) for i in range(0, len(branch), 2)]
        return parts[0] if len(parts) == 1 else series_kernel(parts[0], parts[1], self.groups)


def reparameterise(model: nn.Module) -> nn.Module:
    """The deployed form of a model: a copy in which every block of branches is the one convolution it equals.

    The model itself stays as it is.

    Raises:
        CrossbandError: it is in training mode, where BatchNorm goes by the batch and nothing is equal.

    Example:
        >>> deployed = reparameterise(nn.Sequential(MultiBranchConv2d(4, 3)).eval())
        >>> type(deployed[0]).__name__
        'Conv2d'
    """
    if any(module.training for module in model.modules()):
        raise CrossbandError("a model in training mode has no deployed form; call model.eval() first")
    if isinstance(model, Fusable):
        return model.fused().eval().requires_grad_(False)
    deployed = copy.deepcopy(model)
    for name, module in list(deployed.named_modules()):
        if isinstance(module, Fusable):
            parent, _, own = name.rpartition(".")
            setattr(deployed.get_submodule(parent), own, module.fused().eval())
    return deployed.requires_grad_(False)
