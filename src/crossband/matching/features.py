"""Local features: one unit vector a position of a grid, from several maps of one pass of an encoder.

The pass reads the locally normalized gradient image (:mod:`crossband.matching.gradients`).

Each channel of a map is standardized over the positions of **its own image**, so that an image's features
depend on nothing else: no mean of a band or of a set has to be known, and two photographs are enough to be
compared. Over a set's mean and deviation instead, recall is the same (docs/matching.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from ..nn import Encoder
from .gradients import restandardized
from .head import LocalHead

__all__ = ["LocalFeatures"]

_FLAT = 1e-4  # deviation below which a channel says nothing


class LocalFeatures(nn.Module):
    """Unit vectors at each position of an encoder's finest map, from the maps of several layers.

    Args:
        encoder: in evaluation mode.
        layers: the layers; the encoder's own choice by default.
        head: what makes short vectors of the joined maps; without, they stay as they are.

    Raises:
        CrossbandError: an encoder that names no layers, or a head for other channels.

    Example:
        >>> encoder = Encoder(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)), "1")
        >>> features = LocalFeatures(encoder, ["0", "1"])
        >>> features(torch.rand(2, 3, 32, 48)).shape, features.grid((32, 48))
        (torch.Size([2, 384, 24]), (16, 24))
    """

    def __init__(
        self, encoder: Encoder, layers: Sequence[str] | None = None, head: LocalHead | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = tuple(encoder.check_layer(layer) for layer in layers or encoder.local_layers)
        if not self.layers:
            raise CrossbandError("this encoder names no layers of local features; name them")
        self.head = head
        self._grids: dict[tuple[int, int], tuple[int, int]] = {}

    @classmethod
    def of(cls, encoder: Encoder) -> LocalFeatures:
        """Build the features of an encoder's own layers, short where a head for them comes with the package."""
        features = cls(encoder)
        head, layers = LocalHead.read()
        return cls(encoder, head=head) if layers == "+".join(features.layers) else features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Describe standardized images ``(B, 3, h, w)`` by local features ``(B, n, dim)``.

        They are of unit length, row by row of the grid.
        """
        edges = restandardized(images, self.encoder.statistics)
        maps = self.encoder.maps(edges.contiguous(memory_format=torch.channels_last), self.layers)
        size = max((tuple(m.shape[-2:]) for m in maps), key=lambda hw: hw[0] * hw[1])
        parts = []
        for one in maps:
            one = F.normalize(_standardized(one.float()), dim=1)
            if tuple(one.shape[-2:]) != size:
                one = F.normalize(F.interpolate(one, size, mode="bilinear", align_corners=False), dim=1)
            parts.append(one)
        joined = F.normalize(torch.cat(parts, 1), dim=1)
        if self.head is not None:
            if joined.shape[1] != self.head.channels:
                raise CrossbandError(
                    f"a head for {self.head.channels} channels does not fit maps of {joined.shape[1]}"
                )
            joined = self.head(joined)
        return joined.flatten(2).transpose(1, 2).contiguous()

    @property
    def identity(self) -> str:
        """What features depend on beside the encoder's weights: the layers, and the head."""
        return f"local-{'+'.join(self.layers)}-{'plain' if self.head is None else self.head.digest}"

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the positions of an image of ``size`` (height, width)."""
        if size not in self._grids:
            device = next((p.device for p in self.encoder.parameters()), torch.device("cpu"))
            with torch.inference_mode():
                maps = self.encoder.maps(torch.zeros(1, 3, *size, device=device), self.layers)
            self._grids[size] = max(((m.shape[-2], m.shape[-1]) for m in maps), key=lambda hw: hw[0] * hw[1])
        return self._grids[size]


def _standardized(maps: torch.Tensor) -> torch.Tensor:
    """Each channel minus its mean over the positions, divided by its deviation."""
    std, mean = torch.std_mean(maps, (2, 3), keepdim=True, correction=0)
    return (maps - mean) / std.clamp_min(_FLAT)
