"""A place recognizer is an encoder and an aggregator, and only what it depends on is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.errors import CrossbandError
from crossband.models.place_recognizer import create_place_recognizer

SIZE = (64, 64)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize("aggregator", ["gem", "netvlad", "mixvpr"])
@pytest.mark.parametrize(
    ("encoder", "layer"), [("squeezenet1_1", "features.6"), ("resnet18", None), ("mobilenet_v2", "features.7")]
)
def test_any_encoder_goes_with_any_aggregator(encoder, layer, aggregator, images):
    torch.manual_seed(0)
    model, _ = create_place_recognizer(encoder, aggregator, layer=layer, pretrained=False)
    out = model(images)
    assert out.shape == (2, model.dim)
    assert torch.allclose(out.norm(dim=1), torch.ones(2), atol=1e-5)


def test_every_trained_parameter_gets_a_gradient_and_none_lies_behind_the_cut(images):
    model, _ = create_place_recognizer("resnet18", layer="layer2", pretrained=False)
    model.set_trainable(SIZE)
    model(images).square().cumsum(1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert parameter.requires_grad == (not name.startswith(("encoder.body.layer3", "encoder.body.layer4")))


def test_training_may_start_at_a_layer():
    model, _ = create_place_recognizer("resnet18", layer="layer3", pretrained=False)
    everything = model.set_trainable(SIZE)
    assert model.set_trainable(SIZE, "layer3") < everything
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.startswith(("encoder.body.layer3", "aggregator")) for name in trained)
    with pytest.raises(CrossbandError, match="layer4"):
        model.set_trainable(SIZE, "layer4")


def test_batchnorm_keeps_its_statistics_unless_asked_otherwise(images):
    for frozen in (True, False):
        model, _ = create_place_recognizer("resnet18", pretrained=False, freeze_batchnorm=frozen)
        before = model.encoder.body.bn1.running_mean.clone()
        model.train()(images)
        assert model.training
        assert torch.equal(model.encoder.body.bn1.running_mean, before) == frozen
        model.eval()
        assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_local_features_are_columns_of_the_map(images):
    model, _ = create_place_recognizer("squeezenet1_1", layer="features.4", pretrained=False)
    columns = model.encoder(images, "features.4").flatten(2)
    found = model.local_features(images, 5, torch.Generator().manual_seed(0))
    assert found.shape == (10, columns.shape[1])
    for i, vector in enumerate(found):
        distances = (columns[i // 5] - vector[:, None]).norm(dim=0)
        assert distances.min() < 1e-6
