"""SGM: satellite-thermal geo-localization with ResNet-18, a narrow 1x1 convolution and NetVLAD.

Xiao et al., "Long-range UAV Thermal Geo-localization with Satellite Imagery", IROS 2023. Trained
domain-adversarially (a classifier of the band behind reversed gradients on the descriptor), which leaves
nothing in the network that is kept. The layout of ``arplaboratory/satellite-thermal-geo-localization``
(``resnet18conv4``, ``--conv_output_dim=4096 --add_bn``: keys ``backbone.N``, ``conv_layer.N``,
``aggregation.conv``, ``aggregation.centroids``) was read in its code; the authors publish no checkpoint there,
only how to train one.
"""

from __future__ import annotations

import torch
import torchvision
from torch import nn

from ..nn.aggregation import NetVLAD
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["SGM", "build_sgm", "rename_sgm"]


class SGM(nn.Module):
    """ResNet-18 up to its third stage (stride 16), 64 channels, NetVLAD with 64 centers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*list(torchvision.models.resnet18(weights=None).children())[:-3])
        self.conv_layer = nn.Sequential(nn.Conv2d(256, 64, 1, bias=False), nn.BatchNorm2d(64))
        self.aggregation = NetVLAD(64, 64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, 4096)`` of images ``(B, 3, h, w)``."""
        return self.aggregation(self.conv_layer(self.backbone(images)))


def rename_sgm(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename the authors' NetVLAD keys to the network's own; its assignment gets a zero bias."""
    renamed = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if key == "aggregation.conv.weight":
            renamed["aggregation.weights"] = value.flatten(1)
            renamed["aggregation.bias"] = value.new_zeros(len(value))
        else:
            renamed[key.replace("aggregation.centroids", "aggregation.centers")] = value
    return renamed


@register_model(
    "sgm_resnet18",
    params=2_807_552,
    dim=4096,
    task="satellite-thermal localization (Boson-nighttime)",
    license="MIT",
    source="https://github.com/arplaboratory/satellite-thermal-geo-localization",
    weights=WeightsSource("sgm_resnet18"),
    rename=rename_sgm,
    default_steps="flat",
    size=(512, 512),
)
def build_sgm() -> Encoder:
    """Build ResNet-18 and NetVLAD, 4,096 dims."""
    return Encoder(SGM(), "aggregation")
