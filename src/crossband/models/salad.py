"""DINOv2 SALAD and MegaLoc: patch tokens assigned to clusters by optimal transport, with a bin for what is no
place.

Izquierdo and Civera, "Optimal Transport Aggregation for Visual Place Recognition", CVPR 2024; Berton and
Masone, "MegaLoc", 2025, the same network with wider clusters, a projection to 8,448 dims, and more data. The
layouts of ``serizba/salad`` (``backbone.model.*``, ``aggregator.*``) and ``gmberton/MegaLoc``
(``aggregator.agg.*``, ``aggregator.linear``) were read in their code, with DINOv2's own names in the backbone;
the checkpoints were not at hand.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..nn.encoder import Encoder
from ..nn.tokens import PatchTokens
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["SALAD", "SALADNetwork", "build_megaloc", "build_salad", "rename_salad"]

_ROUNDS = 3


class SALAD(nn.Module):
    """Aggregation of tokens to one vector by optimal transport.

    The class token, and for each cluster the features that optimal transport gives it.

    Args:
        channels: of a token.
        clusters: m; ``width`` dims each.
        width: l.
        token: dims of the class token.

    Example:
        >>> SALAD(32, 8, 4, 16)((torch.rand(2, 32, 5, 6), torch.rand(2, 32))).shape
        torch.Size([2, 48])
    """

    def __init__(self, channels: int, clusters: int = 64, width: int = 128, token: int = 256) -> None:
        super().__init__()
        self.token_features = nn.Sequential(nn.Linear(channels, 512), nn.ReLU(), nn.Linear(512, token))
        self.cluster_features = self._mlp(channels, width)
        self.score = self._mlp(channels, clusters)
        self.dust_bin = nn.Parameter(torch.tensor(1.0))

    @staticmethod
    def _mlp(channels: int, width: int) -> nn.Sequential:
        first, last = nn.Conv2d(channels, 512, 1), nn.Conv2d(512, width, 1)
        return nn.Sequential(first, nn.Dropout(0.3), nn.ReLU(), last)

    def forward(self, tokens: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return unit-length descriptors ``(B, token + clusters * width)``."""
        maps, token = tokens
        features = self.cluster_features(maps).flatten(2)
        share = self.assign(self.score(maps).flatten(2))
        parts = F.normalize(features @ share.transpose(1, 2), dim=1)
        return F.normalize(
            torch.cat([F.normalize(self.token_features(token), dim=-1), parts.flatten(1)], -1), dim=-1
        )

    def assign(self, scores: torch.Tensor) -> torch.Tensor:
        """Assign n tokens to m clusters softly, ``(B, m, n)``, by Sinkhorn's iterations in logarithms.

        Every cluster may take as much as one token and the bin all the rest (where there are more tokens than
        clusters); every token gives one.
        """
        m, n = scores.shape[1:]
        costs = torch.cat([scores, self.dust_bin.expand(len(scores), 1, n)], 1)
        total = scores.new_tensor(float(m + n)).log()
        rows = scores.new_zeros(m + 1)
        rows[-1] = scores.new_tensor(float(max(n - m, 1))).log()
        rows = rows - total
        u, v = costs.new_zeros(len(costs), m + 1), costs.new_zeros(len(costs), n)
        for _ in range(_ROUNDS):
            u = rows - torch.logsumexp(costs + v[:, None], 2)
            v = -total - torch.logsumexp(costs + u[:, :, None], 1)
        return (costs + u[:, :, None] + v[:, None] + total).exp()[:, :-1]


class SALADNetwork(nn.Module):
    """DINOv2 ViT-B/14, SALAD and, for MegaLoc, a projection."""

    def __init__(self, width: int = 128, project: int | None = None) -> None:
        super().__init__()
        self.backbone = PatchTokens("vit_base_patch14_dinov2")
        self.aggregator = SALAD(768, width=width)
        self.linear = nn.Linear(64 * width + 256, project) if project else nn.Identity()
        self.out = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, D)`` of images ``(B, 3, h, w)``.

        The images are resized to the nearest multiple of 14 pixels.
        """
        return self.out(F.normalize(self.linear(self.aggregator(self.backbone(images))), dim=1))


def rename_salad(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename MegaLoc's aggregator to SALAD's, without DINOv2's mask token, which only training needs."""
    renamed = {}
    for key, value in state.items():
        if not key.endswith("mask_token"):
            key = key.replace("aggregator.agg.", "aggregator.").replace("aggregator.linear.", "linear.")
            renamed[key] = value
    return renamed


@register_model(
    "salad",
    params=87_990_721,
    dim=8448,
    task="place recognition (GSV-Cities)",
    license="GPL-3.0",
    source="https://github.com/serizba/salad, dino_salad.ckpt",
    weights=WeightsSource(
        "salad", url="https://github.com/serizba/salad/releases/download/v1.0.0/dino_salad.ckpt"
    ),
    rename=rename_salad,
    default_steps="flat",
    size=(322, 322),
)
def build_salad() -> Encoder:
    """Build DINOv2 ViT-B/14 and SALAD, 8,448 dims."""
    return Encoder(SALADNetwork(), "out")


@register_model(
    "megaloc",
    params=228_639_553,
    dim=8448,
    task="place recognition (five sets)",
    license="MIT",
    source="https://github.com/gmberton/MegaLoc, megaloc.torch",
    weights=WeightsSource(
        "megaloc", url="https://github.com/gmberton/MegaLoc/releases/download/v1.0/megaloc.torch"
    ),
    rename=rename_salad,
    default_steps="flat",
    size=(322, 322),
)
def build_megaloc() -> Encoder:
    """Build DINOv2 ViT-B/14, a wide SALAD and a projection, 8,448 dims."""
    return Encoder(SALADNetwork(256, 8448), "out")
