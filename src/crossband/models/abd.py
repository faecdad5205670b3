"""ABD-Net, attentive but diverse, of one band.

Chen et al., "ABD-Net: Attentive but Diverse Person Re-Identification", ICCV 2019, figure 3 and equations (1) to
(5). Extended to several bands as table 4 of Li et al. (AAAI 2020) does: a stream per band, and their features
summed. The triplet loss is the recipe's ``loss.triplet`` (the paper's weight: 0.1).

Diversity: the largest and the smallest eigenvalue of ``F F^T`` should be near each other, of attended feature
maps F (weight 1e-6) and of convolution weights (1e-3). The eigenvectors come from power iteration without
gradients, the eigenvalues from their Rayleigh quotients with them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..nn.encoder import Encoder
from ..nn.resnet import late_branch, reduction, resnet_stages
from .streams import StreamOutput, register_stream

__all__ = ["AbdStream", "ChannelAttention", "PositionAttention", "spectral_gap"]


class ChannelAttention(nn.Module):
    """Channels attended by channels: ``gamma * softmax(A A^T) A + A``; gamma is learned from 0.

    Example:
        >>> attention, maps = ChannelAttention(), torch.randn(1, 4, 2, 3)
        >>> torch.equal(attention(maps), maps)
        True
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps ``(b, C, h, w)``, the same shape."""
        rows = maps.flatten(2)
        attended = (rows @ rows.transpose(1, 2)).softmax(-1) @ rows
        return self.gamma * attended.view_as(maps) + maps


class PositionAttention(nn.Module):
    """Positions attended by positions: ``gamma * D softmax(B^T C) + A``, with B, C and D learned from A.

    Args:
        channels: of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, max(channels // 8, 1), 1) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps ``(b, C, h, w)``, the same shape."""
        query, key, value = (part(maps).flatten(2) for part in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(-1)
        return self.gamma * (value @ weights.transpose(1, 2)).view_as(maps) + maps


def spectral_gap(rows: torch.Tensor, steps: int = 8) -> torch.Tensor:
    """Compute equation (5).

    The squared difference of the largest and the smallest eigenvalue of ``F F^T``.

    Args:
        rows: F, ``(..., C, N)``, floating point. With more rows than columns the smallest eigenvalue is 0.
        steps: of power iteration.

    Returns:
        ``(...)``.

    Example:
        >>> round(spectral_gap(torch.diag(torch.tensor([3.0, 2.0, 1.0])), steps=60).item(), 3)
        64.0
    """
    tall = rows.shape[-2] > rows.shape[-1]
    gram = rows.transpose(-1, -2) @ rows if tall else rows @ rows.transpose(-1, -2)
    largest = _rayleigh(gram, _dominant(gram.detach(), steps))
    if tall:
        return largest.square()
    shifted = gram.detach() - largest.detach()[..., None, None] * torch.eye(gram.shape[-1], device=gram.device)
    return (largest - _rayleigh(gram, _dominant(shifted, steps))).square()


@register_stream("abd", source="Chen et al., ICCV 2019")
class AbdStream(nn.Module):
    """A global and an attentive branch after ``res_conv4_1``, with attention before it too.

    Args:
        encoder: a ResNet; what follows its first stage is taken from it.
        layer: not used: the network branches where its paper says.
        channels: of the last map.
        classes: identities trained on.
        width: dims of each branch's embedding.
        feature_diversity: weight of the spectral gap of attended maps.
        weight_diversity: of the convolutions' weights.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("resnet18", pretrained=False)
        >>> output = AbdStream(encoder, "layer4", 512, classes=10, width=64).eval()(torch.zeros(2, 3, 96, 64))
        >>> output.features.shape, output.scores.shape, output.embeddings.shape
        (torch.Size([2, 192]), torch.Size([2, 2, 10]), torch.Size([2, 1, 192]))
    """

    def __init__(
        self,
        encoder: Encoder,
        layer: str,
        channels: int,
        classes: int,
        width: int = 1024,
        feature_diversity: float = 1e-6,
        weight_diversity: float = 1e-3,
    ) -> None:
        super().__init__()
        stages = resnet_stages(encoder, "ABD-Net")
        self.global_branch, self.attentive_branch = (late_branch(stages, strided=False) for _ in range(2))
        self.middle = nn.Sequential(stages[1], stages[2][0])
        encoder.body.layer2, encoder.body.layer3, encoder.body.layer4 = (nn.Identity() for _ in range(3))
        self.encoder, self.layer, self.dim = encoder, "layer1", 3 * width
        self.early = ChannelAttention()
        self.global_reduce, self.attentive_reduce = (reduction(channels, width) for _ in range(2))
        self.channel, self.position = ChannelAttention(), PositionAttention(width)
        self.global_classes, self.attentive_classes = nn.Linear(width, classes), nn.Linear(2 * width, classes)
        self.feature_diversity, self.weight_diversity = feature_diversity, weight_diversity

    def forward(self, images: torch.Tensor) -> StreamOutput:
        """Return features, scores, embeddings and the penalty of standardized images ``(b, 3, H, W)``."""
        early = self.early(self.encoder(images, self.layer))
        shared = self.middle(early)
        whole = self.global_reduce(F.adaptive_avg_pool2d(self.global_branch(shared), 1)).flatten(1)
        reduced = self.attentive_reduce(self.attentive_branch(shared))
        attended = [self.channel(reduced), self.position(reduced)]
        attentive = torch.cat([one.mean((2, 3)) for one in attended], 1)
        features = torch.cat([whole, attentive], 1)
        scores = torch.stack([self.global_classes(whole), self.attentive_classes(attentive)], 1)
        penalty = self._penalty([early, *attended]) if self.training else None
        return StreamOutput(features, scores, embeddings=features[:, None], penalty=penalty)

    def _penalty(self, maps: list[torch.Tensor]) -> torch.Tensor:
        gaps = torch.stack([spectral_gap(one.flatten(2)).mean() for one in maps])
        weights = [
            module.weight.flatten(1)
            for part in (self.global_branch, self.attentive_branch, self.middle)
            for module in part.modules()
            if isinstance(module, nn.Conv2d)
        ]
        spread = torch.stack([spectral_gap(weight, steps=2) for weight in weights])
        return self.feature_diversity * gaps.sum() + self.weight_diversity * spread.sum()


def _dominant(gram: torch.Tensor, steps: int) -> torch.Tensor:
    """The eigenvector of the eigenvalue that is largest in size, ``(..., n)``, by power iteration."""
    vector = torch.ones(gram.shape[:-1], dtype=gram.dtype, device=gram.device)
    vector = vector + torch.linspace(0, 1, gram.shape[-1], dtype=gram.dtype, device=gram.device)
    for _ in range(steps):
        vector = F.normalize((gram @ vector[..., None])[..., 0], dim=-1)
    return vector


def _rayleigh(gram: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return (vector[..., None, :] @ gram @ vector[..., None])[..., 0, 0] / vector.square().sum(-1).clamp(
        min=1e-12
    )
