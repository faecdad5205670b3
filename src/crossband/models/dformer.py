"""DFormer: one encoder of color and a thinner second band, mixed in every block, under a light head.

Yin, Zhang, Li, Liu, Cheng and Hou, "DFormer: Rethinking RGBD Representation Learning for Semantic
Segmentation", ICLR 2024; the second band was depth there and is the thermal here. The layers and key names of
the authors' release were read as facts; a checkpoint of theirs loads by :func:`rename_dformer`. Their
repository has an MIT license, while its page says "for non-commercial use only" and their weights say nothing,
so ask them before selling what starts from those. Four LayerNorms that their encoder keeps and never runs are
left out here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..checkpoints import load_into
from ..nn.factorization import LightHam
from ..nn.layers import GridMeans, resized, skip_at_random
from ..nn.stages import widen_input
from ..weights import WeightsSource, file_digest, find_weights, load_state_dict
from ._segmentation import register_segmenter, streams, three_channels

__all__ = ["DFormer", "Size", "rename_dformer"]

GRID = 7  # the side of the grid whose cells ask the whole image


@dataclass(frozen=True)
class Size:
    """What tells the published sizes apart.

    Attributes:
        file: the stem of the authors' pretrained encoder.
        channels: of color, by stage; the second band has half.
        depths: blocks of the four stages.
        drop_path: the share of images for which the last block is skipped while training; earlier blocks less.
    """

    file: str
    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    drop_path: float = 0.1


_WIDE = (64, 128, 256, 512)
SIZES = {
    "t": Size("DFormer_Tiny", (32, 64, 128, 256), (3, 3, 5, 2)),
    "s": Size("DFormer_Small", _WIDE, (2, 2, 4, 2)),
    "b": Size("DFormer_Base", _WIDE, (3, 3, 12, 2)),
    "l": Size("DFormer_Large", (96, 192, 288, 576), (3, 3, 12, 2), 0.15),
}
_HEADS, _RATIOS = (1, 2, 4, 8), (8, 8, 4, 4)


class DFormer(nn.Module):
    """Label map of color and one more band.

    Args:
        size: of the encoder.
        split: the channels of the input that color and the second band have; a single one for color is seen
            three times.
        classes: how many.
        width: channels of the head.
        scale: what a block's answer is multiplied by at first, before it is learned. At the authors' 1e-6 a
            network without their weights hardly sees the second band yet; some tens of steps change that.
    """

    def __init__(
        self, size: Size, split: tuple[int, int], classes: int, width: int = 512, scale: float = 1e-6
    ) -> None:
        super().__init__()
        self.split = list(split)
        rates = torch.linspace(0, size.drop_path, sum(size.depths), device="cpu").tolist()
        stages, before = [], 0
        for k, (channels, depth) in enumerate(zip(size.channels, size.depths, strict=True)):
            skipped, rates = rates[:depth], rates[depth:]
            stages.append(_Stage(before, channels, k, skipped, scale))
            before = channels
        self.stages = nn.ModuleList(stages)
        self.head = LightHam(size.channels[1:], width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        color, second = images.split(self.split, 1)
        color = three_channels(color)
        levels = []
        for stage in self.stages:
            color, second = stage(color, second)
            levels.append(color)
        return resized(self.head(levels[1:]), images.shape[-2:])

    def rename_published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Rename the keys of the authors' checkpoint to this network's; see :func:`rename_dformer`."""
        return rename_dformer(state)


class _Stage(nn.Module):
    """Both bands at half the size (the first stage: a quarter), then the blocks."""

    def __init__(self, before: int, channels: int, number: int, skipped: list[float], scale: float) -> None:
        super().__init__()
        if number == 0:
            self.enter, self.enter_second = _stem(3, channels), _stem(1, channels // 2)
        else:
            self.enter, self.enter_second = _halve(before, channels), _halve(before // 2, channels // 2)
        last = [number == 3 and k == len(skipped) - 1 for k in range(len(skipped))]
        self.blocks = nn.ModuleList(
            _Block(channels, number, rate, scale, final) for rate, final in zip(skipped, last, strict=True)
        )

    def forward(self, color: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        color, second = (x.permute(0, 2, 3, 1) for x in (self.enter(color), self.enter_second(second)))
        for block in self.blocks:
            color, second = block(color, second)
        return color.permute(0, 3, 1, 2), second.permute(0, 3, 1, 2)


def _stem(before: int, channels: int) -> nn.Sequential:
    half = channels // 2
    first, then = nn.Conv2d(before, half, 3, 2, 1), nn.Conv2d(half, channels, 3, 2, 1)
    return nn.Sequential(first, nn.BatchNorm2d(half), nn.GELU(), then, nn.BatchNorm2d(channels))


def _halve(before: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(before), nn.Conv2d(before, channels, 3, 2, 1))


class _Block(nn.Module):
    """The mixing of both bands, then an MLP of each; the last block answers for color alone."""

    def __init__(self, channels: int, stage: int, skipped: float, scale: float, last: bool) -> None:
        super().__init__()
        self.skipped, half = skipped, channels // 2
        self.mixing = _Mixing(channels, _HEADS[stage], asks=stage > 0, last=last)
        self.mlp = _Mlp(channels, _RATIOS[stage])
        self.scales = nn.ParameterList(torch.full((channels,), scale) for _ in range(2))
        if not last:
            self.mlp_second = _Mlp(half, _RATIOS[stage])
            self.scales_second = nn.ParameterList(torch.full((half,), scale) for _ in range(2))

    def forward(self, color: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mixed, other = self.mixing(color, second)
        color = self._added(color, self.scales[0] * mixed)
        color = self._added(color, self.scales[1] * self.mlp(color))
        if other is not None:
            second = self._added(second, self.scales_second[0] * other)
            second = self._added(second, self.scales_second[1] * self.mlp_second(second))
        return color, second

    def _added(self, maps: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
        return maps + skip_at_random(branch, self.skipped if self.training else 0.0)


class _Mixing(nn.Module):
    """Maps ``(B, H, W, C)`` and ``(B, H, W, C / 2)``, in three ways side by side.

    Color times its own surroundings; color times the second band's surroundings ("local enhancement"); and,
    where ``asks``, what the cells of a coarse grid of both bands ask of the whole color image, laid back over
    it ("global awareness").
    """

    def __init__(self, channels: int, heads: int, asks: bool, last: bool) -> None:
        super().__init__()
        half, self.heads = channels // 2, heads
        self.norm, self.norm_second = nn.LayerNorm(channels, eps=1e-6), nn.LayerNorm(half, eps=1e-6)
        self.query, self.query_half = nn.Linear(channels, channels), nn.Linear(channels, half)
        self.inner, self.around_out = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.around = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.second_in, self.second_out = nn.Linear(half, half), nn.Linear(half, half)
        self.second_around = nn.Conv2d(half, half, 7, padding=3, groups=half)
        self.pool, self.asking, self.key_value = None, None, None
        if asks:
            self.pool, self.asking = GridMeans(GRID), nn.Linear(channels + half, half)
            self.key_value = nn.Linear(channels, channels)
        wide = channels + half + half * asks
        self.out = nn.Linear(wide, channels)
        self.out_second = None if last else nn.Linear(wide, half)

    def forward(self, color: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        color, second = self.norm(color), self.norm_second(second)
        inner = F.gelu(self.inner(color))
        near = self.query(color) * self.around_out(_each(self.around, inner))
        enhanced = self.second_out(_each(self.second_around, self.second_in(second)))
        parts = [near, self.query_half(color) * enhanced]
        if self.asking is not None:
            parts.insert(1, self._asked(torch.cat([color, second], -1), inner))
        joined = torch.cat(parts, -1)
        return self.out(joined), None if self.out_second is None else self.out_second(joined)

    def _asked(self, both: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        """``(B, H, W, 3 C / 2)`` and ``(B, H, W, C)`` to ``(B, H, W, C / 2)``."""
        assert self.pool is not None
        assert self.asking is not None
        assert self.key_value is not None
        cells = self.asking(_each(self.pool, both)).flatten(1, 2)
        triple = (cells, *self.key_value(inner).flatten(1, 2).chunk(2, -1))
        query, key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in triple)
        answers = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        grid = answers.transpose(1, 2).unflatten(2, (GRID, GRID))
        return resized(grid, inner.shape[1:3]).permute(0, 2, 3, 1)


class _Mlp(nn.Module):
    """``ratio`` times as wide inside, where a depthwise convolution adds each position's neighbors."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        wide = ratio * channels
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide, self.narrow = nn.Linear(channels, wide), nn.Linear(wide, channels)
        self.around = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.wide(self.norm(maps))
        return self.narrow(F.gelu(maps + _each(self.around, maps)))


def _each(layer: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """Apply a layer of maps with channels first to some with channels last."""
    found: torch.Tensor = layer(maps.permute(0, 3, 1, 2))
    return found.permute(0, 2, 3, 1)


_PARTS = (
    (r"downsample_layers\.(\d)\.", r"stages.\1.enter."),
    (r"downsample_layers_e\.(\d)\.", r"stages.\1.enter_second."),
    (r"stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"decode_head\.(squeeze|align)\.conv\.", r"head.\1.0."),
    (r"decode_head\.(squeeze|align)\.bn\.", r"head.\1.1."),
    (r"decode_head\.hamburger\.ham_in\.conv\.", r"head.bread_in."),
    (r"decode_head\.hamburger\.ham_out\.conv\.", r"head.bread_out.0."),
    (r"decode_head\.hamburger\.ham_out\.bn\.", r"head.bread_out.1."),
    (r"decode_head\.conv_seg\.", r"head.logits."),
)
_IN_BLOCK = {
    "attn.norm.": "mixing.norm.",
    "attn.norm_e.": "mixing.norm_second.",
    "attn.q.": "mixing.query.",
    "attn.q_cut.": "mixing.query_half.",
    "attn.l.": "mixing.inner.",
    "attn.conv.": "mixing.around.",
    "attn.a.": "mixing.around_out.",
    "attn.e_fore.": "mixing.second_in.",
    "attn.e_conv.": "mixing.second_around.",
    "attn.e_back.": "mixing.second_out.",
    "attn.short_cut_linear.": "mixing.asking.",
    "attn.kv.": "mixing.key_value.",
    "attn.proj.": "mixing.out.",
    "attn.proj_e.": "mixing.out_second.",
    "layer_scale_1_e": "scales_second.0",
    "layer_scale_2_e": "scales_second.1",
    "layer_scale_1": "scales.0",
    "layer_scale_2": "scales.1",
    **{
        f"{theirs}.{part}.": f"{ours}.{name}."
        for theirs, ours in (("mlp", "mlp"), ("mlp_e2", "mlp_second"))
        for part, name in (("norm", "norm"), ("fc1", "wide"), ("pos", "around"), ("fc2", "narrow"))
    },
}


def rename_dformer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the keys of the authors' checkpoint to those of :class:`DFormer`.

    It may be of the encoder alone. What belongs to no part of the network (a classifier, norms that never run)
    is left out.

    Example:
        >>> state = {"backbone.stages.1.0.attn.q.bias": torch.zeros(1), "norm0.bias": torch.zeros(1)}
        >>> list(rename_dformer(state))
        ['stages.1.blocks.0.mixing.query.bias']
    """
    found = {}
    for key, value in state.items():
        short = key.removeprefix("module.").removeprefix("backbone.")
        part = next((pair for pair in _PARTS if re.match(pair[0], short)), None)
        if part is not None:
            found[_in_block(re.sub(f"^{part[0]}", part[1], short))] = value
    return found


def _in_block(key: str) -> str:
    """A key whose part within its block is still the authors'."""
    start, blocks, rest = key.partition(".blocks.")
    number, _, inner = rest.partition(".")
    old = next((old for old in _IN_BLOCK if inner.startswith(old)), None)
    return f"{start}{blocks}{number}.{_IN_BLOCK[old]}{inner.removeprefix(old)}" if old and blocks else key


def _build(
    size: str, classes: int, bands: tuple[Band, ...], pretrained: bool, width: int, scale: float
) -> tuple[nn.Module, str]:
    network = DFormer(SIZES[size], streams(bands, f"dformer_{size}"), classes, width, scale)
    digest = "random"
    if pretrained:
        path = find_weights(WeightsSource(SIZES[size].file))
        state = rename_dformer(load_state_dict(path))
        stages = {key.removeprefix("stages."): v for key, v in state.items() if key.startswith("stages.")}
        load_into(network.stages, stages, path)
        digest = file_digest(path)
    first = network.stages[0]
    color, second = network.split
    widen_input(first.enter, max(color, 3))  # type: ignore[arg-type]
    widen_input(first.enter_second, second)  # type: ignore[arg-type]
    return network, digest


_SOURCE = "Yin et al., DFormer, ICLR 2024"


@register_segmenter("dformer_t", params=5_988_009, source=_SOURCE)
def build_dformer_t(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, width: int = 512, scale: float = 1e-6
) -> tuple[nn.Module, str]:
    """DFormer-T."""
    return _build("t", classes, bands, pretrained, width, scale)


@register_segmenter("dformer_s", params=18_731_241, source=_SOURCE)
def build_dformer_s(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, width: int = 512, scale: float = 1e-6
) -> tuple[nn.Module, str]:
    """DFormer-S."""
    return _build("s", classes, bands, pretrained, width, scale)


@register_segmenter("dformer_b", params=29_508_937, source=_SOURCE)
def build_dformer_b(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, width: int = 512, scale: float = 1e-6
) -> tuple[nn.Module, str]:
    """DFormer-B."""
    return _build("b", classes, bands, pretrained, width, scale)


@register_segmenter("dformer_l", params=39_014_489, source=_SOURCE)
def build_dformer_l(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, width: int = 512, scale: float = 1e-6
) -> tuple[nn.Module, str]:
    """DFormer-L."""
    return _build("l", classes, bands, pretrained, width, scale)
