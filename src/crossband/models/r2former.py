"""R2Former's global retrieval: a distilled DeiT-S whose two heads give 256 numbers.

Zhu et al., CVPR 2023. The layout of ``bytedance/R2Former`` (``backbone.*`` as timm's distilled DeiT,
``local_head.*``, ``Reranker.*``) was read in its code; the checkpoint itself was not at hand. Its re-ranking
transformer is not built here, and its tensors are left aside: recall is that of the global descriptors.
"""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import nn

from ..nn.encoder import Encoder
from ..nn.tokens import resize_to_patches
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["R2FormerGlobal", "build_r2former", "rename_r2former"]

_GRID = (30, 40)  # patches of the images of 480x640 it was trained on


class R2FormerGlobal(nn.Module):
    """DeiT-S with a class and a distillation token; an image smaller than the trained one takes the middle of
    its position embedding, a larger one an interpolated embedding, as the authors do."""

    def __init__(self) -> None:
        super().__init__()
        side = (_GRID[0] * 16, _GRID[1] * 16)
        self.backbone = timm.create_model(
            "deit_small_distilled_patch16_224", pretrained=False, img_size=side, num_classes=256
        )
        self.out = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Unit-length descriptors ``(B, 256)`` of images ``(B, 3, h, w)``."""
        net = self.backbone
        maps = net.patch_embed.proj(resize_to_patches(images, 16))
        extra = torch.cat([net.cls_token, net.dist_token], 1).expand(len(maps), -1, -1)
        x = torch.cat([extra, maps.flatten(2).transpose(1, 2)], 1) + self._positions(maps.shape[-2:])
        x = net.norm(net.blocks(x))
        return self.out(F.normalize((net.head(x[:, 0]) + net.head_dist(x[:, 1])) / 2, dim=1))

    def _positions(self, grid: torch.Size) -> torch.Tensor:
        known = self.backbone.pos_embed
        maps = known[:, 2:].transpose(1, 2).unflatten(2, _GRID)
        if grid[0] <= _GRID[0] and grid[1] <= _GRID[1]:
            top, left = (_GRID[0] - grid[0]) // 2, (_GRID[1] - grid[1]) // 2
            maps = maps[:, :, top : top + grid[0], left : left + grid[1]]
        else:
            maps = F.interpolate(maps, tuple(grid), mode="bicubic", align_corners=False)
        return torch.cat([known[:, :2], maps.flatten(2).transpose(1, 2)], 1)


def rename_r2former(state: StateDict, encoder: Encoder) -> StateDict:
    """The backbone's tensors; those of the re-ranking stage are left aside."""
    bare = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in bare.items() if not key.startswith(("Reranker.", "local_head."))}


@register_model(
    "r2former",
    task="place recognition (Mapillary)",
    licence="Apache-2.0",
    source="https://github.com/bytedance/R2Former, CVPR23_DeitS_Rerank.pth",
    weights=WeightsSource("r2former", first="CVPR23_DeitS_Rerank"),
    rename=rename_r2former,
    default_steps="flat",
    size=(480, 640),
)
def build_r2former() -> Encoder:
    """DeiT-S with two heads, 256 numbers."""
    return Encoder(R2FormerGlobal(), "out")
