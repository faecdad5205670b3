"""How two streams of features come together: the parts of RSFNet and what it is compared with.

Li, Chen, Lin and Xu, "Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", section III-D.
Every fusion takes the two streams' maps of one stage and the streams' gates, and gives two maps back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from ..errors import unknown_name
from .layers import conv_unit, grid_means
from .reparam import MultiBranchConv2d

__all__ = [
    "Concatenation",
    "Confidence",
    "GatedAttention",
    "Recalibration",
    "ResidualSpatialFusion",
    "Summation",
    "create_fusion",
    "normalized_gates",
]

SKIPS = ("after", "before")

Pair = tuple[torch.Tensor, torch.Tensor]


class Recalibration(nn.Module):
    """Weigh the channels, then bring them to a common width: equations (2) and (3).

    The weights come from a one-dimensional convolution over the pooled channels, whose width grows with their
    count as in ECA-Net (Wang et al., CVPR 2020). In the authors' code the weighted map is added to the map
    itself.

    Args:
        channels: of the encoder's map.
        out: of the result.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        width = int(abs(math.log2(channels) + 1) / 2)
        width += 1 - width % 2
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Conv1d(1, 1, width, padding=width // 2, bias=False)
        self.reduce = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, out, H, W)``."""
        pooled = self.pool(maps).flatten(1)[:, None]
        weights = self.weigh(pooled).sigmoid()[:, 0, :, None, None]
        return self.reduce(maps + maps * weights)


class Confidence(nn.Module):
    """How far a stream's features are to be trusted, 0 to 1: section III-C.

    Args:
        channels: of the last stage's map.
        hidden: between the two layers.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to ``(B,)``."""
        return self.layers(maps)[:, 0].sigmoid()


def normalized_gates(confidence: torch.Tensor) -> torch.Tensor:
    """Two streams' confidences as gates that add up to one, ``(B, 2)`` to ``(B, 2)``: the authors' code.

    Example:
        >>> normalized_gates(torch.tensor([[0.6, 0.2]])).round(decimals=4).tolist()
        [[0.75, 0.25]]
    """
    first = confidence[:, 0] / (confidence.sum(1) + 1e-7)
    return torch.stack([first, 1 - first], 1)


class ResidualSpatialFusion(nn.Module):
    """Each stream's features, weighed position by position by the other stream, and the fusion gate.

    Both streams are reduced and pass a K x K convolution: u and v. The first goes on with u times the sigmoid
        of v
    beside its reduced map, the second with v times the sigmoid of u. What is recovered from that is added to
    the stream, times its gate. Section III-D, and the authors' code where the text is silent.

    Args:
        channels: of both streams.
        reduced: of the features that are fused.
        kernel_size: K of the convolution that makes the weights.
        multi_branch: whether that convolution has further branches while training, for
            :func:`~crossband.nn.reparam.reparameterize` to merge.
        skip: ``after`` adds the stream to the gated fusion, as the paper's formula; ``before`` gates both
            together, as the authors' training script does it.

    Raises:
        CrossbandError: another ``skip``.

    Example:
        >>> fusion = ResidualSpatialFusion(8, 4)
        >>> [f.shape for f in fusion(torch.zeros(2, 8, 6, 6), torch.zeros(2, 8, 6, 6), torch.ones(2, 2))]
        [torch.Size([2, 8, 6, 6]), torch.Size([2, 8, 6, 6])]
    """

    def __init__(
        self,
        channels: int,
        reduced: int = 64,
        kernel_size: int = 5,
        multi_branch: bool = False,
        skip: str = "after",
    ) -> None:
        super().__init__()
        if skip not in SKIPS:
            raise unknown_name("skip", skip, SKIPS)
        self.first = _Stream(channels, reduced, kernel_size, multi_branch)
        self.second = _Stream(channels, reduced, kernel_size, multi_branch)
        self.skip = skip

    def forward(self, first: torch.Tensor, second: torch.Tensor, gates: torch.Tensor) -> Pair:
        """Fuse maps ``(B, channels, H, W)`` of both streams with their gates ``(B, 2)``; the shape stays."""
        one, two = self.first.reduce(first), self.second.reduce(second)
        u, v = self.first.spread(one), self.second.spread(two)
        gate = gates[..., None, None, None]
        return (
            self._joined(first, self.first.recover(torch.cat([u * v.sigmoid(), one], 1)), gate[:, 0]),
            self._joined(second, self.second.recover(torch.cat([v * u.sigmoid(), two], 1)), gate[:, 1]),
        )

    def _joined(self, own: torch.Tensor, fused: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return own + gate * fused if self.skip == "after" else gate * (own + fused)


class _Stream(nn.Module):
    """The convolutions of one stream."""

    def __init__(self, channels: int, reduced: int, kernel_size: int, multi_branch: bool) -> None:
        super().__init__()
        self.reduce = conv_unit(channels, reduced, 1)
        self.spread: nn.Module = (
            MultiBranchConv2d(reduced, kernel_size)
            if multi_branch
            else nn.Conv2d(reduced, reduced, kernel_size, padding=kernel_size // 2, bias=False)
        )
        self.recover = conv_unit(2 * reduced, channels, 1)


class Summation(nn.Module):
    """Both streams go on with the sum of the two: table VII."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, first: torch.Tensor, second: torch.Tensor, gates: torch.Tensor) -> Pair:
        """Fuse as :meth:`ResidualSpatialFusion.forward`; the gates are not used."""
        both = first + second
        return both, both


class Concatenation(nn.Module):
    """Both streams go on with one 1 x 1 convolution of the two together: table VII."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, first: torch.Tensor, second: torch.Tensor, gates: torch.Tensor) -> Pair:
        """Fuse as :meth:`ResidualSpatialFusion.forward`; the gates are not used."""
        both = self.mix(torch.cat([first, second], 1))
        return both, both


class GatedAttention(nn.Module):
    """Each stream, refined by itself, attends by the other's queries and keys: the GMA of table VII.

    Chen et al., "DPANet: Depth Potentiality-Aware Gated Attention Network", IEEE TIP 2020, section III-C, with
    the stage's width in place of its fixed 256 channels. Keys and values are averaged to at most ``positions``
    a side, without which stage 1 of a 480x640 image has 370 million weights; no count depends on it.

    Args:
        channels: of both streams.
        ratio: queries and keys have ``channels / ratio`` channels.
        positions: at most this many rows and columns are attended to.
    """

    def __init__(self, channels: int, ratio: int = 8, positions: int = 20) -> None:
        super().__init__()
        self.positions = positions
        narrow = max(channels // ratio, 1)
        self.refine = nn.ModuleList(_SelfAttention(channels) for _ in range(2))
        self.query, self.key = (
            nn.ModuleList(nn.Conv2d(channels, narrow, 1) for _ in range(2)) for _ in range(2)
        )
        self.value = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))

    def forward(self, first: torch.Tensor, second: torch.Tensor, gates: torch.Tensor) -> Pair:
        """Fuse as :meth:`ResidualSpatialFusion.forward`."""
        one, two = self.refine[0](first), self.refine[1](second)
        gate = gates[..., None, None, None]
        return one + gate[:, 0] * self._attend(0, one, two), two + gate[:, 1] * self._attend(1, two, one)

    def _attend(self, stream: int, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """What the other stream's queries find at the other's keys, of the own values."""
        rows, columns = (min(self.positions, int(side)) for side in own.shape[-2:])
        query = self.query[stream](other).flatten(2).transpose(1, 2)
        key = grid_means(self.key[stream](other), rows, columns).flatten(2)
        value = grid_means(self.value[stream](own), rows, columns).flatten(2).transpose(1, 2)
        found = (query @ key).softmax(-1) @ value
        return found.transpose(1, 2).unflatten(2, own.shape[-2:])


class _SelfAttention(nn.Module):
    """A map, scaled and shifted by two maps that are made from it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prepare = conv_unit(channels, channels, bias=True)
        self.split = nn.Conv2d(channels, 2 * channels, 3, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.prepare(maps)
        scale, shift = self.split(maps).chunk(2, 1)
        return (scale * maps + shift).relu()


def create_fusion(
    name: str,
    channels: int,
    reduced: int = 64,
    kernel_size: int = 5,
    multi_branch: bool = False,
    skip: str = "after",
) -> nn.Module:
    """Make a fusion by its name.

    Args:
        name: ``rsf``, ``sum``, ``concat`` or ``gma``.
        channels: of the maps of both streams.
        reduced: of ``rsf``.
        kernel_size: of ``rsf``.
        multi_branch: of ``rsf``.
        skip: of ``rsf``.

    Raises:
        CrossbandError: nobody knows the name.
    """
    known: dict[str, Callable[[], nn.Module]] = {
        "rsf": lambda: ResidualSpatialFusion(channels, reduced, kernel_size, multi_branch, skip),
        "sum": lambda: Summation(channels),
        "concat": lambda: Concatenation(channels),
        "gma": lambda: GatedAttention(channels),
    }
    if name not in known:
        raise unknown_name("fusion", name, known)
    return known[name]()
