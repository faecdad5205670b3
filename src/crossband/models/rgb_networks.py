"""Networks of one stream, which read RGB or all bands as further channels (3c and 4c of tables II to V of Li et
al.).

DeepLabV3+ (Chen et al., ECCV 2018) is that of segmentation_models_pytorch, on a ResNet dilated to stride 16, or
on EfficientNet-Lite0, which is what the packaged network is compared with;
HRNet (Sun et al., 2019) is timm's backbone with the head of HRNetV2: all four maps at stride 4, one 1 x 1
convolution of them together (with a bias besides its BatchNorm, as in the authors' release), one to the
classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..errors import MissingExtraError
from ..nn.layers import conv_unit, resized
from ..nn.stages import widen_input
from ._registry import create_encoder
from ._segmentation import band_channels, register_segmenter

__all__ = ["HRNetSegmenter"]


class HRNetSegmenter(nn.Module):
    """HRNetV2.

    Args:
        features: timm's HRNet, giving its four branches.
        widths: of the branches.
        classes: how many.
    """

    def __init__(self, features: nn.Module, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Sequential(
            conv_unit(sum(widths), sum(widths), 1, bias=True), nn.Conv2d(sum(widths), classes, 1)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``.

        Their last rows and columns are repeated up to multiples of 32, which the branches need to fit each
        other.
        """
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % 32, 0, -height % 32), mode="replicate")
        maps = self.features(padded)[-4:]
        joined = [resized(m, maps[0].shape[-2:], align_corners=True) for m in maps[1:]]
        logits = self.head(torch.cat([maps[0], *joined], 1))
        return resized(logits, padded.shape[-2:], align_corners=True)[..., :height, :width]


def _register_hrnet(width: int, params: int) -> None:
    @register_segmenter(f"hrnet{width}", params=params, source="Sun et al., HRNet, 2019; timm")
    def build(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
        encoder = create_encoder(f"timm/hrnet_w{width}", pretrained=pretrained)
        digest = encoder.digest
        features: Any = encoder.body.features
        features.incre_modules = None  # the branches themselves, not what classification makes of them
        widen_input(features, sum(band_channels(bands)))
        widths = tuple(width * 2**i for i in range(4))
        return HRNetSegmenter(features.requires_grad_(True), widths, classes), digest


def _library() -> Any:
    try:
        import segmentation_models_pytorch
    except ModuleNotFoundError:
        raise MissingExtraError(
            "this network is segmentation_models_pytorch's; pip install 'crossband[segmentation]'"
        ) from None
    return segmentation_models_pytorch


def _deeplab(encoder: str, classes: int) -> nn.Module:
    return _library().DeepLabV3Plus(encoder, encoder_weights=None, classes=classes)


def _register_library(
    prefix: str, depth: int, params: int, make: Callable[[str, int], nn.Module], source: str
) -> None:
    license = "MIT (segmentation_models_pytorch)"

    @register_segmenter(f"{prefix}{depth}", params=params, source=source, license=license)
    def build(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
        name = f"resnet{depth}"
        network: Any = make(name, classes)
        digest = ""
        if pretrained:
            weights = create_encoder(name)
            digest = weights.digest
            network.encoder.load_state_dict(weights.body.state_dict())
        widen_input(network.encoder, sum(band_channels(bands)))
        return network, digest


for _width, _params in ((18, 9_638_985), (48, 65_852_745)):
    _register_hrnet(_width, _params)
for _depth, _params in ((50, 26_682_777), (101, 45_674_905)):
    _register_library("deeplabv3plus", _depth, _params, _deeplab, "Chen et al., DeepLabV3+, ECCV 2018")


@register_segmenter(
    "deeplabv3plus_lite0",
    params=3_861_113,
    source="Chen et al., DeepLabV3+, ECCV 2018; encoder: Tan and Le, EfficientNet-Lite0",
    license="MIT (segmentation_models_pytorch)",
)
def _deeplab_lite(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
    channels = sum(band_channels(bands))
    network: Any = _library().DeepLabV3Plus(
        "tu-tf_efficientnet_lite0", encoder_weights=None, classes=classes, in_channels=channels
    )
    if not pretrained:
        return network, ""
    weights = create_encoder("efficientnet_lite0")
    body: Any = network.encoder.model
    known = {name: value for name, value in weights.body.state_dict().items() if name in body.state_dict()}
    stem = known["conv_stem.weight"]
    if channels > stem.shape[1]:  # a further band starts from the mean of the three
        more = stem.mean(1, keepdim=True).expand(-1, channels - stem.shape[1], -1, -1)
        known["conv_stem.weight"] = torch.cat([stem, more], 1)
    elif channels < stem.shape[1]:
        known["conv_stem.weight"] = stem.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    body.load_state_dict(known)
    return network, weights.digest
