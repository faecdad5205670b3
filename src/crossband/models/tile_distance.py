"""A learned distance between labelings: MobileNetV2 on classes instead of colors.

"Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks" (ISPRS Archives
XLIV-2/W1-2021), section 3.2, with Sandler et al., "MobileNetV2", CVPR 2018. The paper's network takes a
labeling and a tile and gives a distance; here both become vectors whose Euclidean distance it is, so tiles
are computed once and kept in a gallery.

What differs from MobileNetV2: the first convolution reads a channel a class and one that says what is known, it
keeps the resolution, and the last map is not averaged: where on the tile a road lies is the very question. A
place of the map that the labeling does not show is zero, so it agrees with all tiles alike: a frame shows a
part of a tile, and two vectors are compared where both are known.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from ..errors import CrossbandError

__all__ = ["TileDistance"]


class TileDistance(nn.Module):
    """Labelings to unit vectors.

    Args:
        classes: how many; other numbers are unknown.
        pixels: side of a labeling.
        width: of MobileNetV2's channels.
        channels: dims kept at each place of the last map.
        stages: of MobileNetV2's 19; the last map has a place for 4 x 4 pixels after 5 to 7 of them, for 8 x 8
            after 8 to 14, for 16 x 16 after 15 or more.

    Raises:
        CrossbandError: sides below 32 or above 1024 pixels, or stages that MobileNetV2 does not have.

    Example:
        >>> network = TileDistance(5, pixels=32, width=0.25).eval()
        >>> network(torch.zeros(2, 32, 32, dtype=torch.long)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self, classes: int, pixels: int = 64, width: float = 1.0, channels: int = 16, stages: int = 19
    ) -> None:
        super().__init__()
        if not 32 <= pixels <= 1024:
            raise CrossbandError(f"a labeling's sides must be 32 to 1024 pixels, not {pixels}")
        if not 4 <= stages <= 19:
            raise CrossbandError(f"stages must be 4 to 19 of MobileNetV2, not {stages}")
        self.classes, self.pixels = classes, pixels
        features = torchvision.models.mobilenet_v2(width_mult=width).features[:stages]
        first = features[0][0]
        features[0][0] = nn.Conv2d(classes + 1, first.out_channels, 3, 1, 1, bias=False)
        self.features = features
        with torch.inference_mode():
            twin = copy.deepcopy(features).to("meta").eval()
            last = twin(torch.zeros(1, classes + 1, pixels, pixels, device="meta")).shape
        self.head = nn.Conv2d(last[1], channels, 1)
        self.dim = channels * last[2] * last[3]

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """Return unit vectors ``(N, dim)`` of labelings, integers ``(N, pixels, pixels)``."""
        known = (labels >= 0) & (labels < self.classes)
        planes = F.one_hot(labels.long().where(known, self.classes), self.classes + 1).permute(0, 3, 1, 2)
        places = F.normalize(self.head(self.features(planes.float())), dim=1)
        height, width = places.shape[-2:]
        seen = F.adaptive_avg_pool2d(known[:, None].float(), (height, width))
        return F.normalize((places * seen).flatten(1))
