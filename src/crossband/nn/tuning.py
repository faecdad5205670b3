"""An encoder made ready to be fine-tuned fast on a processor.

Detectors keep the BatchNorm statistics of ImageNet as they are; then a BatchNorm is part of the convolution
before it (and costs nothing). The kernels of depthwise convolutions stay as they are, too: they are 3 % of the
parameters of an EfficientNet-Lite0, and their gradient is half of the time of a step, since torch has no quick
one in bfloat16. Together with a first stage that learns nothing, a step takes a third of its time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError

__all__ = ["FixedDepthwise", "fix_depthwise", "fold_norms"]


def fold_norms(body: nn.Module) -> nn.Module:
    """Make every BatchNorm part of the convolution that is defined before it, in place; activations stay.

    Args:
        body: a network in which each BatchNorm reads the convolution defined before it, as in those of timm and
            torchvision.

    Raises:
        CrossbandError: a BatchNorm that follows no convolution of its width.

    Example:
        >>> body = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        >>> [type(part).__name__ for part in fold_norms(body)]
        ['Conv2d', 'Identity', 'ReLU']
    """
    last: nn.Conv2d | None = None
    for name, module in list(body.named_modules()):
        if isinstance(module, nn.Conv2d):
            last = module
        elif isinstance(module, nn.BatchNorm2d):
            if last is None or last.out_channels != module.num_features:
                raise CrossbandError(f"the BatchNorm {name!r} follows no convolution, so it cannot be folded")
            _fold(last, module)
            act = getattr(module, "act", None)  # timm's has its activation inside
            parent, _, own = name.rpartition(".")
            setattr(body.get_submodule(parent), own, act if isinstance(act, nn.Module) else nn.Identity())
            last = None
    return body


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = nn.utils.fusion.fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    conv.weight, conv.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())


def fix_depthwise(body: nn.Module) -> nn.Module:
    """Make every depthwise convolution a :class:`FixedDepthwise`, in place; names and weights stay."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.__class__, same = FixedDepthwise, type(module).__name__ == "Conv2dSame"
            module.pads_as_tensorflow = same  # type: ignore[assignment]
            module.requires_grad_(False)
    return body


class FixedDepthwise(nn.Conv2d):
    """A depthwise convolution whose kernel does not learn: gradients pass through it only, in float32.

    Example:
        >>> layer = fix_depthwise(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4)))
        >>> x = torch.rand(1, 4, 8, 8, requires_grad=True)
        >>> layer(x).sum().backward()
        >>> x.grad.shape, layer[0].weight.grad
        (torch.Size([1, 4, 8, 8]), None)
    """

    pads_as_tensorflow: bool = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Convolve as :class:`torch.nn.Conv2d` does."""
        padding: Any = self.padding
        if self.pads_as_tensorflow:
            images, padding = _padded(images, self.kernel_size, self.stride), (0, 0)  # type: ignore[arg-type]
        if not (torch.is_grad_enabled() and images.requires_grad):
            return F.conv2d(images, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return _PassThrough.apply(
            images, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class _PassThrough(torch.autograd.Function):
    """A convolution with a gradient of its input alone."""

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *how: Any
    ) -> Any:
        ctx.save_for_backward(weight)
        ctx.how, ctx.shape = how, images.shape
        kind = images.dtype
        with torch.autocast(images.device.type, enabled=False):
            return F.conv2d(images, weight.to(kind), None if bias is None else bias.to(kind), *how)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.how
        like = torch.empty(ctx.shape, device=grad.device, memory_format=torch.channels_last)  # its shape counts
        wanted = grad.float().contiguous(memory_format=torch.channels_last)
        found = torch.ops.aten.convolution_backward(
            wanted,
            like,
            weight.float(),
            None,
            stride,
            padding,
            dilation,
            False,
            (0, 0),
            groups,
            (True, False, False),
        )[0]
        return found.to(grad.dtype), None, None, None, None, None, None


def _padded(images: torch.Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> torch.Tensor:
    """Padded as TensorFlow does it: as little as each stride needs, the odd pixel right and below."""
    need = [
        max((-(-side // step) - 1) * step + size - side, 0)
        for side, size, step in zip(images.shape[-2:], kernel, stride, strict=True)
    ]
    below, right = need
    return F.pad(images, (right // 2, right - right // 2, below // 2, below - below // 2))
