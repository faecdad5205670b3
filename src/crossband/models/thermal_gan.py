"""ThermalGAN: a color image becomes a thermal one, in kelvin, in two stages.

Kniaz et al., "ThermalGAN: Multimodal Color-to-Thermal Image Translation for Person Re-identification in
Multispectral Dataset", ECCV Workshops 2018, as used by "Object Re-identification Using Multimodal Aerial
Imagery and Conditional Adversarial Networks" (ISPRS Archives XLIV-2/W1-2021), section 3.1.

The first stage gives the thermal segmentation: the temperature of each object, one value over its whole area.
The second gives the relative contrast inside, and the thermal image is their sum. The same scene has another
temperature at another hour, and the color image does not tell which: ThermalGAN draws it from a random code.
Here it is known, for the flight that is searched is at hand: its median temperature, the ``ambient``, is given
to both stages, and temperatures are predicted relative to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from ..nn.unet import UNet

__all__ = ["ThermalGAN", "Translation", "Translator", "hour_of"]

_AMBIENT_MIDDLE, _AMBIENT_SPAN = 288.0, 20.0  # kelvin


class Translation(NamedTuple):
    """What ThermalGAN makes of color images, kelvin, ``(N, 1, H, W)``.

    Attributes:
        segmentation: the temperature of each object.
        thermal: that and the contrast inside.
    """

    segmentation: torch.Tensor
    thermal: torch.Tensor


def hour_of(ambient: torch.Tensor) -> torch.Tensor:
    """Return how warm ambient temperatures, kelvin, are, of an order of one.

    Example:
        >>> hour_of(torch.tensor([288.0, 308.0])).tolist()
        [0.0, 1.0]
    """
    return (ambient - _AMBIENT_MIDDLE) / _AMBIENT_SPAN


class Translator(nn.Module):
    """What makes a thermal image of a color one in two stages: its objects, and the contrast inside them.

    Args:
        span: kelvin that an object may differ from ambient.
        contrast: kelvin that a pixel may differ from its object.
    """

    def __init__(self, span: float, contrast: float) -> None:
        super().__init__()
        self.span, self.contrast = span, contrast

    def kelvin_range(self, ambient: float) -> tuple[float, float]:
        """Return the lowest and the highest temperature that can come out."""
        return ambient - self.span - self.contrast, ambient + self.span + self.contrast

    def _translation(self, level: torch.Tensor, whole: torch.Tensor, inside: torch.Tensor) -> Translation:
        """Join both stages, ``(N, 1, H, W)`` from -1 to 1; the second's error does not reach the first."""
        segmentation = level + self.span * whole
        return Translation(segmentation, segmentation.detach() + self.contrast * inside)


class ThermalGAN(Translator):
    """Both stages' generators.

    Args:
        width: channels of the U-Nets' first scale; 64 in the paper.
        depth: scales of the U-Nets; 8 in the paper.
        span: kelvin that an object may differ from ambient.
        contrast: kelvin that a pixel may differ from its object. ``thermal`` stays within
            ``ambient +- (span + contrast)``.
        dropout: of the U-Nets.

    Example:
        >>> made = ThermalGAN(width=4, depth=2)(torch.rand(1, 3, 24, 40), torch.tensor([290.0]))
        >>> made.thermal.shape, bool(((made.thermal - 290).abs() <= 70).all())
        (torch.Size([1, 1, 24, 40]), True)
    """

    def __init__(
        self, width: int = 64, depth: int = 8, span: float = 40.0, contrast: float = 30.0, dropout: float = 0.5
    ) -> None:
        super().__init__(span, contrast)
        self.first = UNet(4, 1, width, depth, dropout)
        self.second = UNet(5, 1, width, depth, dropout)

    def forward(self, images: torch.Tensor, ambient: torch.Tensor) -> Translation:
        """Translate color images to temperatures.

        Args:
            images: float32 ``(N, 3, H, W)`` in [0, 1].
            ambient: kelvin, ``(N,)``.
        """
        level = ambient[:, None, None, None]
        hour = hour_of(level).expand(-1, 1, *images.shape[-2:])
        seen = torch.cat([2 * images - 1, hour], 1)
        relative = torch.tanh(self.first(seen))
        # each stage answers for its own part: the second's error does not reach the first
        inside = torch.tanh(self.second(torch.cat([seen, relative.detach()], 1)))
        return self._translation(level, relative, inside)
