from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.models import create_encoder
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


def test_further_channels_start_from_the_mean_of_the_three():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False))
    old = network[0].weight.clone()
    new = widen_input(network, 5)[0].weight
    assert torch.equal(new[:, :3], old)
    assert torch.allclose(new[:, 3:], old.mean(1, keepdim=True).expand(-1, 2, -1, -1))
    assert widen_input(network, 5)[0].weight is new
