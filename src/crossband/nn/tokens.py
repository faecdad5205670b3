"""Vision transformers of timm as parts of other networks: patch tokens as a map, and the class token."""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["PatchTokens", "resize_to_patches"]


def resize_to_patches(images: torch.Tensor, patch: int) -> torch.Tensor:
    """Resize images ``(B, 3, h, w)`` to the nearest size whose sides are multiples of ``patch``.

    Example:
        >>> resize_to_patches(torch.zeros(1, 3, 320, 320), 14).shape
        torch.Size([1, 3, 322, 322])
    """
    size = [max(1, round(side / patch)) * patch for side in images.shape[-2:]]
    if size == list(images.shape[-2:]):
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


class PatchTokens(nn.Module):
    """A vision transformer of timm that gives its tokens, for images of any size.

    Args:
        name: of timm's model, whose position embedding is interpolated.
        norm: whether the last normalization is applied.

    Example:
        >>> tokens = PatchTokens("vit_tiny_patch16_224").eval()
        >>> maps, token = tokens(torch.zeros(1, 3, 64, 96))
        >>> maps.shape, token.shape
        (torch.Size([1, 192, 4, 6]), torch.Size([1, 192]))
    """

    def __init__(self, name: str, norm: bool = True) -> None:
        super().__init__()
        self.model = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
        self.norm = norm
        self.patch = int(self.model.patch_embed.patch_size[0])

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return maps ``(B, C, h / patch, w / patch)`` and class tokens ``(B, C)``."""
        images = resize_to_patches(images, self.patch)
        last = self.model.forward_intermediates(
            images, indices=1, norm=self.norm, return_prefix_tokens=True, intermediates_only=True
        )[-1]
        maps, prefix = last
        return maps, prefix[:, 0]
