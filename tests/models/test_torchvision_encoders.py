"""The paper's networks: the parameter counts of its table 4, and keys of published checkpoints."""

from __future__ import annotations

import math
import re

import pytest
import torch

from crossband.data.preprocess import IMAGENET
from crossband.models import create_encoder, list_models
from crossband.models._registry import find_model
from crossband.models.torchvision_encoders import rename_dense_layers
from crossband.papers.rgbt_retrieval import PARAMETERS


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_without_the_classifier_are_table_4_cut_to_two_decimals(name):
    params_m = list_models(name)[0].params_m
    assert math.floor(params_m * 100) / 100 == PARAMETERS[name]


def test_the_default_layer_is_the_last_feature_map():
    images = torch.rand(1, 3, 64, 64)
    encoder = create_encoder("squeezenet1_1", pretrained=False)
    assert torch.equal(encoder(images), encoder.body.features(images))
    resnet = create_encoder("resnet18", pretrained=False)
    assert resnet(images).shape == (1, 512, 2, 2)


def test_densenet_s_published_keys_are_renamed_to_the_network_s_own(tmp_path):
    encoder = find_model("densenet121").build()
    own = encoder.body.state_dict()
    assert rename_dense_layers(own, encoder).keys() == own.keys()  # which are left alone when there already
    published = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): v for key, v in own.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    assert rename_dense_layers(published, encoder).keys() == own.keys()
    torch.save(published, tmp_path / "densenet121.pth")
    loaded = create_encoder("densenet121", weights=tmp_path)
    assert torch.equal(
        loaded.body.features.denseblock1.denselayer1.norm1.weight,
        own["features.denseblock1.denselayer1.norm1.weight"],
    )


def test_networks_expect_imagenet_s_statistics_unless_their_file_is_known_to_differ(monkeypatch, tmp_path):
    encoder = create_encoder("squeezenet1_1", pretrained=False)
    assert encoder.statistics == IMAGENET
    known = find_model("squeezenet1_1").known_files
    assert known
    path = tmp_path / "squeezenet1_1.pth"
    torch.save(find_model("squeezenet1_1").build().body.state_dict(), path)
    monkeypatch.setattr("crossband.models._registry.file_digest", lambda _: next(iter(known)))
    assert create_encoder("squeezenet1_1", weights=path).statistics == next(iter(known.values()))
