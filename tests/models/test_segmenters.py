"""What holds of every registered segmentation network; a new one is tested by being registered."""

from __future__ import annotations

import pytest
import torch

from crossband.models import create_segmenter, list_segmenters
from crossband.models._segmentation import count_segmenter, find_segmenter
from crossband.nn.counting import count_cost
from crossband.nn.encoder import count_parameters

LARGE = (
    "rtfnet34",
    "rtfnet50",
    "rtfnet101",
    "rtfnet152",
    "rsfnet50_18",
    "rsfnet101_34",
    "rsfnet161_121",
    "fuseseg",
)
NAMES = [info.name for info in list_segmenters()]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGE])
def test_a_network_learns_and_gives_logits_of_the_images_size(name):
    torch.manual_seed(0)
    network, _ = create_segmenter(name, 5)
    network.requires_grad_(True).train()
    images = torch.rand(2, 4, 64, 96)
    logits = network(images)
    assert logits.shape == (2, 5, 64, 96)
    logits.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGE])
def test_what_a_network_gives_depends_on_both_bands(name):
    torch.manual_seed(0)
    network, _ = create_segmenter(name, 5)
    images = torch.rand(1, 4, 64, 64)
    with torch.inference_mode():
        whole = network(images)
        for channels in (slice(0, 3), slice(3, 4)):
            lost = images.clone()
            lost[:, channels] = 0
            assert not torch.allclose(network(lost), whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_has_the_parameters_that_it_says(name):
    assert find_segmenter(name).params == count_segmenter(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "millions", "thop"), [("mfnet", 0.736, 8.42), ("rtfnet152", 254.51, 336.69)])
def test_published_counts(name, millions, thop):
    with torch.device("meta"):
        network, _ = create_segmenter(name)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)
    assert count_cost(network, 1, 4, 480, 640).thop_g == pytest.approx(thop, rel=0.01)
