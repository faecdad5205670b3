from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from crossband.models import create_encoder, find_model
from crossband.models._segmentation import create_stages
from crossband.nn.stages import Stages, stage_layers, widen_input

CHANNELS = {
    "resnet18": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
    "densenet121": (256, 512, 1024, 1024),
    "densenet161": (384, 768, 2112, 2208),
    "vgg16": (128, 256, 512, 512),
    "vgg19": (128, 256, 512, 512),
    "mobilenet_v2": (24, 32, 96, 320),
    "squeezenet1_0": (256, 512, 512, 512),
    "squeezenet1_1": (128, 256, 512, 512),
    "efficientnet_lite0": (24, 40, 112, 320),
    "timm/test_resnet": (32, 48, 192, 96),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_four_maps_at_strides_4_to_32(name):
    with torch.device("meta"), torch.inference_mode():
        stages, _ = create_stages(name)
        maps = stages.eval()(torch.zeros(1, 3, 64, 96))
    assert stages.channels == CHANNELS[name]
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // stride, 96 // stride) for c, stride in zip(CHANNELS[name], (4, 8, 16, 32), strict=True)
    ]


def test_the_stages_are_the_network_itself():
    torch.manual_seed(0)
    encoder = create_encoder("resnet18", pretrained=False)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        wanted = [encoder(x, layer) for layer in stage_layers("resnet18")]
        got = Stages(encoder.body, stage_layers("resnet18")).eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet_s_maps_are_as_large_as_a_resnet_s_at_any_size(name):
    with torch.device("meta"), torch.inference_mode():
        stages, resnet = (create_stages(encoder)[0].eval() for encoder in (name, "resnet18"))
        for size in ((64, 96), (65, 91), (70, 103)):
            images = torch.zeros(1, 3, *size)
            assert [m.shape[2:] for m in stages(images)] == [m.shape[2:] for m in resnet(images)]


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_squeezenet_s_stages_have_its_weights(name, tmp_path, monkeypatch):
    torch.manual_seed(0)
    body = find_model(name).build().body
    save_file(body.state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(tmp_path))
    loaded, digest = create_stages(name, pretrained=True)
    assert digest
    wanted = [value for key, value in body.state_dict().items() if key.startswith("features.")]
    assert all(torch.equal(a, b) for a, b in zip(wanted, loaded.state_dict().values(), strict=True))


def test_further_channels_start_from_the_mean_of_the_three():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False))
    old = network[0].weight.clone()
    new = widen_input(network, 5)[0].weight
    assert torch.equal(new[:, :3], old)
    assert torch.allclose(new[:, 3:], old.mean(1, keepdim=True).expand(-1, 2, -1, -1))
    assert widen_input(network, 5)[0].weight is new


def whole_numbers(*shape: int) -> torch.Tensor:
    """Small ones, whose sums are exact in whatever order they are added."""
    return torch.randint(-4, 5, shape).float()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
@pytest.mark.parametrize("size", [(64, 64), (33, 48), (47, 31)])
def test_a_widened_layer_is_the_one_it_was_where_further_channels_count_for_nothing(name, size):
    """TensorFlow's same padding depends on the size; a plain convolution in its place shifts the maps."""
    torch.manual_seed(0)
    body = create_encoder(name, pretrained=False).body
    first = next(m for m in body.modules() if isinstance(m, nn.Conv2d))
    first.weight.data = whole_numbers(*first.weight.shape)
    widen_input(body, 5)
    wider = next(m for m in body.modules() if isinstance(m, nn.Conv2d))
    assert type(wider) is type(first)
    assert wider is not first
    assert wider.in_channels == 5
    assert first.in_channels == 3
    wider.weight.data[:, 3:] = 0
    images = whole_numbers(2, 5, *size)
    with torch.inference_mode():
        assert torch.equal(wider(images), first(images[:, :3]))


def test_a_widened_layer_keeps_its_bias_and_learns():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)).requires_grad_(False)
    bias = network[0].bias.clone()
    wider = widen_input(network, 4)[0]
    assert torch.equal(wider.bias, bias)
    assert all(p.requires_grad for p in wider.parameters())


@pytest.mark.parametrize("channels", [4, 5])
def test_a_lite_encoder_of_further_bands_has_maps_of_the_same_sizes(channels):
    with torch.device("meta"), torch.inference_mode():
        stages, _ = create_stages("efficientnet_lite0", channels)
        maps = stages.eval()(torch.zeros(1, channels, 64, 96))
    assert [m.shape[-2:] for m in maps] == [(64 // s, 96 // s) for s in (4, 8, 16, 32)]
