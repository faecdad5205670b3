"""Omnivore's trunk on single images: a Swin-B, 1,024 dims.

Girdhar et al., CVPR 2022. A single image fills the first of two time steps of the 3-D patch embedding and the
rest is padded with zeros, and windows are one step deep: so of each 3-D tensor one 2-D slice counts, and the
network is timm's Swin-B with those slices. The layout of ``facebookresearch/omnivore`` (``trunk.*`` and
``heads.*`` of ``swinB_checkpoint.torch``; Swin's names, ``relative_position_bias_table`` of (31 * 13 * 13,
heads)) is from its code and that of Video Swin; the checkpoint itself was not at hand.
"""

from __future__ import annotations

import re

import timm
import torch
from torch import nn

from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["OmnivoreTrunk", "build_omnivore", "rename_omnivore"]

_SPATIAL = 13 * 13  # relative positions in a window of 7x7


class OmnivoreTrunk(nn.Module):
    """Swin-B for images of any size, pooled to one vector."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = timm.create_model(
            "swin_base_patch4_window7_224", pretrained=False, num_classes=0, strict_img_size=False
        )
        self.out = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, 1024)`` of images ``(B, 3, h, w)``."""
        return self.out(self.trunk(images))


def rename_omnivore(state: StateDict, encoder: Encoder) -> StateDict:
    """Take the 2-D slices of the 3-D trunk, under timm's names.

    A stage begins with its downsampling there.
    """
    renamed = {}
    for key, value in state.items():
        key = key.removeprefix("trunk.")
        if key.startswith("heads.") or "depth" in key or key.endswith("relative_position_index"):
            continue
        if key == "patch_embed.proj.weight" and value.ndim == 5:
            value = value[:, :, 0]
        elif key.endswith("relative_position_bias_table") and len(value) > _SPATIAL:
            middle = len(value) // _SPATIAL // 2  # no step in time
            value = value[middle * _SPATIAL : (middle + 1) * _SPATIAL]
        key = re.sub(r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) + 1}.downsample", key)
        renamed[f"trunk.{key}"] = value
    return renamed


@register_model(
    "omnivore_swinb",
    params=86_743_224,
    dim=1024,
    task="images, videos and depth (ImageNet, Kinetics, SUN RGB-D)",
    license="CC-BY-NC-4.0",
    source="https://github.com/facebookresearch/omnivore, swinB_checkpoint.torch",
    weights=WeightsSource(
        "omnivore_swinb", url="https://dl.fbaipublicfiles.com/omnivore/models/swinB_checkpoint.torch"
    ),
    rename=rename_omnivore,
    default_steps="flat",
    size=(224, 224),
)
def build_omnivore() -> Encoder:
    """Build Swin-B, 1,024 dims."""
    return Encoder(OmnivoreTrunk(), "out")
