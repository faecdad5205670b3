"""A copy of an encoder that gives the same maps, but for rounding, in less time on a CPU.

BatchNorms are folded into the convolutions before them, and 1x1 convolutions are handed to oneDNN: torch gives
them to a plain matrix product when a pass has one thread, which takes 2.3 times as long (docs/decisions.md).
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .encoder import Encoder

__all__ = ["quick_copy"]


def quick_copy(encoder: Encoder, layer: str | None, image: torch.Tensor) -> Encoder:
    """The quick copy of an encoder in evaluation mode; which BatchNorms can be folded is seen in one pass.

    Args:
        encoder: what to copy; it stays as it is.
        layer: where it is cut; what lies behind is not folded.
        image: any image it can read, ``(3, H, W)``.

    Returns:
        the copy, or ``encoder`` itself where the maps would differ.

    Example:
        >>> body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> quick = quick_copy(Encoder(body, "2"), None, torch.rand(3, 8, 8))
        >>> quick.body[1]
        Identity()
    """
    quick = copy.deepcopy(encoder)
    with torch.inference_mode():
        before = encoder(image[None], layer)
        for conv, norm in _pairs(quick, layer, image):
            _fold(quick.body, conv, norm)
        if image.device.type == "cpu" and torch.backends.mkldnn.is_available():
            for module in quick.body.modules():
                if (
                    type(module) is nn.Conv2d
                    and module.kernel_size == (1, 1)
                    and module.padding_mode == "zeros"
                ):
                    module.__class__ = _Pointwise
        after = quick(image[None], layer)
    return quick if torch.allclose(after, before, atol=1e-4 * float(before.abs().max())) else encoder


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution by oneDNN, whatever the number of threads."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype != torch.float32:
            return super().forward(images)
        return torch.ops.aten.mkldnn_convolution(
            images, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


def _pairs(encoder: Encoder, layer: str | None, image: torch.Tensor) -> list[tuple[str, str]]:
    """The convolutions whose very output a BatchNorm reads, each with its name."""
    made: dict[int, str] = {}
    kept: list[torch.Tensor] = []  # while they live, no other tensor has their identity
    pairs: list[tuple[str, str]] = []

    def after(name: str, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(output)] = name
            kept.append(output)
        elif id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])], name))

    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: after(name, m, i, o))
        for name, module in encoder.body.named_modules()
        if isinstance(module, nn.Conv2d) or _is_plain(module)
    ]
    try:
        encoder(image[None], layer)
    finally:
        for handle in handles:
            handle.remove()
    once = [conv for conv, _ in pairs]
    return [(conv, norm) for conv, norm in pairs if once.count(conv) == 1]


def _is_plain(module: nn.Module) -> bool:
    """A BatchNorm, or timm's with its activation."""
    return type(module) is nn.BatchNorm2d or (isinstance(module, nn.BatchNorm2d) and hasattr(module, "act"))


def _fold(body: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = body.get_submodule(conv_name), body.get_submodule(norm_name)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = nn.utils.fusion.fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    parent, _, name = norm_name.rpartition(".")
    rest: nn.Module = nn.Identity()
    if isinstance(act := getattr(norm, "act", None), nn.Module):  # timm's has its activation inside
        rest = nn.Sequential(norm.get_submodule("drop"), act)
    setattr(body.get_submodule(parent), name, rest)
