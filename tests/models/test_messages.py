"""What models say where they cannot be made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from crossband.models import create_encoder, create_segmenter, create_streams, find_model
from crossband.models._segmentation import create_stages
from crossband.models.efficientnet_lite import rename_by_order
from crossband.models.netvlad import PatchFeatures, patch_score
from crossband.models.place_recognizer import create_place_recognizer
from crossband.models.tile_distance import TileDistance
from crossband.models.timm_encoders import timm_entry
from crossband.weights import find_weights

from ..messages import assert_says

BANDS = ("rgb", "nir", "tir")
SIZE = (48, 32)


def streams(stream="ide", encoder="squeezenet1_1", classes=4, **options):
    return create_streams(BANDS, classes, stream, encoder, size=SIZE, pretrained=False, **options)[0]


def patches(side: int) -> PatchFeatures:
    return PatchFeatures(torch.zeros(36, 4), np.zeros((36, 2)), side, 1)


def of_timm(size: int):
    encoder = create_encoder("timm/vit_tiny_patch16_224", pretrained=False)
    return encoder(torch.zeros(1, 3, size, size))


MESSAGES = {
    "model": (lambda: create_encoder("resnet17"), "unknown model 'resnet17'; did you mean ... resnet1"),
    "model elsewhere": (
        lambda: find_model("crosband", also=["crossband"]),
        "unknown model 'crosband'; did you mean crossband",
    ),
    "timm": (lambda: timm_entry("timm/resnet5O"), "timm has no model 'resnet5O'; did you mean ... resnet50"),
    "timm, near nothing": (lambda: timm_entry("timm/qqqq"), "timm has no model 'qqqq'; timm.list_models()"),
    "timm, weights": (
        lambda: timm_entry("timm/resnet10t.zzz"),
        "no weights 'zzz' of resnet10t; there are resnet10t.c3_in1k",
    ),
    "timm, size": (lambda: of_timm(96), "images of 96x96 ... choose another size"),
    "tensors": (
        lambda: rename_by_order({}, find_model("efficientnet_lite0").build()),
        "shapes of their tensors differ",
    ),
    "segmenter": (
        lambda: create_segmenter("rsfnet50"),
        "unknown segmentation network 'rsfnet50'; did you mean ... rsfnet50_18",
    ),
    "segmenter, option": (
        lambda: create_segmenter("rsfnet50_18", options={"kernel": 3}),
        "unknown option of rsfnet50_18 'kernel'; did you mean kernel_size",
    ),
    "segmenter, one band": (
        lambda: create_segmenter("mfnet", bands=["rgb"]),
        "mfnet fuses at least two bands",
    ),
    "segmenter, a band twice": (
        lambda: create_segmenter("mfnet", bands=["rgb", "rgb"]),
        "one or more bands, each once",
    ),
    "segmenter, one class": (
        lambda: create_segmenter("mfnet", classes=1),
        "needs at least two classes, not 1",
    ),
    "stages": (lambda: create_stages("alexnet"), "alexnet does not have four known stages"),
    "stages, timm": (
        lambda: create_stages("timm/test_vit"),
        "no feature maps at strides 4, 8, 16 and 32",
    ),
    "streams, encoder": (lambda: streams("pcb"), "use model.encoder=resnet50"),
    "streams, one identity": (lambda: streams(classes=1), "at least two identities"),
    "streams, no image": (
        lambda: streams()(torch.zeros(1, 3, 3, *SIZE), torch.zeros(1, 3, dtype=torch.bool)),
        "no image of these frames can be used",
    ),
    "places, first layer": (
        lambda: create_place_recognizer("resnet18", layer="layer3", pretrained=False)[0].set_trainable(
            (64, 64), "layer4"
        ),
        "'layer4' comes after 'layer3'",
    ),
    "patches": (lambda: patch_score(patches(6), patches(5)), "one size"),
    "tiles, size": (lambda: TileDistance(5, pixels=4096), "32 to 1024"),
    "tiles, stages": (lambda: TileDistance(5, stages=0), "stages must be 4 to 19"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(case):
    assert_says(*MESSAGES[case])


def test_weights_of_another_network_name_the_file(tmp_path):
    path = tmp_path / "squeezenet1_1.safetensors"
    save_file({"w": torch.zeros(1)}, path)
    assert_says(
        lambda: create_encoder("squeezenet1_1", weights=tmp_path),
        f"{path} holds the weights of another network",
    )


def test_weights_that_are_nowhere_name_the_files_and_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert_says(
        lambda: create_encoder("resnet18"), "no weights for resnet18: ... give its folder as the weights"
    )
    assert_says(
        lambda: create_encoder("timm/resnet10t", tmp_path),
        "no weights for resnet10t ... give its folder as the weights",
    )
    assert_says(
        lambda: find_weights(timm_entry("timm/vgg11").weights, tmp_path),
        "timm--vgg11.safetensors or vgg11.safetensors or timm/vgg11",
    )
