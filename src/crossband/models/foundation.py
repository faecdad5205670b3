"""What a user would try today: the image towers of DINOv2, DINOv3, CLIP and SigLIP, and AnyThermal.

Oquab et al., "DINOv2", 2023; Simeoni et al., "DINOv3", 2025; Radford et al., "CLIP", ICML 2021; Zhai et al.,
"SigLIP", ICCV 2023: networks and weights as timm keeps them on the Hugging Face hub, read at their pooled
vector, for images of any size. Maheshwari et al., "AnyThermal", ICRA 2026, is DINOv2's ViT-B/14 distilled
into thermal images; its layout (``student_model_state_dict``, ``backbone_model_state_dict``, DINOv2's own
names) was read in the code of ``castacks/AnyThermal``, and its zip was not at hand. It is asked for both
bands here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import timm
import torch
from torch import nn

from ..data.preprocess import Statistics
from ..nn.encoder import Encoder
from ..nn.tokens import resize_to_patches
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = ["Tower", "build_tower", "rename_tower"]


@dataclass(frozen=True)
class _Published:
    name: str
    timm_name: str
    task: str
    license: str
    params: int
    dim: int
    hub: bool = True
    weights: str = ""
    source: str = ""


_TOWERS = (
    _Published(
        "dinov2_vits14",
        "vit_small_patch14_dinov2.lvd142m",
        "self-supervised (142 M images)",
        "Apache-2.0",
        22_056_192,
        384,
    ),
    _Published(
        "dinov2_vitb14",
        "vit_base_patch14_dinov2.lvd142m",
        "self-supervised (142 M images)",
        "Apache-2.0",
        86_579_712,
        768,
    ),
    _Published(
        "dinov3_vitb16",
        "vit_base_patch16_dinov3.lvd1689m",
        "self-supervised (1.7 G images)",
        "DINOv3 license",
        85_641_216,
        768,
    ),
    _Published(
        "clip_vitb16",
        "vit_base_patch16_clip_224.openai",
        "images and text (400 M pairs)",
        "MIT",
        86_193_152,
        512,
    ),
    _Published(
        "siglip_vitb16",
        "vit_base_patch16_siglip_224.webli",
        "images and text (WebLI)",
        "Apache-2.0",
        92_884_224,
        768,
    ),
    _Published(
        "anythermal",
        "vit_base_patch14_dinov2.lvd142m",
        "DINOv2 distilled into thermal images",
        "none stated",
        86_579_712,
        768,
        hub=False,
        weights="anythermal",
        source="https://huggingface.co/theairlabcmu/AnyThermal, AnyThermal_full/model20.pth in its zip",
    ),
)


class Tower(nn.Module):
    """A vision transformer of timm read at its pooled vector, for images of any size."""

    def __init__(self, name: str, dim: int) -> None:
        super().__init__()
        architecture = name.split(".")[0]
        size = {} if "dinov3" in architecture else {"dynamic_img_size": True}  # which takes any without
        self.net = timm.create_model(architecture, pretrained=False, num_classes=dim, **size)
        self.patch = int(self.net.patch_embed.patch_size[0])
        self.out = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, D)`` of images ``(B, 3, h, w)``, at the nearest multiple of the patch."""
        return self.out(self.net(resize_to_patches(images, self.patch)))


def rename_tower(state: StateDict, encoder: Encoder) -> StateDict:
    """Move timm's keys below ``net``; a mask token is dropped."""
    return {f"net.{key}": value for key, value in state.items() if not key.endswith("mask_token")}


def build_tower(name: str) -> Encoder:
    """Build the tower that timm calls ``name``, without weights."""
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    body = Tower(name, config.num_classes)  # CLIP's projection is what timm calls its classifier
    return Encoder(body, "out", statistics=Statistics(tuple(config.mean), tuple(config.std)))


def _register(entry: _Published) -> None:
    config = timm.get_pretrained_cfg(entry.timm_name)
    if config is None:  # an older timm without it
        return
    hub = (str(config.hf_hub_id), "model.safetensors") if entry.hub else None
    register_model(
        entry.name,
        params=entry.params,
        dim=entry.dim,
        task=entry.task,
        license=entry.license,
        source=entry.source or f"timm {entry.timm_name}",
        weights=WeightsSource(entry.weights or entry.timm_name, hub=hub, first=entry.name if hub else None),
        rename=rename_tower,
        default_steps="flat",
        size=(int(config.input_size[1]), int(config.input_size[2])),
    )(functools.partial(build_tower, entry.timm_name))


for _entry in _TOWERS:
    _register(_entry)
