"""Augmentation for training: every random number comes from the generator that is given.

Geometry is shared by all bands of a frame; photometry is of each band alone, since a change of light does not
change temperatures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..bands import Band

__all__ = ["Blur", "Erase", "Flip", "LabeledView", "PaddedCrop", "Photometry", "ViewShift"]


@dataclass(frozen=True)
class ViewShift:
    """A random crop resized back: what a camera a little ahead, behind or turned would see.

    Attributes:
        strength: the largest share of each side that is cut off, 0 to 0.9; 0 does nothing.
    """

    strength: float = 0.0

    def __call__(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Transform a float image ``(C, H, W)``; same shape."""
        if not self.strength:
            return image
        height, width = image.shape[-2:]
        keep = 1 - self.strength * float(torch.rand((), generator=generator))
        h, w = max(2, round(height * keep)), max(2, round(width * keep))
        top = int(torch.randint(height - h + 1, (), generator=generator))
        left = int(torch.randint(width - w + 1, (), generator=generator))
        crop = image[None, :, top : top + h, left : left + w]
        return F.interpolate(crop, (height, width), mode="bilinear", align_corners=False)[0]


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of 5x5 pixels of some frames, all bands of a frame alike; OpenCV's own kernel.

    Attributes:
        share: of the frames that are blurred, 0 to 1.
    """

    share: float = 0.0

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Blur a float image ``(C, H, W)``, three pixels a side at least, or leave it; same shape."""
        if not self.share or float(torch.rand((), generator=generator)) >= self.share:
            return images
        kernel = images.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        padded = F.pad(images[:, None], (2, 2, 2, 2), mode="reflect")
        rows = F.conv2d(padded, kernel[None, None, None])
        return F.conv2d(rows, kernel[None, None, :, None])[:, 0]


@dataclass(frozen=True)
class LabeledView:
    """A random mirror, turn and crop, the same for all bands of a frame and for its labels.

    Images are resampled bilinearly, labels by nearest neighbor; beyond the border images are black and labels
    are ``ignore``.

    Attributes:
        mirror: the share of frames that are mirrored left to right.
        rotate: the largest turn either way, degrees.
        crop: (height, width) of a crop at a random place, or ``None``; no larger than the images.
        zoom: (smallest, largest) factor that the frame grows by before the crop.
        ignore: the label of what is not known.
    """

    mirror: float = 0.0
    rotate: float = 0.0
    crop: tuple[int, int] | None = None
    zoom: tuple[float, float] = (1.0, 1.0)
    ignore: int = 255

    def __call__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        generator: torch.Generator,
        around: tuple[float, float] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Transform float images ``(C, H, W)`` and int64 labels ``(H, W)``.

        Args:
            images: of one frame.
            labels: likewise.
            generator: of the random numbers.
            around: (row, column) of a pixel that the crop is to show, but for turns; anywhere without.

        Example:
            >>> images, labels = torch.rand(4, 6, 8), torch.zeros(6, 8, dtype=torch.int64)
            >>> images, labels = LabeledView(crop=(4, 4))(images, labels, torch.Generator())
            >>> images.shape, labels.shape
            (torch.Size([4, 4, 4]), torch.Size([4, 4]))
        """
        mirror, turn, grow, *place = torch.rand(5, generator=generator).tolist()
        if mirror < self.mirror:
            images, labels = images.flip(-1), labels.flip(-1)
        height, width = labels.shape
        tall, wide = self.crop or (height, width)
        factor = self.zoom[0] * (self.zoom[1] / self.zoom[0]) ** grow
        free = (max(height * factor - tall, 0.0), max(width * factor - wide, 0.0))
        if around is not None:
            at = (around[0], width - 1 - around[1] if mirror < self.mirror else around[1])
            place = [
                _share(factor * (where + 0.5) - side * (0.25 + 0.5 * share), room)
                for where, side, share, room in zip(at, (tall, wide), place, free, strict=True)
            ]
        top, left = ((share - 0.5) * room for share, room in zip(place, free, strict=True))
        angle = math.radians(self.rotate * (2 * turn - 1))
        if not angle and factor == 1.0:
            y, x = round(top + free[0] / 2), round(left + free[1] / 2)
            return images[:, y : y + tall, x : x + wide], labels[y : y + tall, x : x + wide]
        return self._resampled(images, labels, angle, factor, (top, left), (tall, wide))

    def _resampled(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        angle: float,
        factor: float,
        offset: tuple[float, float],
        size: tuple[int, int],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = labels.shape
        y = (torch.arange(size[0]) + 0.5 - size[0] / 2 + offset[0])[:, None] / factor
        x = (torch.arange(size[1]) + 0.5 - size[1] / 2 + offset[1])[None] / factor
        cos, sin = math.cos(angle), math.sin(angle)
        grid = torch.stack([(cos * x - sin * y) / (width / 2), (sin * x + cos * y) / (height / 2)], -1)[None]
        turned = F.grid_sample(images[None], grid, align_corners=False)[0]
        known = (labels - self.ignore).to(images.dtype)[None, None]  # so that 0, beyond the border, is ignore
        nearest = F.grid_sample(known, grid, mode="nearest", align_corners=False)[0, 0]
        return turned, nearest.round().long() + self.ignore


def _share(start: float, room: float) -> float:
    """How far a crop's start lies into the room that it has, 0 to 1."""
    return min(max(start / room, 0.0), 1.0) if room else 0.5


@dataclass(frozen=True)
class Photometry:
    """Random gain, gamma, tint and noise: another hour, another exposure.

    Visible and near-infrared images are also lit anew, by a smooth random field as of lamps and a dark sky, and
    may become as dark as a hundredth of themselves before noise. A thermal image, whose scale is temperature,
    keeps its order and changes in contrast only, and may be inverted when asked (at night what was cold may be
    the warmer).

    Attributes:
        strength: 0 does nothing, 1 is as strong as day to night.
        invert_tir: the share of thermal images that are inverted.
    """

    strength: float = 0.0
    invert_tir: float = 0.0

    def __call__(self, image: torch.Tensor, band: Band, generator: torch.Generator) -> torch.Tensor:
        """Transform a float image ``(C, H, W)`` in [0, 1]; same shape and range.

        Example:
            >>> image = torch.rand(3, 4, 4)
            >>> torch.equal(Photometry(0)(image, Band.RGB, torch.Generator()), image)
            True
        """
        s = self.strength
        numbers = (torch.rand(8, generator=generator) * 2 - 1).tolist()
        if band is Band.TIR and numbers[7] < 2 * self.invert_tir - 1:
            image = 1 - image
        if not s:
            return image
        gamma = float(2 ** (s * (numbers[0] + 0.5)))
        image = image.clamp(min=0).pow(gamma)
        if band is Band.TIR:
            image = 0.5 + (image - 0.5) * (1 + 0.5 * s * numbers[1]) + 0.2 * s * numbers[2]
        else:
            tint = 1 + 0.25 * s * torch.tensor(numbers[3 : 3 + 3])[: len(image), None, None]
            image = image * tint * float(10 ** (s * (0.75 * numbers[1] - 0.5)))
            image = image * 10 ** (0.5 * s * _smooth_field(image.shape[-2], image.shape[-1], generator))
        noise = torch.randn(image.shape, generator=generator)
        return (image + 0.04 * s * abs(numbers[6]) * noise).clamp(0, 1)


def _smooth_field(height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """A smooth random field of standard deviation near 1 at its knots, ``(1, H, W)``."""
    knots = torch.randn(1, 1, 4, 4, generator=generator)
    return F.interpolate(knots, (height, width), mode="bicubic", align_corners=True)[0]


@dataclass(frozen=True)
class PaddedCrop:
    """A random crop of the image's own size, after padding it with black.

    Attributes:
        padding: the frame's width in pixels, 0 or more; 0 does nothing.
    """

    padding: int = 0

    def __call__(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Transform a float image ``(C, H, W)``; same shape."""
        if not self.padding:
            return image
        height, width = image.shape[-2:]
        top, left = torch.randint(2 * self.padding + 1, (2,), generator=generator).tolist()
        framed = F.pad(image, (self.padding,) * 4)
        return framed[..., top : top + height, left : left + width]


@dataclass(frozen=True)
class Flip:
    """A random horizontal flip.

    Attributes:
        share: of the images, 0 to 1.
    """

    share: float = 0.0

    def __call__(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Transform a float image ``(C, H, W)``; same shape."""
        return image.flip(-1) if float(torch.rand((), generator=generator)) < self.share else image


@dataclass(frozen=True)
class Erase:
    """A rectangle of one gray painted over some images: what stands before a thing hides a part of it.

    Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, with one gray value.

    Attributes:
        share: of the images, 0 to 1.
    """

    share: float = 0.0

    def __call__(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Paint over a tenth to a half of each side of a float image ``(C, H, W)``, or leave it; same shape."""
        if not self.share or float(torch.rand((), generator=generator)) >= self.share:
            return image
        height, width = image.shape[-2:]
        tall, wide, top, left, gray = torch.rand(5, generator=generator).tolist()
        h, w = max(1, round(height * (0.1 + 0.4 * tall))), max(1, round(width * (0.1 + 0.4 * wide)))
        y, x = round(top * (height - h)), round(left * (width - w))
        painted = image.clone()
        painted[:, y : y + h, x : x + w] = gray
        return painted
