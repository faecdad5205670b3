"""A ResNet taken apart, for networks that branch inside it."""

from __future__ import annotations

import copy

from torch import nn

from ..errors import CrossbandError
from .encoder import Encoder

__all__ = ["dilate", "late_branch", "reduction", "remove_last_stride", "resnet_pieces", "resnet_stages"]


def resnet_stages(encoder: Encoder, needs: str) -> list[nn.Sequential]:
    """Return the four stages of a ResNet (``layer1`` to ``layer4`` of torchvision and timm).

    Raises:
        CrossbandError: the encoder is another network; ``needs`` is what wants a ResNet.
    """
    stages = [getattr(encoder.body, f"layer{i}", None) for i in range(1, 5)]
    if not all(isinstance(stage, nn.Sequential) for stage in stages):
        raise CrossbandError(f"{needs} branches inside a ResNet; use model.encoder=resnet50")
    return stages  # type: ignore[return-value]


def resnet_pieces(body: nn.Module) -> nn.ModuleList:
    """Cut a ResNet into five pieces that end at strides 2, 4, 8, 16 and 32; the pooling opens the second.

    Args:
        body: torchvision's.

    Example:
        >>> from torchvision.models import resnet18
        >>> [name for name, _ in resnet_pieces(resnet18())[1].named_children()]
        ['0', '1']
    """
    r = dict(body.named_children())
    return nn.ModuleList(
        (
            nn.Sequential(r["conv1"], r["bn1"], r["relu"]),
            nn.Sequential(r["maxpool"], r["layer1"]),
            r["layer2"],
            r["layer3"],
            r["layer4"],
        )
    )


def dilate(stage: nn.Module, dilation: int) -> None:
    """Let a stage keep the size of its input: stride 1 everywhere, all 3x3 convolutions dilated; in place."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (dilation, dilation)


def remove_last_stride(stage: nn.Module) -> None:
    """Let a stage keep the size of its input: every strided convolution or pooling in it gets stride 1."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d | nn.AvgPool2d) and module.stride not in (1, (1, 1)):
            module.stride = (1, 1) if isinstance(module, nn.Conv2d) else 1
            if isinstance(module, nn.AvgPool2d):
                module.kernel_size = 1


def late_branch(stages: list[nn.Sequential], strided: bool) -> nn.Sequential:
    """Return a copy of what follows the third stage's first block, to be trained on its own.

    The copy begins at ``res_conv4_2``.

    Args:
        stages: of :func:`resnet_stages`.
        strided: whether the last stage halves the map, as in the network itself.
    """
    branch = copy.deepcopy(nn.Sequential(*stages[2][1:], stages[3]))
    if not strided:
        remove_last_stride(branch[-1])
    return branch


def reduction(channels: int, width: int) -> nn.Sequential:
    """Make the projection of each position's channels to fewer dims that PCB, MGN and ABD-Net share."""
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
