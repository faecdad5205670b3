"""Every timm model with feature maps, by its name behind ``timm/``."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from crossband.errors import CrossbandError
from crossband.models import create_encoder
from crossband.models.timm_encoders import timm_entry
from crossband.nn.encoder import count_parameters
from crossband.weights import find_weights


@pytest.mark.parametrize("name", ["resnet10t", "tinynet_e"])
def test_the_default_layer_gives_timm_s_own_last_feature_map(name):
    torch.manual_seed(0)
    encoder = create_encoder(f"timm/{name}", pretrained=False)
    features = timm.create_model(name, pretrained=False, features_only=True).eval()
    state = encoder.body.state_dict()
    features.load_state_dict({key: state[key] for key in features.state_dict()})
    images = torch.rand(1, 3, 64, 64)
    assert torch.allclose(encoder(images), features(images)[-1], atol=1e-6)


def test_a_transformer_s_tokens_are_a_map_in_rows_and_columns():
    encoder = create_encoder("timm/vit_tiny_patch16_224", pretrained=False)
    assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 192, 14, 14)


@pytest.mark.slow
def test_maps_with_channels_last_are_turned():
    encoder = create_encoder("timm/swin_tiny_patch4_window7_224", pretrained=False)
    assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 768, 7, 7)


def test_the_statistics_are_those_of_timm():
    encoder = create_encoder("timm/vit_tiny_patch16_224", pretrained=False)
    assert encoder.statistics.mean == (0.5, 0.5, 0.5)


def test_weights_come_as_safetensors_from_the_hub_and_the_license_is_known():
    entry = timm_entry("timm/resnet10t.c3_in1k")
    assert entry.weights is not None
    assert entry.weights.hub == ("timm/resnet10t.c3_in1k", "model.safetensors")
    assert entry.license == "apache-2.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224", "tinynet_e"]
)
def test_the_classifier_is_no_part_of_an_encoder(name):
    encoder = create_encoder(f"timm/{name}", pretrained=False)
    with torch.device("meta"):
        body = timm.create_model(name, pretrained=False)
    body.reset_classifier(0)
    assert count_parameters(encoder) == count_parameters(body)


def test_a_whole_checkpoint_loads_and_one_without_its_classifier_does_not(tmp_path):
    state = timm.create_model("resnet10t", pretrained=False).state_dict()
    save_file(state, tmp_path / "whole.safetensors")
    encoder = create_encoder("timm/resnet10t", tmp_path / "whole.safetensors")
    assert torch.equal(encoder.body.conv1[0].weight, state["conv1.0.weight"])
    save_file({key: state[key] for key in state if not key.startswith("fc")}, tmp_path / "part.safetensors")
    with pytest.raises(CrossbandError, match=r"part\.safetensors"):
        create_encoder("timm/resnet10t", tmp_path / "part.safetensors")


@pytest.mark.slow
def test_a_network_of_several_branches_is_read_at_its_last_map(tmp_path):
    state = timm.create_model("hrnet_w18_small", pretrained=False).state_dict()
    save_file(state, tmp_path / "whole.safetensors")
    encoder = create_encoder("timm/hrnet_w18_small", tmp_path / "whole.safetensors")
    features = timm.create_model("hrnet_w18_small", pretrained=False, features_only=True).eval()
    features.load_state_dict({key: state[key] for key in features.state_dict()})
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(encoder(images), features(images)[-1], atol=1e-6)
    state.popitem()
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(CrossbandError, match=r"part\.safetensors"):
        create_encoder("timm/hrnet_w18_small", tmp_path / "part.safetensors")


def test_a_file_of_timm_s_own_goes_before_one_that_torchvision_may_have_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    source = timm_entry("timm/resnet18").weights
    (tmp_path / "resnet18.safetensors").touch()
    assert find_weights(source, tmp_path).name == "resnet18.safetensors"
    (tmp_path / "timm--resnet18.safetensors").touch()
    assert find_weights(source, tmp_path).name == "timm--resnet18.safetensors"
    with pytest.raises(CrossbandError, match=r"vgg11"):
        find_weights(timm_entry("timm/vgg11").weights, tmp_path)


def test_missing_weights_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CrossbandError, match=r"resnet10t"):
        create_encoder("timm/resnet10t", weights=tmp_path)
