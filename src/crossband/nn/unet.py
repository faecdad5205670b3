"""Image-to-image networks: the U-Net generator and the PatchGAN discriminator of pix2pix.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, appendix 6.1. What
differs: group instead of batch normalization (a batch here is a few crops, and a network must give the same
for an image whatever stands beside it), and bilinear upsampling with a convolution instead of a transposed one,
which leaves no chequerboard.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError

__all__ = ["PatchGAN", "UNet"]


class UNet(nn.Module):
    """Encoder and decoder with a skip at every scale.

    ``(N, in, H, W)`` to ``(N, out, H, W)``, any H and W.

    The last layer has no nonlinearity. Sizes that are no multiple of ``2 ** depth`` are mirrored up to one, and
    the result is cut back.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        width: channels of the first scale; they double down to eight times.
        depth: scales below the first; 8 in the paper, for 256x256.
        dropout: after the three deepest layers of the decoder; 0.5 in the paper.

    Raises:
        CrossbandError: width or depth below 1.

    Example:
        >>> UNet(3, 1, width=4, depth=3)(torch.zeros(2, 3, 30, 45)).shape
        torch.Size([2, 1, 30, 45])
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int = 64, depth: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if min(width, depth) < 1:
            raise CrossbandError(f"a U-Net needs a width and a depth of 1 or more, not {width} and {depth}")
        self.depth = depth
        widths = [width * min(2**i, 8) for i in range(depth + 1)]
        self.first = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_down(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(
            _up(widths[i + 1], widths[i], dropout if i >= depth - 3 and i > 0 else 0.0)
            for i in reversed(range(depth))
        )
        self.join = nn.ModuleList(
            nn.Conv2d(2 * widths[i], widths[i], 3, padding=1) for i in reversed(range(depth))
        )
        self.last = nn.Conv2d(widths[0], out_channels, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output image, before any nonlinearity."""
        height, width = images.shape[-2:]
        x = self.first(_mirrored(images, 2**self.depth))
        skips = []
        for layer in self.down:
            skips.append(x)
            x = layer(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat([up(x), skip], 1))
        return self.last(F.leaky_relu(x, 0.2))[..., :height, :width]


class PatchGAN(nn.Module):
    """A discriminator of patches: ``(N, in, H, W)`` to logits ``(N, 1, h, w)``.

    Args:
        in_channels: of condition and image together.
        width: channels of the first layer; 64 in the paper.
        layers: convolutions of stride 2; 3 in the paper, for patches of 70x70 pixels.

    Example:
        >>> PatchGAN(4, width=4, layers=2)(torch.zeros(1, 4, 32, 32)).shape
        torch.Size([1, 1, 6, 6])
    """

    def __init__(self, in_channels: int, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(1, layers + 1):
            before, after = width * min(2 ** (i - 1), 8), width * min(2**i, 8)
            parts += [nn.Conv2d(before, after, 4, 2 if i < layers else 1, 1), _norm(after), nn.LeakyReLU(0.2)]
        parts.append(nn.Conv2d(width * min(2**layers, 8), 1, 4, 1, 1))
        self.layers = nn.Sequential(*parts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of the patches."""
        return self.layers(images)


def _norm(channels: int) -> nn.Module:
    # groups, not instances: those have no variance at 1x1 pixels
    return nn.GroupNorm(max(channels // 8, 1), channels)


def _down(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(before, after, 4, 2, 1), _norm(after))


def _up(before: int, after: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(before, after, 3, padding=1),
        _norm(after),
        nn.Dropout(dropout),
    )


def _mirrored(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Padded at the right and below up to a multiple, by reflection as far as there are pixels."""
    height, width = images.shape[-2:]
    right, below = -width % multiple, -height % multiple
    if not (right or below):
        return images
    mode = "reflect" if right < width and below < height else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode)
