"""How two streams of features come together: the parts of RSFNet and what it is compared with.

Li, Chen, Lin and Xu, "Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", section III-D.
Every fusion takes the two streams' maps of one stage and the streams' confidences, and gives two maps back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import unknown_name
from .reparam import MultiBranchConv2d, conv_batchnorm

__all__ = [
    "Concatenation",
    "Confidence",
    "GatedAttention",
    "Recalibration",
    "ResidualSpatialFusion",
    "Summation",
    "create_fusion",
]

Pair = tuple[torch.Tensor, torch.Tensor]


class Recalibration(nn.Module):
    """Equations (2) and (3): weighs the channels, then brings them to a common number.

    The weights come from a one-dimensional convolution over the pooled channels, whose width grows with their
    number as in ECA-Net (Wang et al., CVPR 2020).

    Args:
        channels: of the encoder's map.
        out: of the result.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        width = int(abs(math.log2(channels) + 1) / 2)
        width += 1 - width % 2
        self.weigh = nn.Conv1d(1, 1, width, padding=width // 2, bias=False)
        self.reduce = conv_batchnorm(channels, out, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, out, H, W)``."""
        pooled = maps.mean((2, 3))[:, None]
        weights = self.weigh(pooled).sigmoid()[:, 0, :, None, None]
        return self.reduce(maps * weights)


class Confidence(nn.Module):
    """How far a stream's features are to be trusted, 0 to 1: section III-C.

    Args:
        channels: of the last stage's map.
        hidden: between the two layers.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to confidences ``(B,)``."""
        return self.layers(maps.mean((2, 3)))[:, 0].sigmoid()


class ResidualSpatialFusion(nn.Module):
    """Each stream's features, weighed position by position by the other stream.

    Equation (4) and the fusion gate.

    Args:
        channels: of both streams.
        reduced: of the features that are fused.
        kernel_size: K of the convolution that makes the weights.
        multi_branch: whether that convolution has further branches while training, for
            :func:`~crossband.nn.reparam.reparameterize` to merge.

    Example:
        >>> fusion = ResidualSpatialFusion(8, 4)
        >>> [f.shape for f in fusion(torch.zeros(2, 8, 6, 6), torch.zeros(2, 8, 6, 6), torch.ones(2, 2))]
        [torch.Size([2, 8, 6, 6]), torch.Size([2, 8, 6, 6])]
    """

    def __init__(
        self, channels: int, reduced: int = 64, kernel_size: int = 5, multi_branch: bool = False
    ) -> None:
        super().__init__()
        self.first = _Stream(channels, reduced, kernel_size, multi_branch)
        self.second = _Stream(channels, reduced, kernel_size, multi_branch)

    def forward(self, first: torch.Tensor, second: torch.Tensor, confidence: torch.Tensor) -> Pair:
        """Fuse maps ``(B, channels, H, W)`` of both streams by their confidences ``(B, 2)``; same shape."""
        one, two = self.first.reduce(first), self.second.reduce(second)
        gate = confidence[..., None, None, None]
        one_lit = torch.cat([one * self.first.weigh(two).sigmoid(), one], 1)
        two_lit = torch.cat([two * self.second.weigh(one).sigmoid(), two], 1)
        return (
            first + gate[:, 0] * self.first.recover(one_lit),
            second + gate[:, 1] * self.second.recover(two_lit),
        )


class _Stream(nn.Module):
    """The convolutions of one stream; ``weigh`` reads the other stream."""

    def __init__(self, channels: int, reduced: int, kernel_size: int, multi_branch: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(*conv_batchnorm(channels, reduced, 1), nn.ReLU())
        self.weigh: nn.Module = (
            MultiBranchConv2d(reduced, kernel_size)
            if multi_branch
            else nn.Conv2d(reduced, reduced, kernel_size, padding=kernel_size // 2)
        )
        self.recover = nn.Conv2d(2 * reduced, channels, 1)


class Summation(nn.Module):
    """Both streams go on with the sum of the two: table VII."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, first: torch.Tensor, second: torch.Tensor, confidence: torch.Tensor) -> Pair:
        """Fuse as :meth:`ResidualSpatialFusion.forward`; the confidences are not used."""
        both = first + second
        return both, both


class Concatenation(nn.Module):
    """Both streams go on with one 1 x 1 convolution of the two together: table VII."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = conv_batchnorm(2 * channels, channels, 1)

    def forward(self, first: torch.Tensor, second: torch.Tensor, confidence: torch.Tensor) -> Pair:
        """Fuse as :meth:`ResidualSpatialFusion.forward`; the confidences are not used."""
        both = self.mix(torch.cat([first, second], 1))
        return both, both


class GatedAttention(nn.Module):
    """Each stream attends to the other, gated.

    The GMA of Chen et al., "DPANet", IEEE TIP 2020, section III-C.

    A stream adds what it finds at the other's positions, weighed by its own query and the other's key and
    multiplied by the other's confidence. Queries, keys and values are 3 x 3 convolutions, which table VII's
    parameters and FLOPs ask for. Keys and values are averaged to at most ``positions`` a side, without which
    stage 1 of a 480x640 image has 370 million weights.

    Args:
        channels: of both streams.
        positions: at most this many rows and columns are attended to.
    """

    def __init__(self, channels: int, positions: int = 20) -> None:
        super().__init__()
        self.positions = positions
        self.query, self.key, self.value = (
            nn.ModuleList(conv_batchnorm(channels, channels, 3, padding=1) for _ in range(2)) for _ in range(3)
        )
        self.out = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))

    def forward(self, first: torch.Tensor, second: torch.Tensor, confidence: torch.Tensor) -> Pair:
        """Fuse as :meth:`ResidualSpatialFusion.forward`."""
        gate = confidence[..., None, None, None]
        return (
            first + gate[:, 1] * self._attend(0, first, second),
            second + gate[:, 0] * self._attend(1, second, first),
        )

    def _attend(self, stream: int, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        rows, columns = (min(self.positions, side) for side in other.shape[-2:])
        key, value = (
            F.adaptive_avg_pool2d(part(other), (rows, columns)).flatten(2).transpose(1, 2)
            for part in (self.key[stream], self.value[stream])
        )
        query = self.query[stream](own).flatten(2).transpose(1, 2)
        found = F.scaled_dot_product_attention(query, key, value)
        return self.out[stream](found.transpose(1, 2).unflatten(2, own.shape[-2:]))


def create_fusion(
    name: str, channels: int, reduced: int = 64, kernel_size: int = 5, multi_branch: bool = False
) -> nn.Module:
    """Create a fusion by its name.

    Args:
        name: ``rsf``, ``sum``, ``concat`` or ``gma``.
        channels: of the maps of both streams.
        reduced: of ``rsf``.
        kernel_size: of ``rsf``.
        multi_branch: of ``rsf``.

    Raises:
        CrossbandError: nobody knows the name.
    """
    known: dict[str, Callable[[], nn.Module]] = {
        "rsf": lambda: ResidualSpatialFusion(channels, reduced, kernel_size, multi_branch),
        "sum": lambda: Summation(channels),
        "concat": lambda: Concatenation(channels),
        "gma": lambda: GatedAttention(channels),
    }
    if name not in known:
        raise unknown_name("fusion", name, known)
    return known[name]()
