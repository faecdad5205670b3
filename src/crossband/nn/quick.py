"""A copy of an encoder that gives the same maps, but for rounding, in less time on a CPU.

BatchNorms are folded into the convolutions before them, and convolutions are handed to oneDNN with the
activation behind them: torch gives 1x1 convolutions to a plain matrix product when a pass has one thread, which
takes 2.3 times as long (docs/decisions.md), and an activation by itself reads and writes the map once more.
Weights are laid out once for each size of input, as oneDNN's quickest kernel for that size reads them; in
bfloat16 on request, for processors that multiply it in hardware.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from .encoder import Encoder

__all__ = ["quick_copy"]

# by name in oneDNN, with its numbers
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
}
_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.25}  # of the length of the maps
_LAYOUTS = 4  # sizes of input that weights are laid out for


def quick_copy(
    encoder: Encoder, layer: str | None, images: torch.Tensor, dtype: torch.dtype = torch.float32
) -> Encoder:
    """Make the quick copy of an encoder in evaluation mode, from what one pass reveals.

    Args:
        encoder: what to copy; it stays as it is, and the copy shares the parameters that do not change.
        layer: where it is cut; what lies behind is not folded.
        images: any images it can read, ``(B, 3, H, W)``.
        dtype: what it computes in, and what its maps are of: float32 or bfloat16.

    Returns:
        the copy, or ``encoder`` itself where the maps would differ.

    Example:
        >>> body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> quick = quick_copy(Encoder(body, "2"), None, torch.rand(1, 3, 8, 8))
        >>> quick.body[1]
        Identity()
    """
    images = images.contiguous(memory_format=torch.channels_last)
    onednn = images.device.type == "cpu" and torch.backends.mkldnn.is_available()
    with torch.inference_mode():
        norms, acts, reached, before = _followers(encoder, layer, images)
        quick = _copied(encoder, {})
        assert isinstance(quick, Encoder)
        if onednn:
            for name in reached:
                _hand_over(quick.body.get_submodule(name))
        for conv, norm in norms.items():
            _fold(quick.body, conv, norm)
        if onednn:
            for conv in {**acts, **norms}:
                for part in (norms, acts):  # timm's norm has the activation inside, a plain one behind it
                    if conv in part and _fuse(quick.body, conv, part[conv]):
                        break
        if layer is not None and layer not in quick.layers():  # an activation that is a convolution's part now
            return encoder
        if dtype is not torch.float32:
            _narrow(quick.body, dtype)
        try:
            after = quick(images, layer).float()
        except (CrossbandError, RuntimeError):  # a network that mixes types
            return encoder
    return quick if (after - before).norm() <= _CLOSE[dtype] * before.norm() else encoder


def _copied(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    """The same network of modules of its own, whose tensors and other attributes are shared."""
    if module not in made:
        made[module] = twin = module.__new__(type(module))
        twin.__dict__ = {name: copy.copy(v) if isinstance(v, dict) else v for name, v in vars(module).items()}
        children = {
            name: None if child is None else _copied(child, made) for name, child in module._modules.items()
        }
        twin.__dict__["_modules"] = children
    return made[module]


def _narrow(body: nn.Module, dtype: torch.dtype) -> None:
    """Let a copied network compute in another type."""
    for module in body.modules():
        for name, weights in module._parameters.items():
            if weights is not None and weights.is_floating_point():
                module._parameters[name] = nn.Parameter(weights.detach().to(dtype), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_floating_point():
                module._buffers[name] = buffer.to(dtype)
    body.register_forward_pre_hook(lambda _, images: tuple(image.to(dtype) for image in images))


class _OneDNN(nn.Conv2d):
    """A convolution by oneDNN, whatever the number of threads, and the activation behind it."""

    activation: tuple[str, list[float]] = ("none", [])
    pads_as_tensorflow = False
    _laid_out: dict[torch.Size, tuple[torch.Tensor, tuple[int, ...]]]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype != self.weight.dtype:
            raise TypeError(f"this quick copy reads {self.weight.dtype}, not {images.dtype}")
        known = self._laid_out.get(images.shape)
        weight, padding = known or self._lay_out(images.shape)
        name, numbers = self.activation
        return torch.ops.mkldnn._convolution_pointwise(
            images, weight, self.bias, padding, self.stride, self.dilation, self.groups, name, numbers, ""
        )

    def _lay_out(self, shape: torch.Size) -> tuple[torch.Tensor, tuple[int, ...]]:
        """The weights as oneDNN reads them for an input of a shape, and the padding on each side."""
        assert not isinstance(self.padding, str)
        weight, padding = self.weight.detach(), self.padding
        if self.pads_as_tensorflow:
            weight, padding = _evenly_padded(weight, shape, self.stride)
        if len(self._laid_out) < _LAYOUTS:  # where there are many, each is laid out for its pass alone
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight, padding, self.stride, self.dilation, self.groups, shape
            )
            self._laid_out[shape] = (weight, padding)
        return weight, padding


def _evenly_padded(
    weight: torch.Tensor, shape: torch.Size, stride: tuple[int, ...]
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Kernels and the padding of both sides that do what TensorFlow's padding does, which is one wider right
    and below where it is odd: there the kernel gets a row or column of zeros in front."""
    kernel = weight.shape[-2:]
    down, right = [
        max((-(-side // step) - 1) * step + size - side, 0)
        for side, size, step in zip(shape[-2:], kernel, stride, strict=True)
    ]
    return F.pad(weight, (right % 2, 0, down % 2, 0)), (-(-down // 2), -(-right // 2))


def _hand_over(module: nn.Module) -> None:
    """Make a convolution one by oneDNN, where it is of a kind that it has."""
    same = type(module).__name__ == "Conv2dSame" and isinstance(module, nn.Conv2d)
    if not (same or type(module) is nn.Conv2d):
        return
    assert isinstance(module, nn.Conv2d)
    if module.padding_mode == "zeros" and not isinstance(module.padding, str):
        module.__class__ = _OneDNN
        module.pads_as_tensorflow, module._laid_out = same, {}  # type: ignore[assignment]


def _followers(
    encoder: Encoder, layer: str | None, images: torch.Tensor
) -> tuple[dict[str, str], dict[str, str], list[str], torch.Tensor]:
    """The BatchNorm that reads each convolution's very output, the activation that reads either's, the modules
    of these kinds that a pass reaches, and the maps. What two such modules read has no follower."""
    made: dict[int, str] = {}
    kept: list[torch.Tensor] = []  # while they live, no other tensor has their identity
    reached: list[str] = []
    norms: list[tuple[str, str]] = []
    acts: list[tuple[str, str]] = []

    def after(name: str, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        conv = made.get(id(inputs[0]))
        kept.append(output)
        reached.append(name)
        if isinstance(module, nn.Conv2d):
            made[id(output)] = name
        elif _is_plain(module):
            if conv is not None:
                norms.append((conv, name))
                made[id(output)] = conv
        elif conv is not None:
            acts.append((conv, name))
            made.pop(id(output), None)  # in place, it is what was read

    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: after(name, m, i, o))
        for name, module in encoder.body.named_modules()
        if isinstance(module, nn.Conv2d) or _is_plain(module) or type(module) in _ACTIVATIONS
    ]
    try:
        ended = encoder(images, layer)
    finally:
        for handle in handles:
            handle.remove()
    return _single(norms), _single(acts), list(dict.fromkeys(reached)), ended


def _single(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Those pairs none of whose two is in another."""
    convs, followers = [conv for conv, _ in pairs], [name for _, name in pairs]
    return {conv: name for conv, name in pairs if convs.count(conv) == followers.count(name) == 1}


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
    act = getattr(norm, "act", None)  # timm's has its activation inside
    _replace(body, norm_name, act if isinstance(act, nn.Module) else nn.Identity())


def _fuse(body: nn.Module, conv_name: str, act_name: str) -> bool:
    """Let a convolution do what an activation behind it does, where it can; whether it could."""
    conv, act = body.get_submodule(conv_name), body.get_submodule(act_name)
    if not isinstance(conv, _OneDNN) or type(act) not in _ACTIVATIONS:
        return False
    conv.activation = _ACTIVATIONS[type(act)]
    _replace(body, act_name, nn.Identity())
    return True


def _replace(body: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(body.get_submodule(parent), last, module)
