"""CMX: two Mix Transformers that correct each other after every stage, and are fused there by cross-attention.

Zhang, Liu, Yang, Hu, Liu and Stiefelhagen, "CMX: Cross-Modal Fusion for RGB-X Semantic Segmentation with
Transformers", T-ITS 2023. The layers and key names of the authors' release (MIT license) were read as facts; a
checkpoint of theirs loads by :func:`rename_cmx`. The encoders start from SegFormer's ImageNet weights, which
are NVIDIA's and for non-commercial use alone.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band
from ..checkpoints import load_into
from ..nn.layers import resized
from ..nn.mix_transformer import HEADS, MixTransformer, rename_mix_transformer
from ..nn.stages import widen_input
from ..weights import WeightsSource, file_digest, find_weights, load_state_dict
from ._segmentation import register_segmenter, streams, three_channels

__all__ = ["CMX", "FusionModule", "RectifyModule", "rename_cmx"]


class CMX(nn.Module):
    """Label map of two streams of images.

    Args:
        encoder: ``mit_b0`` to ``mit_b5``.
        split: the channels of the input that each stream reads; a single one is seen three times.
        classes: how many.
        width: channels of the head.
    """

    def __init__(self, encoder: str, split: tuple[int, int], classes: int, width: int = 512) -> None:
        super().__init__()
        self.split = list(split)
        first, second = MixTransformer(encoder), MixTransformer(encoder)
        self.encoder = nn.ModuleList((first, second))
        self.rectify = nn.ModuleList(RectifyModule(channels) for channels in first.channels)
        self.fuse = nn.ModuleList(
            FusionModule(channels, heads) for channels, heads in zip(first.channels, HEADS, strict=True)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in first.channels)
        self.mix = nn.Sequential(nn.Conv2d(4 * width, width, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.drop, self.logits = nn.Dropout2d(0.1), nn.Conv2d(width, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, classes, H, W)`` of images ``(B, C, H, W)``."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % 32, 0, -height % 32), mode="replicate")
        one, two = (three_channels(part) for part in padded.split(self.split, 1))
        fused = []
        levels = zip(self.encoder[0].stages, self.encoder[1].stages, self.rectify, self.fuse, strict=True)  # type: ignore[arg-type]
        for first, second, rectify, fuse in levels:
            one, two = rectify(first(one), second(two))
            fused.append(fuse(one, two))
        size = fused[0].shape[-2:]
        wide = [resized(lateral(maps), size) for lateral, maps in zip(self.lateral, fused, strict=True)]
        logits = self.logits(self.drop(self.mix(torch.cat(wide[::-1], 1))))
        return resized(logits, padded.shape[-2:])[..., :height, :width]

    def rename_published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Rename the keys of the authors' checkpoint to this network's; see :func:`rename_cmx`."""
        return rename_cmx(state)


class RectifyModule(nn.Module):
    """Cross-Modal Feature Rectification: each stream takes of the other, equations 1 to 6.

    Args:
        channels: of either stream.

    Example:
        >>> module = RectifyModule(4)
        >>> [tuple(x.shape) for x in module(torch.ones(2, 4, 5, 6), torch.ones(2, 4, 5, 6))]
        [(2, 4, 5, 6), (2, 4, 5, 6)]
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.by_channel = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, 2 * channels),
            nn.Sigmoid(),
        )
        self.by_position = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, 2, 1), nn.Sigmoid()
        )

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two maps ``(B, C, H, W)`` to two of the same shape."""
        both = torch.cat([one, two], 1)
        channel = self.by_channel(torch.cat([both.mean((2, 3)), both.amax((2, 3))], 1))
        for_two, for_one = (weight[..., None, None] for weight in channel.chunk(2, 1))
        at_two, at_one = self.by_position(both).chunk(2, 1)
        return one + 0.5 * (for_one + at_one) * two, two + 0.5 * (for_two + at_two) * one


class FusionModule(nn.Module):
    """Feature Fusion: the streams exchange their contexts by cross-attention and are mixed, section III-C.

    Args:
        channels: of either stream.
        heads: of the attention.

    Example:
        >>> FusionModule(8, 2).eval()(torch.ones(1, 8, 5, 6), torch.ones(1, 8, 5, 6)).shape
        torch.Size([1, 8, 5, 6])
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        pair = range(2)
        self.enter = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in pair)
        self.key_value = nn.ModuleList(nn.Linear(channels, 2 * channels, bias=False) for _ in pair)
        self.leave = nn.ModuleList(nn.Linear(2 * channels, channels) for _ in pair)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in pair)
        self.straight = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.embed = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        """Two maps ``(B, C, H, W)`` to one."""
        size = one.shape[-2:]
        streams_ = [maps.flatten(2).transpose(1, 2) for maps in (one, two)]
        entered = [layer(x).relu().chunk(2, -1) for layer, x in zip(self.enter, streams_, strict=True)]
        contexts = [self._context(layer(u)) for layer, (_, u) in zip(self.key_value, entered, strict=True)]
        found = []
        for k, (own, asking) in enumerate(entered):
            queries = asking.unflatten(2, (self.heads, -1)).transpose(1, 2)
            answer = (queries @ contexts[1 - k]).transpose(1, 2).flatten(2)
            found.append(self.norms[k](streams_[k] + self.leave[k](torch.cat([own, answer], -1))))
        maps = torch.cat(found, -1).transpose(1, 2).unflatten(2, size)
        return self.norm(self.straight(maps) + self.embed(maps))

    def _context(self, key_value: torch.Tensor) -> torch.Tensor:
        """``(B, N, 2 C)`` to ``(B, heads, C / heads, C / heads)``: keys times values, a softmax over keys."""
        key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in key_value.chunk(2, -1))
        return (key.transpose(-2, -1) @ value * key.shape[-1] ** -0.5).softmax(-2)


_PARTS = (
    (r"FRMs\.(\d)\.channel_weights\.mlp\.", r"rectify.\1.by_channel."),
    (r"FRMs\.(\d)\.spatial_weights\.mlp\.", r"rectify.\1.by_position."),
    (r"FFMs\.(\d)\.cross\.channel_proj(\d)\.", r"fuse.\1.enter.\2."),
    (r"FFMs\.(\d)\.cross\.cross_attn\.kv(\d)\.", r"fuse.\1.key_value.\2."),
    (r"FFMs\.(\d)\.cross\.end_proj(\d)\.", r"fuse.\1.leave.\2."),
    (r"FFMs\.(\d)\.cross\.norm(\d)\.", r"fuse.\1.norms.\2."),
    (r"FFMs\.(\d)\.channel_emb\.residual\.", r"fuse.\1.straight."),
    (r"FFMs\.(\d)\.channel_emb\.channel_embed\.", r"fuse.\1.embed."),
    (r"FFMs\.(\d)\.channel_emb\.norm\.", r"fuse.\1.norm."),
    (r"decode_head\.linear_c(\d)\.proj\.", r"lateral.\1."),
    (r"decode_head\.linear_fuse\.", r"mix."),
    (r"decode_head\.linear_pred\.", r"logits."),
)
_FROM_ONE = re.compile(r"(enter|key_value|leave|norms|lateral)\.(\d)\.")


def rename_cmx(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the keys of the authors' checkpoint to those of :class:`CMX`.

    Theirs are ``backbone.*`` and ``decode_head.*``; what belongs to no part of the network is left out.

    Example:
        >>> rename_cmx({"decode_head.linear_c4.proj.weight": torch.zeros(2, 3)})["lateral.3.weight"].shape
        torch.Size([2, 3, 1, 1])
    """
    found: dict[str, torch.Tensor] = {}
    encoders: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]] = ({}, {})
    for key, value in state.items():
        short = key.removeprefix("module.").removeprefix("backbone.")
        for old, new in _PARTS:
            if re.match(old, short):
                named = _FROM_ONE.sub(lambda m: f"{m[1]}.{int(m[2]) - 1}.", re.sub(old, new, short))
                linear = named.startswith("lateral.") and named.endswith("weight") and value.ndim == 2
                found[named] = value[..., None, None] if linear else value
                break
        else:
            encoders[short.startswith("extra_")][short.removeprefix("extra_")] = value
    for number, encoder in enumerate(encoders):
        renamed = rename_mix_transformer(encoder)
        found |= {f"encoder.{number}.{key}": value for key, value in renamed.items()}
    return found


def _build(
    encoder: str, classes: int, bands: tuple[Band, ...], pretrained: bool, width: int
) -> tuple[nn.Module, str]:
    network = CMX(encoder, streams(bands, "cmx"), classes, width)
    if not pretrained:
        return _widened(network), "random"
    path = find_weights(
        WeightsSource(encoder, hub=(f"nvidia/{encoder.replace('_', '-')}", "model.safetensors"))
    )
    state = rename_mix_transformer(load_state_dict(path))
    for stream in network.encoder:
        load_into(stream, state, path)
    return _widened(network), file_digest(path)


def _widened(network: CMX) -> CMX:
    """Let a stream that reads several bands see them all."""
    for stream, channels in zip(network.encoder, network.split, strict=True):
        if channels > 3:
            widen_input(stream, channels)
    return network


_SOURCE = "Zhang et al., CMX, T-ITS 2023"


@register_segmenter("cmx_b2", params=66_565_521, source=_SOURCE)
def build_cmx_b2(
    classes: int,
    bands: tuple[Band, ...],
    pretrained: bool = False,
    *,
    encoder: str = "mit_b2",
    width: int = 512,
) -> tuple[nn.Module, str]:
    """CMX on two Mix Transformers B2."""
    return _build(encoder, classes, bands, pretrained, width)


@register_segmenter("cmx_b4", params=139_858_321, source=_SOURCE)
def build_cmx_b4(
    classes: int, bands: tuple[Band, ...], pretrained: bool = False, *, width: int = 512
) -> tuple[nn.Module, str]:
    """CMX on two Mix Transformers B4."""
    return _build("mit_b4", classes, bands, pretrained, width)
