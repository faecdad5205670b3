"""BoQ, bag of queries: learned queries that look at the map, twice.

Ali-bey, Chaib-draa and Giguere, CVPR 2024. The layouts of ``amaralibey/Bag-of-Queries`` (``backbone.net.N``
with ResNet-50, ``backbone.dino.*`` with DINOv2; ``aggregator.proj_c``, ``norm_input``, ``boqs.N.*``, ``fc``)
were read in its code; the checkpoints were not at hand.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from ..nn.encoder import Encoder
from ..nn.tokens import PatchTokens
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["BoQ", "BoQNetwork", "build_boq_dinov2", "build_boq_resnet50", "rename_boq"]

_RELEASE = "https://github.com/amaralibey/Bag-of-Queries/releases/download/v1.0"


class _Queries(nn.Module):
    """An encoder layer over the tokens, and queries that take from them what they look for."""

    def __init__(self, width: int, queries: int) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(width, 8, batch_first=True, dropout=0.0)
        self.queries = nn.Parameter(torch.randn(1, queries, width))
        self.self_attn = nn.MultiheadAttention(width, 8, batch_first=True)
        self.norm_q = nn.LayerNorm(width)
        self.cross_attn = nn.MultiheadAttention(width, 8, batch_first=True)
        self.norm_out = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.encoder(x)
        q = self.queries.expand(len(x), -1, -1)
        q = self.norm_q(q + self.self_attn(q, q, q, need_weights=False)[0])
        return x, self.norm_out(self.cross_attn(q, x, x, need_weights=False)[0])


class BoQ(nn.Module):
    """Maps ``(B, C, H, W)`` to unit-length descriptors ``(B, width * rows)``.

    Example:
        >>> BoQ(32, 16, 4, rows=2).eval()(torch.rand(2, 32, 3, 3)).shape
        torch.Size([2, 32])
    """

    def __init__(self, channels: int, width: int, queries: int = 64, layers: int = 2, rows: int = 32) -> None:
        super().__init__()
        self.proj_c = nn.Conv2d(channels, width, 3, padding=1)
        self.norm_input = nn.LayerNorm(width)
        self.boqs = nn.ModuleList(_Queries(width, queries) for _ in range(layers))
        self.fc = nn.Linear(layers * queries, rows)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Compute descriptors of maps; see the class."""
        x = self.norm_input(self.proj_c(maps).flatten(2).transpose(1, 2))
        found = []
        for layer in self.boqs:
            x, out = layer(x)
            found.append(out)
        return F.normalize(self.fc(torch.cat(found, 1).transpose(1, 2)).flatten(1), dim=-1)


class _ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(*list(torchvision.models.resnet50(weights=None).children())[:-3])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


class _Dino(PatchTokens):
    """The map alone, before the last normalization, as the authors read it."""

    def __init__(self) -> None:
        super().__init__("vit_base_patch14_dinov2", norm=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(images)[0]


class BoQNetwork(nn.Module):
    """A backbone and BoQ."""

    def __init__(self, backbone: nn.Module, aggregator: BoQ) -> None:
        super().__init__()
        self.backbone, self.aggregator = backbone, aggregator

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors of images ``(B, 3, h, w)``."""
        return self.aggregator(self.backbone(images))


def rename_boq(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename ``backbone.dino`` to the network's keys; DINOv2's mask token is dropped."""
    return {
        key.replace("backbone.dino.", "backbone.model."): value
        for key, value in state.items()
        if not key.endswith("mask_token")
    }


@register_model(
    "boq_resnet50",
    params=23_844_448,
    dim=16384,
    task="place recognition (GSV-Cities)",
    license="MIT",
    source="https://github.com/amaralibey/Bag-of-Queries, resnet50_16384.pth",
    weights=WeightsSource("boq_resnet50", url=f"{_RELEASE}/resnet50_16384.pth"),
    rename=rename_boq,
    default_steps="flat",
    size=(384, 384),
)
def build_boq_resnet50() -> Encoder:
    """Build ResNet-50 and BoQ, 16,384 dims."""
    return Encoder(BoQNetwork(_ResNet(), BoQ(1024, 512)), "aggregator")


@register_model(
    "boq_dinov2",
    params=95_993_248,
    dim=12288,
    task="place recognition (GSV-Cities)",
    license="MIT",
    source="https://github.com/amaralibey/Bag-of-Queries, dinov2_12288.pth",
    weights=WeightsSource("boq_dinov2", url=f"{_RELEASE}/dinov2_12288.pth"),
    rename=rename_boq,
    default_steps="flat",
    size=(322, 322),
)
def build_boq_dinov2() -> Encoder:
    """Build DINOv2 ViT-B/14 and BoQ, 12,288 dims."""
    return Encoder(BoQNetwork(_Dino(), BoQ(768, 384)), "aggregator")
