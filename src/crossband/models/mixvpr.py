"""MixVPR: ResNet-50 up to its third stage, and mixing of whole channels.

Ali-bey, Chaib-draa and Giguere, WACV 2023. The layout of ``amaralibey/MixVPR`` (keys ``backbone.model.*``,
``aggregator.mix.N.mix.*``, ``aggregator.channel_proj``, ``aggregator.row_proj``) was read in its code; the
checkpoint itself was not at hand, and its row projection may or may not have a bias: both load. 4,096 dims.
"""

from __future__ import annotations

import torch
import torchvision
from torch import nn

from ..nn.aggregation import MixVPR
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["MixVPRNetwork", "build_mixvpr", "rename_mixvpr"]


class MixVPRNetwork(nn.Module):
    """ResNet-50 without its last stage, and the aggregator, which maps of 20x20 (images of 320x320) suit."""

    def __init__(self, out_channels: int = 1024) -> None:
        super().__init__()
        self.backbone = torchvision.models.resnet50(weights=None)
        self.backbone.layer4 = self.backbone.avgpool = self.backbone.fc = nn.Identity()
        self.aggregator = MixVPR(1024, (20, 20), depth=4, ratio=1.0, out_channels=out_channels, out_rows=4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, 4 * out_channels)`` of images ``(B, 3, h, w)``."""
        net = self.backbone
        maps = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        return self.aggregator(net.layer3(net.layer2(net.layer1(maps))))


_PARTS = (
    ("backbone.model.", "backbone."),
    ("aggregator.mix.", "aggregator.mixers."),
    ("aggregator.channel_proj.", "aggregator.channels."),
    ("aggregator.row_proj.", "aggregator.rows."),
)


def rename_mixvpr(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename the authors' keys to the network's own."""
    renamed = {}
    for key, value in state.items():
        old, new = next((pair for pair in _PARTS if key.startswith(pair[0])), ("", ""))
        renamed[new + key.removeprefix(old)] = value
    if "aggregator.rows.weight" in renamed:
        rows = renamed["aggregator.rows.weight"]
        renamed.setdefault("aggregator.rows.bias", rows.new_zeros(len(rows)))
    return renamed


@register_model(
    "mixvpr",
    params=10_880_900,
    dim=4096,
    task="place recognition (GSV-Cities)",
    license="GPL-3.0",
    source="https://github.com/amaralibey/MixVPR, resnet50_MixVPR_4096_channels(1024)_rows(4).ckpt",
    weights=WeightsSource("mixvpr", first="resnet50_MixVPR_4096_channels(1024)_rows(4)"),
    rename=rename_mixvpr,
    default_steps="flat",
    size=(320, 320),
)
def build_mixvpr() -> Encoder:
    """Build ResNet-50 and MixVPR, 4,096 dims."""
    return Encoder(MixVPRNetwork(), "aggregator")
