"""An encoder as four stages, at strides 4, 8, 16 and 32, as segmentation reads it."""

from __future__ import annotations

import copy
import fnmatch
from typing import Any

import torch
from torch import nn

from ..errors import CrossbandError

__all__ = ["STAGE_LAYERS", "StageEncoder", "Stages", "cut_stages", "stage_layers", "widen_input"]

# VGG's stages end with their pooling, DenseNet's before their transition, as table XII of Li et al. counts them
# (SqueezeNet's fourth is a pooling that cut_stages adds)
STAGE_LAYERS: dict[str, tuple[str, str, str, str]] = {
    "resnet*": ("layer1", "layer2", "layer3", "layer4"),
    "densenet*": (
        "features.denseblock1",
        "features.denseblock2",
        "features.denseblock3",
        "features.denseblock4",
    ),
    "vgg16": ("features.9", "features.16", "features.23", "features.30"),
    "vgg19": ("features.9", "features.18", "features.27", "features.36"),
    "mobilenet_v2": ("features.3", "features.6", "features.13", "features.17"),
    "squeezenet1_0": ("features.5", "features.10", "features.12", "features.13"),
    "squeezenet1_1": ("features.4", "features.7", "features.12", "features.13"),
    "efficientnet_lite*": ("blocks.1", "blocks.2", "blocks.4", "blocks.6"),
}


def stage_layers(name: str) -> tuple[str, str, str, str]:
    """Return the last layers of the four stages of a registered encoder.

    Raises:
        CrossbandError: nobody has said where its stages end.

    Example:
        >>> stage_layers("resnet18")
        ('layer1', 'layer2', 'layer3', 'layer4')
    """
    for pattern, layers in STAGE_LAYERS.items():
        if fnmatch.fnmatchcase(name, pattern):
            return layers
    raise CrossbandError(
        f"{name} does not have four known stages; use one of {', '.join(STAGE_LAYERS)}, or timm/NAME"
    )


class StageEncoder(nn.Module):
    """Images to four maps.

    Attributes:
        channels: of each stage's map.
    """

    channels: tuple[int, ...]


class Stages(StageEncoder):
    """A network that is a chain of layers, cut into four stages.

    Args:
        body: the network.
        layers: the name of each stage's last layer; what comes after the last of them is left out.

    Attributes:
        channels: of each stage's map.

    Raises:
        CrossbandError: a layer is not there.

    Example:
        >>> body = nn.Sequential(*(nn.Conv2d(3, 3, 3, 2, 1) for _ in range(5)))
        >>> [tuple(f.shape[1:]) for f in Stages(body, ("1", "2", "3", "4"))(torch.zeros(1, 3, 64, 64))]
        [(3, 16, 16), (3, 8, 8), (3, 4, 4), (3, 2, 2)]
    """

    def __init__(self, body: nn.Module, layers: tuple[str, ...]) -> None:
        super().__init__()
        chain = _chain(body, {layer.rpartition(".")[0] for layer in layers})
        lacking = [layer for layer in layers if layer not in dict(chain)]
        if lacking:
            raise CrossbandError(f"the network has no layer {lacking[0]!r} to be cut into stages at")
        self.stages = nn.ModuleList()
        part: dict[str, nn.Module] = {}
        for name, module in chain:
            part[name.replace(".", "_")] = module
            if name in layers:
                self.stages.append(nn.Sequential())
                for key, inner in part.items():
                    self.stages[-1].add_module(key, inner)
                part = {}
            if name == layers[-1]:
                break
        self.channels = _channels(self)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps of images ``(B, 3, H, W)``.

        ``(B, C_s, H / 2^(s + 1), W / 2^(s + 1))`` for s = 1 to 4.
        """
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps


def cut_stages(name: str, body: nn.Module) -> Stages:
    """Cut a registered encoder's network, with its weights, into its four stages, in place.

    SqueezeNet pads neither its first convolution nor its poolings, and ends at stride 16. Here they pad, so
    that its maps are as large as those of other encoders, and a pooling of its last map is the fourth stage.

    Raises:
        CrossbandError: nobody has said where its stages end.

    Example:
        >>> import torchvision
        >>> stages = cut_stages("squeezenet1_1", torchvision.models.squeezenet1_1())
        >>> [tuple(f.shape[1:]) for f in stages(torch.zeros(1, 3, 64, 64))]
        [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    """
    layers = stage_layers(name)
    if name.startswith("squeezenet"):
        _pad_squeezenet(body.get_submodule("features"))
    return Stages(body, layers)


def _pad_squeezenet(features: nn.Module) -> None:
    """Let each stride halve a side, rounding up, and add the pooling of the fourth stage."""
    assert isinstance(features, nn.Sequential)
    features.append(nn.MaxPool2d(3, 2))
    for module in features:
        if isinstance(module, nn.Conv2d):
            module.padding = (module.kernel_size[0] // 2, module.kernel_size[1] // 2)
        elif isinstance(module, nn.MaxPool2d):
            module.padding, module.ceil_mode = 1, False


def _chain(body: nn.Module, opened: set[str]) -> list[tuple[str, nn.Module]]:
    """The layers of a network in the order it runs them; the containers that hold cuts are opened."""
    found = []
    for name, module in body.named_children():
        if name in opened:
            found += [(f"{name}.{inner}", child) for inner, child in module.named_children()]
        else:
            found.append((name, module))
    return found


def _channels(stages: Stages) -> tuple[int, ...]:
    """The channels of each stage, by a small image through it."""
    training = stages.training
    weight = next(stages.parameters())
    first = next(m for m in stages.modules() if isinstance(m, nn.Conv2d))
    with torch.inference_mode():
        maps = stages.eval()(
            torch.zeros(1, first.in_channels, 64, 64, device=weight.device, dtype=weight.dtype)
        )
    stages.train(training)
    return tuple(m.shape[1] for m in maps)


def widen_input(network: nn.Module, channels: int) -> nn.Module:
    """Let a network read ``channels`` channels in place of three, in place.

    The first convolution keeps its type. The new channels start from the mean of the three, as for a further
    band (nothing is done where it reads as many already).

    Example:
        >>> widen_input(nn.Sequential(nn.Conv2d(3, 8, 3)), 4)[0].weight.shape
        torch.Size([8, 4, 3, 3])
    """
    name, first = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if first.in_channels == channels:
        return network
    shape: dict[str, Any] = {
        name: getattr(first, name) for name in ("out_channels", "kernel_size", "groups", "padding_mode")
    }
    wider = copy.deepcopy(first)  # of its type: Conv2dSame pads by itself
    wider.in_channels = channels
    wider.weight = nn.Conv2d(channels, bias=first.bias is not None, **shape).to(first.weight).weight
    mean = first.weight.data.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    wider.weight.data.copy_(mean)
    kept = min(channels, first.in_channels)
    if channels > first.in_channels:
        wider.weight.data[:, :kept] = first.weight.data[:, :kept]
    wider.requires_grad_(True)
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, wider)
    return network
