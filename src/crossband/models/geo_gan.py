"""GeoGAN: a semantic labeling of one aerial image, color or thermal.

Kniaz, "Conditional GANs for semantic segmentation of multispectral satellite images", SPIE 10789, 2018, as used
by the ThermalReID paper (ISPRS Archives XLIV-2/W1-2021), section 3.2: a conditional GAN whose generator is a
U-Net. It paints classes in colors; here it gives their scores, and the discriminator sees probabilities.
"""

from __future__ import annotations

import torch
from torch import nn

from ..nn.unet import UNet

__all__ = ["GeoGAN"]


class GeoGAN(nn.Module):
    """The generator.

    Args:
        in_channels: 1 for thermal, 3 for color images.
        classes: how many.
        width: channels of the U-Net's first scale.
        depth: its scales.
        dropout: of its deepest layers.

    Example:
        >>> GeoGAN(1, 6, width=4, depth=2).label(torch.zeros(1, 1, 20, 30)).shape
        torch.Size([1, 20, 30])
    """

    def __init__(
        self, in_channels: int, classes: int, width: int = 64, depth: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.generator = UNet(in_channels, classes, width, depth, dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores of the classes, ``(N, classes, H, W)``."""
        return self.generator(images)

    def label(self, images: torch.Tensor) -> torch.Tensor:
        """Return the best class of each pixel, int64 ``(N, H, W)``."""
        return self(images).argmax(1)
