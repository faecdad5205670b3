"""PSTNet: an RGB network, whose confidences are then corrected with the thermal image.

Shivakumar et al., "PST900: RGB-Thermal Calibration, Dataset and Segmentation Network", ICRA 2020: a ResNet-18
with skip connections segments the RGB image; its confidences, the RGB image and the thermal image together go
through a small encoder and decoder of ERFNet's blocks. The paper trains the two one after the other; here they
are one network, and their widths, which it does not give, are those of a common U-Net and of ERFNet: 19.7
million parameters, where table III of Li et al. has 31.04.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..nn.reparam import conv_batchnorm
from ._segmentation import create_stages, register_segmenter, streams

__all__ = ["PSTNet"]


class PSTNet(nn.Module):
    """Label map of two streams of images.

    Args:
        encoder: four stages, of the RGB stream.
        split: the channels of the input that each stream reads.
        classes: how many.
    """

    def __init__(self, encoder: nn.Module, split: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.split = list(split)
        self.color = _UNet(encoder, classes)
        self.fusion = _Fusion(sum(split) + classes, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``, H and W multiples of 32."""
        logits = self.color(images.split(self.split, 1)[0])
        return self.fusion(torch.cat([logits.softmax(1), images], 1))


class _UNet(nn.Module):
    """A ResNet-18 with skip connections."""

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        outs = (512, 256, 256)
        ins = (512 + 256, 512 + 128, 256 + 64)
        self.steps = nn.ModuleList(
            nn.Sequential(*conv_batchnorm(a, b, 3, padding=1), nn.ReLU())
            for a, b in zip(ins, outs, strict=True)
        )
        self.head = nn.Conv2d(outs[-1], classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        *lows, x = self.encoder(images)
        for step, low in zip(self.steps, reversed(lows), strict=True):
            x = step(
                torch.cat([F.interpolate(x, low.shape[-2:], mode="bilinear", align_corners=False), low], 1)
            )
        return F.interpolate(self.head(x), images.shape[-2:], mode="bilinear", align_corners=False)


class _Factorised(nn.Module):
    """ERFNet's residual block: 3 x 1 and 1 x 3, twice, the second pair dilated."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        d = dilation
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)),
            nn.ReLU(),
            *conv_batchnorm(channels, channels, (1, 3), padding=(0, 1)),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (3, 1), padding=(d, 0), dilation=(d, 1)),
            nn.ReLU(),
            *conv_batchnorm(channels, channels, (1, 3), padding=(0, d), dilation=(1, d)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.body(x)).relu()


class _Down(nn.Module):
    """ERFNet's downsampling: a strided convolution beside a pooling."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out - channels_in, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.cat([self.convolution(x), F.max_pool2d(x, 2)], 1)).relu()


class _Fusion(nn.Module):
    """ERFNet."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Down(channels, channels + 13),
            _Down(channels + 13, 64),
            *(_Factorised(64) for _ in range(5)),
            _Down(64, 128),
            *(_Factorised(128, d) for d in (2, 4, 8, 16) * 2),
            _up(128, 64),
            _Factorised(64),
            _Factorised(64),
            _up(64, 16),
            _Factorised(16),
            _Factorised(16),
            nn.ConvTranspose2d(16, classes, 2, stride=2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    grown = nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(grown, nn.BatchNorm2d(channels_out), nn.ReLU())


@register_segmenter("pstnet", params=18_995_350, source="Shivakumar et al., PST900, ICRA 2020")
def build_pstnet(classes: int, bands: tuple[Band, ...], pretrained: bool = False) -> tuple[nn.Module, str]:
    """Build PSTNet."""
    split = streams(bands, "pstnet")
    encoder, digest = create_stages("resnet18", split[0], pretrained)
    return PSTNet(encoder, split, classes), digest
