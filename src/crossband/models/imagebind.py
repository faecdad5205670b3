"""ImageBind's towers for images and for thermal images, which share one space of 1,024 dims.

Girdhar et al., CVPR 2023. The layout of ``facebookresearch/ImageBind`` (``modality_preprocessors``,
``modality_trunks`` and ``modality_heads`` of ``vision`` and ``thermal``; ``imagebind_huge``) was read in its
code; the checkpoint itself (4.8 GB, of which this needs 2.9) was not at hand. A still image is two equal frames
of a video, so the two time slices of the vision stem are summed.

An encoder sees a tensor, not its band. An image whose three channels are one goes through the thermal tower,
any other through the vision tower; so a gray photograph counts as thermal here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..data.preprocess import Statistics
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["ImageBind", "Tower", "build_imagebind", "rename_imagebind"]

_SIDE = 224
_CLIP = Statistics((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class _Block(nn.Module):
    """Attention and a small network, each behind a normalization and around a shortcut."""

    def __init__(self, width: int, heads: int, bias_kv: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=bias_kv, batch_first=True)
        self.norm_1, self.norm_2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm_2(x))))


class Tower(nn.Module):
    """One modality: patches, transformer, and a projection of the class token to the common space.

    Args:
        channels: of an image.
        patch: its side.
        width: of a token; ``blocks`` and ``heads`` of the transformer.
        dim: of the common space.
        vision: the vision tower normalizes before its blocks; the others normalize patches and attend to a
            learned token besides.
    """

    def __init__(
        self, channels: int, patch: int, width: int, blocks: int, heads: int, dim: int, vision: bool
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, patch, patch, bias=False)
        self.stem_norm = nn.Identity() if vision else nn.LayerNorm(width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (_SIDE // patch) ** 2, width))
        self.before = nn.LayerNorm(width, eps=1e-6) if vision else nn.Identity()
        self.blocks = nn.Sequential(*(_Block(width, heads, not vision) for _ in range(blocks)))
        self.after = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, dim, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, dim)`` of images of 224x224."""
        x = self.stem_norm(self.stem(images).flatten(2).transpose(1, 2))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        x = self.after(self.blocks(self.before(x)))[:, 0]
        return F.normalize(self.head(x), dim=-1)


class ImageBind(nn.Module):
    """Both towers; images are resized to 224x224, as the authors'.

    Example:
        >>> small = ImageBind(Tower(3, 56, 8, 1, 2, 4, True), Tower(1, 56, 8, 1, 2, 4, False)).eval()
        >>> small(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 4])
    """

    def __init__(self, vision: Tower, thermal: Tower) -> None:
        super().__init__()
        self.vision, self.thermal = vision, thermal
        self.out = nn.Identity()  # the layer's name
        self.register_buffer("mean", torch.tensor(_CLIP.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_CLIP.std)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, dim)`` of images ``(B, 3, h, w)``.

        The images are standardized by CLIP's statistics.
        """
        images = F.interpolate(images, (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
        plain = images * self.get_buffer("std") + self.get_buffer("mean")
        if images.is_meta:
            return self.out(self.vision(images) + self.thermal(plain[:, :1]))
        gray = (plain - plain[:, :1]).abs().amax((1, 2, 3)) < 1e-3
        found = images.new_empty(len(images), self.vision.head.out_features)
        if gray.any():
            found[gray] = self.thermal(plain[gray, :1])
        if not gray.all():
            found[~gray] = self.vision(images[~gray])
        return self.out(found)


_PARTS = {
    "modality_preprocessors.{}.cls_token": "cls_token",
    "modality_preprocessors.{}.pos_embedding_helper.pos_embed": "pos_embed",
    "modality_preprocessors.{}.rgbt_stem.proj.1.weight": "stem.weight",
    "modality_preprocessors.{}.rgbt_stem.proj.weight": "stem.weight",
    "modality_preprocessors.{}.rgbt_stem.norm_layer.": "stem_norm.",
    "modality_trunks.{}.pre_transformer_layer.0.": "before.",
    "modality_trunks.{}.blocks.": "blocks.",
    "modality_heads.{}.0.": "after.",
    "modality_heads.{}.2.": "head.",
}


def rename_imagebind(state: StateDict, encoder: Encoder) -> StateDict:
    """Keep the tensors of the two towers; text, sound, depth and motion are dropped."""
    renamed = {}
    for tower in ("vision", "thermal"):
        for old, new in _PARTS.items():
            start = old.format(tower)
            for key, value in state.items():
                if key.startswith(start):
                    stem = key.endswith("rgbt_stem.proj.1.weight") and value.ndim == 5
                    renamed[f"{tower}.{new}{key.removeprefix(start)}"] = value.sum(2) if stem else value
    return renamed


@register_model(
    "imagebind",
    params=718_287_872,
    dim=1024,
    task="one space for six modalities",
    license="CC-BY-NC-SA-4.0",
    source="https://github.com/facebookresearch/ImageBind, imagebind_huge.pth",
    weights=WeightsSource("imagebind_huge", url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth"),
    rename=rename_imagebind,
    default_steps="flat",
    size=(_SIDE, _SIDE),
)
def build_imagebind() -> Encoder:
    """Build ViT-H for images and ViT-B for thermal images, 1,024 dims."""
    vision = Tower(3, 14, 1280, 32, 16, 1024, vision=True)
    return Encoder(ImageBind(vision, Tower(1, 16, 768, 12, 12, 1024, vision=False)), "out", statistics=_CLIP)
