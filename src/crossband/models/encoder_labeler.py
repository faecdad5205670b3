"""A labeling of one aerial image by an ImageNet encoder with a top-down path, beside GeoGAN's U-Net."""

from __future__ import annotations

import torch
from torch import nn

from ..bands import Band
from ..devices import quick_arithmetic
from .band_fusion import build_band_fusion

__all__ = ["EncoderLabeler"]


class EncoderLabeler(nn.Module):
    """The network of :mod:`.band_fusion` for one band, read and answering as :class:`~.geo_gan.GeoGAN`.

    Args:
        band: ``rgb``, whose images are in [0, 1], or ``tir``, as
            :func:`crossband.data.scenes.thermal_input` makes them.
        classes: how many.
        encoder: a registered one with four stages.
        width: channels of the top-down path.
        pretrained: whether the encoder starts from its ImageNet weights.

    Example:
        >>> EncoderLabeler("tir", 6, width=8).eval().label(torch.rand(1, 1, 40, 50)).shape
        torch.Size([1, 40, 50])
    """

    def __init__(
        self,
        band: str,
        classes: int,
        encoder: str = "efficientnet_lite0",
        width: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.band = Band(band)
        self.network, self.weights_digest = build_band_fusion(
            classes, (self.band,), pretrained, encoder=encoder, width=width
        )

    @property
    def encoder(self) -> nn.Module:
        """The encoder, whose learning rate may be another than the head's."""
        return self.network.get_submodule("encoder")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores of the classes, ``(N, classes, H, W)``."""
        return self.network(2 * images - 1 if self.band is Band.RGB else 0.5 * images)

    def label(self, images: torch.Tensor) -> torch.Tensor:
        """Return the best class of each pixel, int64 ``(N, H, W)``."""
        with quick_arithmetic(images.device):
            return self(images).argmax(1)
