"""Passes over a changed window give what whole passes give, whatever the network, and at every place."""

from __future__ import annotations

import itertools

import pytest
import timm
import torch
import torchvision
from torch import nn

from crossband.models import create_encoder
from crossband.nn import Encoder
from crossband.retrieval._occlusion.local import LocalPasses

WINDOW = (16, 16)


def encoders() -> dict[str, Encoder]:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None)
    found = {name: create_encoder(name, pretrained=False) for name in ("squeezenet1_1", "efficientnet_lite0")}
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


@pytest.mark.slow
def test_every_corner_gives_the_maps_of_whole_passes():
    image = torch.rand(3, 224, 256)
    corners = [(0, 0), (0, 240), (208, 0), (208, 240), (101, 77), (13, 130), (190, 64)]
    images = changed(image, corners)
    for name, encoder in encoders().items():
        layer = {"efficientnet_lite0": "blocks.4", "squeezenet1_1": "features.7"}.get(name, "layer2")
        with torch.inference_mode(), LocalPasses(encoder, layer, image, WINDOW, corners) as passes:
            assert passes.levels, name
            whole = encoder(images, layer)
            maps = passes(torch.full((1, 3, 1, 1), 0.3), corners)
            assert torch.allclose(maps, whole, atol=1e-5 * whole.abs().max().item()), name


@pytest.mark.slow
def test_a_window_alone_among_others_gives_what_it_gives_in_a_batch():
    image = torch.rand(3, 224, 224)
    corners = [(y, x) for y in range(0, 209, 26) for x in range(0, 209, 52)]
    contents = torch.rand(len(corners), 3, *WINDOW)
    encoder = encoders()["efficientnet_lite0"]
    with torch.inference_mode(), LocalPasses(encoder, "blocks.3", image, WINDOW, corners) as passes:
        together = passes(contents, corners)
        for group in passes.batches(corners, 3):
            found = passes(contents[group], [corners[position] for position in group])
            assert torch.allclose(found, together[group], atol=1e-5 * together.abs().max().item())
        assert sorted(itertools.chain(*passes.batches(corners, 3))) == list(range(len(corners)))


def test_crops_follow_what_changes_from_layer_to_layer():
    image, corner = torch.rand(3, 256, 256), (104, 120)
    levels = LocalPasses(encoders()["squeezenet1_1"], "features.7", image, WINDOW, [corner]).levels
    assert [level.stride for level in levels] == sorted(level.stride for level in levels)
    sizes = [level.needed[0][corner[0]] for level in levels]
    assert sizes[0][1] - sizes[0][0] <= 32
    for level, (start, stop) in zip(levels, sizes, strict=True):
        low, high = level.changed[0][corner[0]]
        assert start <= low * level.stride
        assert high * level.stride <= stop
    assert all(after[0] <= before[0] for before, after in itertools.pairwise(sizes))


@pytest.mark.slow
def test_what_a_level_says_is_changed_is_all_that_changes():
    image, corners = torch.rand(3, 224, 224), [(0, 0), (90, 133), (208, 17)]
    for name, encoder in encoders().items():
        layer = {"efficientnet_lite0": "blocks.3", "squeezenet1_1": "features.7"}.get(name, "layer2")
        for level in LocalPasses(encoder, layer, image, WINDOW, corners).levels:
            with torch.no_grad():
                apart = (
                    encoder(changed(image, corners), level.layer) - encoder(image[None], level.layer)
                ).abs()
            for one, (y, x) in zip(apart, corners, strict=True):
                (y0, y1), (x0, x1) = level.changed[0][y], level.changed[1][x]
                one[:, y0:y1, x0:x1] = 0
                assert one.max() < 1e-5, (name, level.layer)


def test_networks_that_look_everywhere_and_odd_sizes_are_passed_whole():
    body = timm.create_model("vit_tiny_patch16_224", img_size=96).eval()
    encoder, image = Encoder(body, "blocks.1"), torch.rand(3, 96, 96)
    corners = [(5, 5), (40, 60)]
    with torch.inference_mode(), LocalPasses(encoder, "blocks.1", image, WINDOW, corners) as passes:
        assert not passes.levels
        maps = passes(torch.full((1, 3, 1, 1), 0.3), corners)
        assert torch.allclose(maps, encoder(changed(image, corners), "blocks.1"), atol=1e-4)
    squeeze = encoders()["squeezenet1_1"]
    assert LocalPasses(squeeze, "features.7", torch.rand(3, 250, 256), WINDOW, corners).levels == []
