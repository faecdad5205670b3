"""ResNets whose first convolution is three of 3x3, as PSPNet, DFN and CAANet were released with them."""

from __future__ import annotations

import torch
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from ..errors import unknown_name
from ..nn.resnet import dilate
from ..nn.stages import widen_input
from ._registry import create_encoder

__all__ = ["DeepStemResNet", "build_deep_stem"]

_DEPTHS: dict[int, tuple[type[nn.Module], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}
_PUBLISHED = {
    (depth, width): f"timm/resnet{depth}{letter}"
    for depth in (50, 101, 152)
    for width, letter in ((32, "c"), (64, "s"))
}


class DeepStemResNet(nn.Module):
    """Images to the maps of the four stages.

    Attributes:
        channels: of each stage's map.
    """

    def __init__(self, depth: int, stem_width: int, dilated: bool) -> None:
        super().__init__()
        if depth not in _DEPTHS:
            raise unknown_name("depth of the ResNet", str(depth), map(str, _DEPTHS))
        block, layers = _DEPTHS[depth]
        self.body = ResNet(block, layers, num_classes=0, stem_width=stem_width, stem_type="deep")
        if dilated:
            dilate(self.body.layer3, 2)
            dilate(self.body.layer4, 4)
        expansion = 1 if block is BasicBlock else 4
        self.channels = tuple(width * expansion for width in (64, 128, 256, 512))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Four maps of images ``(B, C, H, W)``, at strides 4 to 32, or 4, 8, 8 and 8 where dilated."""
        body = self.body
        x = body.maxpool(body.act1(body.bn1(body.conv1(images))))
        maps = []
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def build_deep_stem(
    depth: int, stem_width: int, channels: int = 3, pretrained: bool = False, dilated: bool = False
) -> tuple[DeepStemResNet, str]:
    """Build a deep-stem ResNet, and say the identity of its weights.

    Args:
        depth: 18, 34, 50, 101 or 152.
        stem_width: of the first two of the stem's convolutions; the third has twice as many channels.
        channels: of the images.
        pretrained: whether to start from timm's ImageNet weights of the same network (from depth 50 on).
        dilated: whether stages 3 and 4 keep stride 8, dilated 2 and 4.

    Raises:
        CrossbandError: an unknown depth, or weights that are missing.
    """
    network, digest = DeepStemResNet(depth, stem_width, dilated), ""
    if pretrained:
        if (depth, stem_width) not in _PUBLISHED:
            known = [str(d) for d, width in _PUBLISHED if width == stem_width]
            raise unknown_name("depth with ImageNet weights", str(depth), known)
        encoder = create_encoder(_PUBLISHED[depth, stem_width])
        digest = encoder.digest
        network.body.load_state_dict(encoder.body.state_dict(), strict=True)
    widen_input(network, channels)
    return network.requires_grad_(True), digest
