"""Every timm model with feature maps, by its name behind ``timm/``."""

from __future__ import annotations

import pytest
import timm
import torch

from crossband.errors import CrossbandError
from crossband.models import create_model
from crossband.models.timm_encoders import timm_entry


@pytest.mark.parametrize("name", ["resnet10t", "tinynet_e"])
def test_the_default_layer_gives_timm_s_own_last_feature_map(name):
    torch.manual_seed(0)
    encoder, _ = create_model(f"timm/{name}", pretrained=False)
    features = timm.create_model(name, pretrained=False, features_only=True).eval()
    state = encoder.body.state_dict()
    features.load_state_dict({key: state[key] for key in features.state_dict()})
    images = torch.rand(1, 3, 64, 64)
    assert torch.allclose(encoder(images), features(images)[-1], atol=1e-6)


def test_a_transformer_s_tokens_are_a_map_in_rows_and_columns():
    encoder, _ = create_model("timm/vit_tiny_patch16_224", pretrained=False)
    assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 192, 14, 14)


def test_maps_with_channels_last_are_turned():
    encoder, _ = create_model("timm/swin_tiny_patch4_window7_224", pretrained=False)
    assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 768, 7, 7)


def test_a_network_of_fixed_size_refuses_another_in_one_sentence():
    encoder, _ = create_model("timm/vit_tiny_patch16_224", pretrained=False)
    with pytest.raises(CrossbandError, match=r"images of 96x96 .*--size"):
        encoder(torch.zeros(1, 3, 96, 96))


def test_the_statistics_are_those_of_timm():
    encoder, _ = create_model("timm/vit_tiny_patch16_224", pretrained=False)
    assert encoder.statistics.mean == (0.5, 0.5, 0.5)


def test_weights_come_as_safetensors_from_the_hub_and_the_licence_is_known():
    entry = timm_entry("timm/resnet10t.c3_in1k")
    assert entry.weights is not None
    assert entry.weights.hub == ("timm/resnet10t.c3_in1k", "model.safetensors")
    assert entry.licence == "apache-2.0"


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(CrossbandError, match=r"timm has no model 'resnet5O'; the nearest are .*resnet50"):
        timm_entry("timm/resnet5O")


def test_missing_weights_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CrossbandError, match=r"no weights for resnet10t.*--weights"):
        create_model("timm/resnet10t", weights=tmp_path)
