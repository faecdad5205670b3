"""An encoder is its network up to a layer: the same numbers, and nothing behind it is run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from crossband.errors import CrossbandError
from crossband.models import create_encoder
from crossband.nn import Encoder
from crossband.nn.encoder import as_map, count_parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("squeezenet1_1", "features.10"),
        ("mobilenet_v2", "features.13"),
        ("resnet18", "layer2.1"),
    ],
)
def test_a_cut_gives_what_torchvision_s_feature_extractor_gives(name, layer):
    torch.manual_seed(0)
    body = torchvision.models.get_model(name, weights=None).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        expected = create_feature_extractor(body, {layer: "map"})(images)["map"]
        assert torch.equal(Encoder(body, "features")(images, layer), expected)


class Trap(nn.Module):
    """A layer that must not be run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a layer behind the cut was run")


def test_layers_behind_the_cut_are_not_run():
    encoder = Encoder(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Trap()), "1")
    assert encoder(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8)


def test_nothing_is_left_on_the_network_after_a_pass():
    encoder = Encoder(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), "0")
    encoder(torch.zeros(1, 3, 8, 8))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_threads_may_run_one_encoder_at_once():
    encoder = create_encoder("squeezenet1_1", pretrained=False)
    images = torch.rand(8, 1, 3, 64, 64)
    expected = [encoder(image, "features.6") for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: encoder(image, "features.6"), images))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_tokens_become_a_square_map_without_their_leading_extras():
    grid = torch.arange(2 * 9 * 4.0).reshape(2, 9, 4)
    tokens = torch.cat([torch.full((2, 1, 4), -1.0), grid], 1)
    maps = as_map(tokens, "blocks")
    assert maps.shape == (2, 4, 3, 3)
    assert torch.equal(maps[1, :, 2, 0], grid[1, 6])
    assert torch.equal(as_map(grid, "blocks")[0, :, 0, 1], grid[0, 1])


def test_a_vector_is_a_map_of_one_position_and_other_outputs_are_refused():
    assert as_map(torch.zeros(2, 7), "pool").shape == (2, 7, 1, 1)
    for output in ((torch.zeros(1), torch.zeros(1)), torch.zeros(3), None):
        with pytest.raises(CrossbandError, match="block"):
            as_map(output, "block")


def test_channels_last_networks_give_channels_first_maps():
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.movedim(1, -1)

    images = torch.rand(2, 3, 4, 6)
    assert torch.equal(Encoder(nn.Sequential(Last()), "0", channels_last=True)(images), images)


def test_parameters_are_counted_without_buffers():
    assert count_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))) == 3 * 4 + 4 + 8
