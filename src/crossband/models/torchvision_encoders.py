"""The ImageNet classifiers of torchvision as encoders.

AlexNet (Krizhevsky et al., 2012), VGG16 (Simonyan and Zisserman, 2015), SqueezeNet 1.0 and 1.1 (Iandola
et al., 2017), ResNet (He et al., 2016), MobileNetV2 (Sandler et al., 2018) and DenseNet-121 (Huang et
al., 2017). The default layer is the last feature map before the classifier head, as in Pendota and
Channappayya, "Are Deep Learning Models Pre-trained on RGB Data Good Enough for RGB-Thermal Image
Retrieval?", section 3.1; their parameter counts without the classifier are that paper's table 4.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import torchvision

from ..data.preprocess import Statistics
from ..nn.encoder import Encoder
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["build_torchvision"]


@dataclass(frozen=True)
class _Family:
    sizes: dict[str, tuple[int, int]]  # by name: parameters without the classifier, channels
    layer: str
    classifier: tuple[str, ...]


_FAMILIES = (
    _Family(
        {"alexnet": (2_469_696, 256), "vgg16": (14_714_688, 512), "vgg19": (20_024_384, 512)},
        "features",
        ("avgpool", "classifier"),
    ),
    _Family(
        {
            "squeezenet1_0": (735_424, 512),
            "squeezenet1_1": (722_496, 512),
            "mobilenet_v2": (2_223_872, 1280),
            "densenet121": (6_953_856, 1024),
            "densenet161": (26_472_000, 2208),
        },
        "features",
        ("classifier",),
    ),
    _Family(
        {
            "resnet18": (11_176_512, 512),
            "resnet34": (21_284_672, 512),
            "resnet50": (23_508_032, 2048),
            "resnet101": (42_500_160, 2048),
            "resnet152": (58_143_808, 2048),
        },
        "layer4",
        ("avgpool", "fc"),
    ),
)

# Checkpoints in circulation whose input is not standardized by ImageNet's statistics: x / 127.5 - 1.
_SYMMETRIC = Statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_KNOWN_FILES = {"a39e64c991933333e7aec1d930af561272da82c27175554239e4c9bcd1a1bec8": _SYMMETRIC}


def build_torchvision(name: str, layer: str, classifier: tuple[str, ...]) -> Encoder:
    """Build the network of torchvision called ``name``, without weights."""
    return Encoder(torchvision.models.get_model(name, weights=None), layer, classifier)


def rename_dense_layers(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename ``norm.1`` of DenseNet's published keys to ``norm1``, and the like."""
    return {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", k): v for k, v in state.items()}


def _register(name: str, family: _Family) -> None:
    # the first published version: the recipe of the papers that used these networks
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    register_model(
        name,
        params=family.sizes[name][0],
        dim=family.sizes[name][1],
        task="classification (ImageNet)",
        license="BSD-3-Clause (torchvision)",
        source=f"torchvision {name}",
        weights=WeightsSource(name, url=weights.url),
        known_files=_KNOWN_FILES,
        rename=rename_dense_layers if name.startswith("densenet") else None,
    )(functools.partial(build_torchvision, name, family.layer, family.classifier))


for _family in _FAMILIES:
    for _name in _family.sizes:
        _register(_name, _family)
