"""Mix Transformer, SegFormer's encoder: attention over a thinned image, depthwise convolutions in its MLPs.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", NeurIPS 2021.
Four stages at strides 4 to 32; sizes B0 to B5 differ in width and depth alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .layers import skip_at_random

__all__ = ["SIZES", "MixTransformer", "Size", "rename_mix_transformer"]

HEADS = (1, 2, 5, 8)
THINNING = (8, 4, 2, 1)  # the side of the squares that keys and values are made of, by stage


@dataclass(frozen=True)
class Size:
    """Channels and blocks of the four stages."""

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


_WIDE = (64, 128, 320, 512)
SIZES = {
    "mit_b0": Size((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": Size(_WIDE, (2, 2, 2, 2)),
    "mit_b2": Size(_WIDE, (3, 4, 6, 3)),
    "mit_b3": Size(_WIDE, (3, 4, 18, 3)),
    "mit_b4": Size(_WIDE, (3, 8, 27, 3)),
    "mit_b5": Size(_WIDE, (3, 6, 40, 3)),
}


class MixTransformer(nn.Module):
    """The encoder.

    Args:
        name: ``mit_b0`` to ``mit_b5``.
        channels: of the images.
        drop_path: the share of images for which the last block is skipped while training; earlier blocks less.

    Example:
        >>> encoder = MixTransformer("mit_b0").eval()
        >>> [tuple(maps.shape[1:]) for maps in encoder(torch.zeros(1, 3, 64, 96))]
        [(32, 16, 24), (64, 8, 12), (160, 4, 6), (256, 2, 3)]
    """

    def __init__(self, name: str, channels: int = 3, drop_path: float = 0.1) -> None:
        super().__init__()
        size = SIZES[name]
        self.channels = size.channels
        rates = torch.linspace(0, drop_path, sum(size.depths), device="cpu").tolist()
        stages, before = [], channels
        for k, (width, depth) in enumerate(zip(size.channels, size.depths, strict=True)):
            skipped, rates = rates[:depth], rates[depth:]
            kernel, stride = (7, 4) if k == 0 else (3, 2)
            stages.append(_Stage(before, width, kernel, stride, HEADS[k], THINNING[k], skipped))
            before = width
        self.stages = nn.ModuleList(stages)
        self.apply(_initialize)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the four stages' maps of images ``(B, C, H, W)``."""
        found = []
        for stage in self.stages:
            images = stage(images)
            found.append(images)
        return found


class _Stage(nn.Module):
    """Overlapping patches, blocks, and a LayerNorm: maps to maps of ``stride`` less."""

    def __init__(
        self, before: int, width: int, kernel: int, stride: int, heads: int, thinning: int, skipped: list[float]
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(before, width, kernel, stride, kernel // 2)
        self.embed_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(width, heads, thinning, rate) for rate in skipped)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.embed(maps)
        height, width = maps.shape[-2:]
        tokens = self.embed_norm(maps.flatten(2).transpose(1, 2))
        for block in self.blocks:
            tokens = block(tokens, height, width)
        return _as_maps(self.norm(tokens), height, width)


class _Block(nn.Module):
    """Attention, then the MLP, each added to what comes in."""

    def __init__(self, width: int, heads: int, thinning: int, skipped: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = _Attention(width, heads, thinning)
        self.mlp = _Mlp(width)
        self.skipped = skipped

    def forward(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        skipped = self.skipped if self.training else 0.0
        tokens = tokens + skip_at_random(self.attention(self.norm1(tokens), height, width), skipped)
        return tokens + skip_at_random(self.mlp(self.norm2(tokens), height, width), skipped)


class _Attention(nn.Module):
    """Every position asks a thinned copy of all positions."""

    def __init__(self, width: int, heads: int, thinning: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.thin = nn.Conv2d(width, width, thinning, thinning) if thinning > 1 else None
        self.norm = nn.LayerNorm(width) if thinning > 1 else None

    def forward(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        fewer = tokens
        if self.thin is not None and self.norm is not None:
            fewer = self.norm(self.thin(_as_maps(tokens, height, width)).flatten(2).transpose(1, 2))
        key, value = self.key_value(fewer).chunk(2, -1)
        query, key, value = (self._split(x) for x in (self.query(tokens), key, value))
        found = F.scaled_dot_product_attention(query, key, value)
        return self.out(found.transpose(1, 2).flatten(2))

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        """``(B, N, C)`` to ``(B, heads, N, C / heads)``."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class _Mlp(nn.Module):
    """Four times as wide inside, where a depthwise convolution tells each position of its neighbors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.near = nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width)

    def forward(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        maps = self.near(_as_maps(self.wide(tokens), height, width))
        return self.narrow(F.gelu(maps.flatten(2).transpose(1, 2)))


def _as_maps(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


_AUTHORS = (
    ("attn.q.", "attention.query."),
    ("attn.kv.", "attention.key_value."),
    ("attn.proj.", "attention.out."),
    ("attn.sr.", "attention.thin."),
    ("attn.norm.", "attention.norm."),
    ("mlp.fc1.", "mlp.wide."),
    ("mlp.dwconv.dwconv.", "mlp.near."),
    ("mlp.fc2.", "mlp.narrow."),
)
_HUB = (
    ("attention.self.query.", "attention.query."),
    ("attention.self.key.", "attention.key."),
    ("attention.self.value.", "attention.value."),
    ("attention.self.sr.", "attention.thin."),
    ("attention.self.layer_norm.", "attention.norm."),
    ("attention.output.dense.", "attention.out."),
    ("layer_norm_1.", "norm1."),
    ("layer_norm_2.", "norm2."),
    ("mlp.dense1.", "mlp.wide."),
    ("mlp.dwconv.dwconv.", "mlp.near."),
    ("mlp.dense2.", "mlp.narrow."),
)


def rename_mix_transformer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename an ImageNet checkpoint's keys, the authors' or the hub's; heads are left out.

    Args:
        state: of ``mit_b2.pth`` and its like, or of ``nvidia/mit-b2``'s ``model.safetensors``.

    Example:
        >>> list(rename_mix_transformer({"block2.0.mlp.fc1.bias": torch.zeros(1), "head.bias": torch.zeros(1)}))
        ['stages.1.blocks.0.mlp.wide.bias']
    """
    found = {}
    for key, value in state.items():
        new = _renamed_hub(key) if "segformer.encoder." in key else _renamed(key)
        if new is not None:
            found[new] = value
    for key in [k for k in found if ".attention.key." in k]:
        twin = key.replace(".attention.key.", ".attention.value.")
        found[key.replace(".key.", ".key_value.")] = torch.cat([found.pop(key), found.pop(twin)])
    return found


def _renamed(key: str) -> str | None:
    """A key of the authors, ``None`` where it belongs to no stage."""
    part, _, rest = key.partition(".")
    kind, number = part[:-1], part[-1:]
    if kind not in ("patch_embed", "block", "norm") or not number.isdigit():
        return None
    stage = f"stages.{int(number) - 1}."
    if kind == "norm":
        return f"{stage}norm.{rest}"
    if kind == "patch_embed":
        return stage + rest.replace("proj.", "embed.").replace("norm.", "embed_norm.")
    return f"{stage}blocks." + _replaced(rest, _AUTHORS)


def _renamed_hub(key: str) -> str | None:
    kind, stage, rest = key.split("segformer.encoder.", 1)[1].split(".", 2)
    if kind == "patch_embeddings":
        return f"stages.{stage}." + rest.replace("proj.", "embed.").replace("layer_norm.", "embed_norm.")
    return f"stages.{stage}." + (f"norm.{rest}" if kind == "layer_norm" else f"blocks.{_replaced(rest, _HUB)}")


def _replaced(key: str, table: tuple[tuple[str, str], ...]) -> str:
    number, _, rest = key.partition(".")
    old, new = next((pair for pair in table if rest.startswith(pair[0])), ("", ""))
    return f"{number}.{new}{rest.removeprefix(old)}"
