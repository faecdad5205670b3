"""Passes over a changed window give what whole passes give, whatever the network, and at every place."""

from __future__ import annotations

import timm
import torch
import torchvision
from torch import nn

from crossband.models import create_model
from crossband.nn import Encoder
from crossband.nn.local import LocalPasses
from crossband.nn.quick import quick_copy

WINDOW = (16, 16)


def encoders() -> dict[str, Encoder]:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None)
    found = {name: create_model(name, pretrained=False)[0] for name in ("squeezenet1_1", "efficientnet_lite0")}
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return {**found, "resnet18": Encoder(net, "layer2").eval()}


def changed(image: torch.Tensor, corners: list[tuple[int, int]]) -> torch.Tensor:
    images = image.repeat(len(corners), 1, 1, 1)
    for one, (y, x) in zip(images, corners, strict=True):
        one[:, y : y + WINDOW[0], x : x + WINDOW[1]] = 0.3
    return images


def test_every_corner_gives_the_maps_of_whole_passes():
    image = torch.rand(3, 224, 256)
    corners = [(0, 0), (0, 240), (208, 0), (208, 240), (101, 77), (13, 130), (190, 64)]
    images = changed(image, corners)
    for name, encoder in encoders().items():
        layer = {"efficientnet_lite0": "blocks.4", "squeezenet1_1": "features.7"}.get(name, "layer2")
        with torch.inference_mode(), LocalPasses(encoder, layer, image, WINDOW) as passes:
            assert passes.levels, name
            whole = encoder(images, layer)
            assert torch.allclose(passes(images, corners), whole, atol=1e-5 * whole.abs().max().item()), name


def test_crops_are_smaller_than_the_image_and_nested():
    image = torch.rand(3, 256, 256)
    encoder = encoders()["squeezenet1_1"]
    levels = LocalPasses(encoder, "features.7", image, WINDOW).levels
    assert levels[0].size[0] <= 128
    assert [level.stride for level in levels] == sorted({level.stride for level in levels})
    assert [level.reach for level in levels] == sorted({level.reach for level in levels})


def test_networks_that_look_everywhere_and_odd_sizes_are_passed_whole():
    body = timm.create_model("vit_tiny_patch16_224", img_size=96).eval()
    encoder, image = Encoder(body, "blocks.1"), torch.rand(3, 96, 96)
    with torch.inference_mode(), LocalPasses(encoder, "blocks.1", image, WINDOW) as passes:
        assert not passes.levels
        images = changed(image, [(5, 5), (40, 60)])
        assert torch.allclose(passes(images, [(5, 5), (40, 60)]), encoder(images, "blocks.1"), atol=1e-4)
    squeeze = encoders()["squeezenet1_1"]
    assert LocalPasses(squeeze, "features.7", torch.rand(3, 250, 256), WINDOW).levels == []


def test_a_quick_copy_has_the_same_maps_and_leaves_the_encoder_alone():
    for name, encoder in encoders().items():
        before = {key: value.clone() for key, value in encoder.state_dict().items()}
        image = torch.rand(3, 96, 96)
        quick = quick_copy(encoder, None, image)
        assert quick is not encoder, name
        with torch.inference_mode():
            ours, theirs = quick(image[None]), encoder(image[None])
        assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max().item()), name
        assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_batchnorms_behind_a_convolution_are_gone_from_a_quick_copy():
    quick = quick_copy(encoders()["resnet18"], "layer2", torch.rand(3, 64, 64))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in quick.body.layer1.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in quick.body.layer3.modules())  # behind the cut
