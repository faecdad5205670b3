"""The locally normalized gradient image: what several bands have in common, as a picture that a network reads.

Bands share the places of edges, not their signs or strengths. So the image becomes the magnitude of its
gradient, divided by what is usual around it, which makes a dark street as clear as a bright one. As input of
the encoder it finds more than the image itself (docs/matching.md).
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F

from ..data.preprocess import Statistics

__all__ = ["double_angle", "gradient_image", "restandardized"]

_SMOOTH, _AROUND = 1.5, 16.0  # deviations of the Gaussians, pixels
_FLOOR = 2 / 255  # a gradient that is as good as none
_MOST = 2.5  # times what is usual around it


def gradient_image(gray: torch.Tensor) -> torch.Tensor:
    """Compute the locally normalized gradient, in [0, 1], of gray images ``(B, 1, H, W)`` in [0, 1].

    Example:
        >>> edge = torch.zeros(1, 1, 32, 32); edge[..., 16:] = 0.1
        >>> found = gradient_image(edge)
        >>> found.shape, found[0, 0, 16, [2, 15, 16, 29]].round(decimals=3).tolist()
        (torch.Size([1, 1, 32, 32]), [0.0, 1.0, 1.0, 0.0])
    """
    smooth = F.pad(_blurred(gray, _SMOOTH), (1, 1, 1, 1), mode="replicate")
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=gray.dtype, device=gray.device)
    steep = F.conv2d(smooth, torch.stack([sobel, sobel.T])[:, None]).norm(dim=1, keepdim=True)
    return (steep / (_blurred(steep, _AROUND) + _FLOOR)).clamp(max=_MOST) / _MOST


def double_angle(gray: torch.Tensor) -> torch.Tensor:
    """Compute local edges ``(B, 3, H, W)`` of gray images ``(B, 1, H, W)``: strength and direction.

    The direction is the strength times cosine and sine of twice the gradient's angle: an edge that is bright on
    its other side has the same.
    """
    smooth = F.pad(_blurred(gray, 1.0), (1, 1, 1, 1), mode="replicate")
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=gray.dtype, device=gray.device)
    x, y = F.conv2d(smooth, torch.stack([sobel, sobel.T])[:, None]).split(1, 1)
    square = x * x + y * y
    steep = square.sqrt()
    strength = (steep / (_blurred(steep, _AROUND) + _FLOOR)).clamp(max=_MOST) / _MOST
    known = square.clamp_min(1e-8)
    return torch.cat([strength, strength * (x * x - y * y) / known, strength * 2 * x * y / known], 1)


def restandardized(images: torch.Tensor, statistics: Statistics) -> torch.Tensor:
    """Return the gradient image of each of standardized images ``(B, 3, H, W)``, standardized likewise."""
    mean, std = (
        torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]
        for values in (statistics.mean, statistics.std)
    )
    luminance = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype, device=images.device)  # ITU-R BT.601
    gray = ((images * std + mean) * luminance[:, None, None]).sum(1, keepdim=True)
    return (gradient_image(gray) - mean) / std


def _blurred(images: torch.Tensor, deviation: float) -> torch.Tensor:
    kernel = _kernel(deviation).to(images)
    reach = len(kernel) // 2
    images = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(images, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))


@functools.cache
def _kernel(deviation: float) -> torch.Tensor:
    reach = math.ceil(3 * deviation)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    return weights / weights.sum()
