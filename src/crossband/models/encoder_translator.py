"""A color image as a thermal one by an ImageNet encoder with a top-down path, beside ThermalGAN's U-Nets."""

from __future__ import annotations

import torch
from torch import nn

from ..bands import Band
from .band_fusion import build_band_fusion
from .thermal_gan import Translation, Translator, hour_of

__all__ = ["EncoderTranslator"]


class EncoderTranslator(Translator):
    """Both stages of ThermalGAN by one network of :mod:`.band_fusion`.

    What an object differs from ambient, and a pixel from its object, are each ``a + b h`` of a pixel, where
    ``h`` says how warm the hour is: the network itself reads color alone.

    Args:
        encoder: a registered one with four stages.
        width: channels of the top-down path.
        span: kelvin that an object may differ from ambient.
        contrast: kelvin that a pixel may differ from its object.
        pretrained: whether the encoder starts from its ImageNet weights.

    Example:
        >>> made = EncoderTranslator(width=8).eval()(torch.rand(1, 3, 40, 50), torch.tensor([290.0]))
        >>> made.thermal.shape, bool(((made.thermal - 290).abs() <= 70).all())
        (torch.Size([1, 1, 40, 50]), True)
    """

    def __init__(
        self,
        encoder: str = "efficientnet_lite0",
        width: int = 64,
        span: float = 40.0,
        contrast: float = 30.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(span, contrast)
        self.network, self.weights_digest = build_band_fusion(
            4, (Band.RGB,), pretrained, encoder=encoder, width=width
        )

    @property
    def encoder(self) -> nn.Module:
        """The encoder, whose learning rate may be another than the head's."""
        return self.network.get_submodule("encoder")

    def forward(self, images: torch.Tensor, ambient: torch.Tensor) -> Translation:
        """Translate color images to temperatures.

        Args:
            images: float32 ``(N, 3, H, W)`` in [0, 1].
            ambient: kelvin, ``(N,)``.
        """
        level = ambient[:, None, None, None]
        maps = self.network(4 * images - 2).float()  # about the mean and deviation of ImageNet's images
        whole, inside = torch.tanh(maps[:, :2] + hour_of(level) * maps[:, 2:]).split(1, 1)
        return self._translation(level, whole, inside)
