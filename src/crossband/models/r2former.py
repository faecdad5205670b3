"""R2Former: a distilled DeiT-S whose two heads give 256 dims, and a transformer that compares two images.

Zhu et al., CVPR 2023. The layout of ``bytedance/R2Former`` (``backbone.*`` as timm's distilled DeiT,
``local_head.*``, ``Reranker.*``) and what it computes were read in its code; the checkpoint itself was not at
hand. For re-ranking each image keeps the 500 patches that the class tokens attend to most: where they lie,
how much attention they get, and 128 dims of the last block's input. A pair of images is scored from the five
best partners of each patch, either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import nn

from ..nn.encoder import Encoder
from ..nn.reranker import Reranker
from ..nn.tokens import resize_to_patches
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["PairTransformer", "R2Former", "R2FormerReranker", "build_r2former", "rename_r2former"]

_PATCH = 16
_GRID = (30, 40)  # patches of the images of 480x640 it was trained on
_LOCAL, _LOCAL_DIM, _PARTNERS = 500, 128, 5
_PAIRS = 4  # images compared at once, as the authors do


class R2Former(nn.Module):
    """DeiT-S with a class and a distillation token.

    An image smaller than the trained one takes the middle of its position embedding, a larger one an
    interpolated embedding, as the authors do.
    """

    def __init__(self) -> None:
        super().__init__()
        side = (_GRID[0] * _PATCH, _GRID[1] * _PATCH)
        self.backbone = timm.create_model(
            "deit_small_distilled_patch16_224", pretrained=False, img_size=side, num_classes=256
        )
        self.local_head = nn.Linear(self.backbone.embed_dim, _LOCAL_DIM)
        self.Reranker = PairTransformer()
        self.out = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, 256)`` of images ``(B, 3, h, w)``."""
        net = self.backbone
        x = net.norm(net.blocks[-1](self._before_last(images)[0]))
        return self.out(F.normalize((net.head(x[:, 0]) + net.head_dist(x[:, 1])) / 2, dim=1))

    def local(self, images: torch.Tensor) -> torch.Tensor:
        """Return the patches with most attention, ``(B, n, 131)``, most first.

        X and y over the longer side, attention over the largest, and 128 dims. ``n`` is 500, or as many as
        there are.
        """
        x, (rows, columns) = self._before_last(images)
        given = self._attention(x)
        n = min(_LOCAL, rows * columns)
        attention, order = given.topk(n, dim=1)
        features = self.local_head(x[:, 2:].gather(1, order[:, :, None].expand(-1, -1, x.shape[2])))
        places = torch.stack([order % columns, order // columns], 2) + 0.5
        places = places / max(rows, columns)
        attention = attention / attention.amax(1, keepdim=True)
        return torch.cat([places, attention[:, :, None], features], 2)

    def _before_last(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """What the last block reads, ``(B, 2 + rows * columns, 384)``, and the rows and columns of patches."""
        net = self.backbone
        maps = net.patch_embed.proj(resize_to_patches(images, _PATCH))
        extra = torch.cat([net.cls_token, net.dist_token], 1).expand(len(maps), -1, -1)
        x = torch.cat([extra, maps.flatten(2).transpose(1, 2)], 1) + self._positions(maps.shape[-2:])
        return net.blocks[:-1](x), (maps.shape[-2], maps.shape[-1])

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        """What both tokens' heads together give each patch in the last block, ``(B, patches)``."""
        block = self.backbone.blocks[-1]
        parts = block.attn.qkv(block.norm1(x)).unflatten(2, (3, block.attn.num_heads, -1))
        q, k, _ = parts.permute(2, 0, 3, 1, 4)
        share = (q[:, :, :2] @ k.transpose(-2, -1) * block.attn.scale).softmax(-1)
        return share[..., 2:].sum((1, 2))

    def _positions(self, grid: torch.Size) -> torch.Tensor:
        known = self.backbone.pos_embed
        maps = known[:, 2:].transpose(1, 2).unflatten(2, _GRID)
        if grid[0] <= _GRID[0] and grid[1] <= _GRID[1]:
            top, left = (_GRID[0] - grid[0]) // 2, (_GRID[1] - grid[1]) // 2
            maps = maps[:, :, top : top + grid[0], left : left + grid[1]]
        else:
            maps = F.interpolate(maps, tuple(grid), mode="bicubic", align_corners=False)
        return torch.cat([known[:, :2], maps.flatten(2).transpose(1, 2)], 1)


class PairTransformer(nn.Module):
    """A transformer that scores whether two images show one place, from their local features.

    Each patch of either image and its five most alike of the other become five tokens: where both lie, the
    attention they get, and how alike they are. Two blocks make one token of them, six more one of all patches.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> PairTransformer().eval()(torch.rand(1, 6, 131), torch.rand(3, 9, 131)).shape
        torch.Size([3])
    """

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()

        def blocks(n: int) -> nn.ModuleList:
            norm = partial(nn.LayerNorm, eps=1e-6)
            return nn.ModuleList(Block(width, heads, 4.0, qkv_bias=True, norm_layer=norm) for _ in range(n))

        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_token_2 = nn.Parameter(torch.zeros(1, 1, width))
        # the authors' checkpoint holds these two; a list's order does not depend on them
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 2 * _LOCAL + 1, width))
        self.ratio = nn.Parameter(torch.full((1,), 0.5))
        self.blocks = blocks(6)
        self.blocks_2 = blocks(2)
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.pair_head = nn.Linear(7, width)
        self.pair_head_2 = nn.Linear(width, width)
        self.decoder_pred = nn.Linear(width, 2)

    def forward(self, query: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the probability ``(B,)`` that pairs show one place.

        The local features are ``(1 or B, n, 131)`` and ``(B, m, 131)``.
        """
        query = query.expand(len(items), -1, -1)
        alike = F.normalize(query[:, :, 3:], dim=2) @ F.normalize(items[:, :, 3:], dim=2).transpose(1, 2)
        where = [local[:, :, :3].clamp(0, 1) for local in (query, items)]
        pairs = [_partners(where[0], where[1], alike), _partners(where[1], where[0], alike.transpose(1, 2))]
        width = self.cls_token.shape[2]
        found = torch.cat([self._summed(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in pairs], 1)
        own = torch.cat([part[:, :, 0, :2] for part in pairs], 1)
        x = torch.cat([self.cls_token.expand(len(items), -1, -1), found + _waves(own, width)], 1)
        for block in self.blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x[:, 0])).softmax(1)[:, 1]

    def _summed(self, pairs: torch.Tensor) -> torch.Tensor:
        """One token ``(N, width)`` of a patch's pairs ``(N, 5, 7)``."""
        tokens = self.pair_head(pairs) + _waves(pairs[:, :, 3:5], self.cls_token.shape[2])
        x = torch.cat([self.cls_token_2.expand(len(pairs), -1, -1), tokens], 1)
        for block in self.blocks_2:
            x = block(x)
        return self.pair_head_2(self.decoder_norm(x[:, 0]))


def _partners(own: torch.Tensor, others: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
    """Each patch with its most alike of the other image, ``(B, n, 5, 7)``: its place and attention, the
    partner's, and how alike they are."""
    best, which = alike.topk(min(_PARTNERS, alike.shape[2]), dim=2)
    theirs = others.gather(1, which.flatten(1)[:, :, None].expand(-1, -1, 3)).unflatten(1, which.shape[1:])
    return torch.cat([own[:, :, None].expand_as(theirs), theirs, best[..., None]], 3)


def _waves(places: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines ``(..., width)`` of places ``(..., 2)``, at a quarter of ``width`` frequencies each."""
    steps = torch.arange(width // 4, device=places.device, dtype=places.dtype) / (width // 4)
    angles = places[..., None] * 10000.0**-steps
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


class R2FormerReranker(Reranker):
    """R2Former's re-ranking.

    Args:
        encoder: of the registered model.
    """

    channels = 3 + _LOCAL_DIM

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        assert isinstance(encoder.body, R2Former)
        self.network = encoder.body

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return local features ``(B, n, 131)`` of images ``(B, 3, h, w)``."""
        return self.network.local(images)

    def scores(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> np.ndarray:
        """Return the probability of one place; see :class:`Reranker`."""
        waiting: Iterator[torch.Tensor] = iter(candidates)
        found: list[torch.Tensor] = []
        while group := list(islice(waiting, _PAIRS)):
            found.append(self.network.Reranker(query[None], torch.stack(group)))
        return torch.cat(found).double().cpu().numpy() if found else np.empty(0)


def rename_r2former(state: StateDict, encoder: Encoder) -> StateDict:
    """Strip the prefix that multi-device training put before the tensors' names."""
    return {key.removeprefix("module."): value for key, value in state.items()}


@register_model(
    "r2former",
    params=22_433_539,
    dim=256,
    task="place recognition (Mapillary)",
    license="Apache-2.0",
    source="https://github.com/bytedance/R2Former, CVPR23_DeitS_Rerank.pth",
    weights=WeightsSource("r2former", first="CVPR23_DeitS_Rerank"),
    rename=rename_r2former,
    default_steps="flat",
    size=(480, 640),
    reranker=R2FormerReranker,
)
def build_r2former() -> Encoder:
    """Build DeiT-S with two heads, 256 dims; the transformer that compares pairs lies beside."""
    return Encoder(R2Former(), "out")
