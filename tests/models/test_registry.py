"""The registry: a name becomes a network, wrong weights never load, and every entry is described."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import save_file

from crossband.errors import CrossbandError
from crossband.models import _registry as registry
from crossband.models import create_encoder, list_models
from crossband.models._registry import count_size, find_model

NAMES = [info.name for info in list_models()]
HEAVY = (
    "vgg16",
    "densenet121",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "anythermal",
    "boq_dinov2",
    "boq_resnet50",
    "clip_vitb16",
    "dinov2_vitb14",
    "dinov2_vits14",
    "dinov3_vitb16",
    "imagebind",
    "megaloc",
    "mixvpr",
    "netvlad",
    "omnivore_swinb",
    "patch_netvlad",
    "r2former",
    "salad",
    "siglip_vitb16",
)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)


def test_the_models_of_the_paper_the_default_and_the_baseline_are_there():
    assert {
        "alexnet",
        "vgg16",
        "squeezenet1_0",
        "squeezenet1_1",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "mobilenet_v2",
        "densenet121",
        "efficientnet_lite0",
        "hog",
    } <= set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in HEAVY])
def test_every_model_maps_images_to_feature_maps_of_its_dim(name):
    encoder = create_encoder(name, pretrained=False)
    digest = encoder.digest
    info = list_models(name)[0]
    maps = encoder(torch.zeros(1, 3, 64, 64))
    assert maps.ndim == 4
    assert maps.shape[:2] == (1, info.dim)
    assert digest == ""
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.check_layer(None) in encoder.layers()


def test_every_model_says_its_task_license_and_source():
    for info in list_models():
        assert info.task
        assert info.license
        assert info.source
        assert info.params_m >= 0
        assert info.weights in ("here", "download", "absent")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_model_has_the_size_that_it_says(name):
    entry = find_model(name)
    assert (entry.params, entry.dim) == count_size(name)


def test_a_list_builds_no_network(monkeypatch):
    monkeypatch.setattr(registry, "count_size", lambda name: pytest.fail(f"{name} was built"))
    assert [info.name for info in list_models()] == NAMES


def test_a_pattern_chooses_models_by_name():
    assert [info.name for info in list_models("squeezenet*")] == ["squeezenet1_0", "squeezenet1_1"]
    assert list_models("nothing*") == []


def test_weights_of_another_network_are_refused_with_the_file_named(tmp_path):
    other = create_encoder("squeezenet1_0", pretrained=False)
    path = tmp_path / "squeezenet1_1.safetensors"
    save_file(other.body.state_dict(), path)
    with pytest.raises(CrossbandError, match=f"{re.escape(str(path))}"):
        create_encoder("squeezenet1_1", weights=tmp_path)


def test_weights_with_a_key_too_few_are_refused(tmp_path):
    state = find_model("squeezenet1_1").build().body.state_dict()
    state.popitem()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(CrossbandError, match=r"w\.safetensors"):
        create_encoder("squeezenet1_1", weights=tmp_path / "w.safetensors")


def test_the_weights_that_are_given_are_the_weights_that_run_and_their_hash_tells_them(tmp_path):
    digests = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        body = find_model("squeezenet1_1").build().body
        path = tmp_path / f"{seed}.safetensors"
        save_file(body.state_dict(), path)
        encoder = create_encoder("squeezenet1_1", weights=path)
        digest = encoder.digest
        assert torch.equal(encoder.body.features[0].weight, body.features[0].weight)
        digests.add(digest)
    assert len(digests) == 2


def test_missing_weights_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CrossbandError, match=r"resnet18"):
        create_encoder("resnet18")


def test_whether_weights_are_here_is_told_without_loading_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert list_models("resnet18")[0].weights == "download"
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(tmp_path))
    (tmp_path / "resnet18.pth").touch()
    assert list_models("resnet18")[0].weights == "here"
    assert list_models("hog")[0].weights == "here"


def test_the_classifier_is_no_part_of_an_encoder():
    encoder = create_encoder("resnet18", pretrained=False)
    assert isinstance(encoder.body.fc, torch.nn.Identity)
