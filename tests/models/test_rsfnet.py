"""RSFNet against the counts of the paper's tables VI to XII, which are its specification."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crossband.models import create_segmenter
from crossband.nn.counting import count_cost
from crossband.nn.encoder import count_parameters

PLAIN = {"multi_branch": False}
COUNTS: list[tuple[float, dict[str, Any]]] = [
    (44.53, {}),
    (54.64, {"second": "resnet34"}),
    (57.71, {"second": "resnet50"}),
    (44.10, {"first": "densenet161", "second": "densenet121"}),
    (64.39, {"first": "densenet161", "second": "densenet161"}),
    (43.91, {"first": "vgg19", "second": "vgg16"}),
    (49.22, {"first": "vgg19", "second": "vgg19"}),
    (73.63, {"first": "resnet101", "second": "resnet34"}),
    (95.70, {"first": "resnet101", "second": "resnet101"}),
    (44.01, {"kernel_size": 3}),
    (45.32, {"kernel_size": 7}),
    (46.37, {"kernel_size": 9}),
    (43.78, {"reduced": 32}),
    (47.26, {"reduced": 128}),
    (57.63, {"reduced": 256}),
    (44.20, {"confident": False}),
    (43.11, {"confident": False, "fusion": "sum"}),
    (43.42, {"confident": False, "fusion": "concat"}),
]


def on_paper(name: str, options: dict[str, Any], bands: tuple[str, ...] = ("rgb", "tir")) -> torch.nn.Module:
    """The network without memory behind it."""
    with torch.device("meta"):
        return create_segmenter(name, 9, bands, options=options)[0]


@pytest.mark.parametrize(("millions", "options"), COUNTS)
def test_parameters_are_those_of_the_tables(millions, options):
    assert count_parameters(on_paper("rsfnet", PLAIN | options)) / 1e6 == pytest.approx(millions, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "mfnet", "pst900"),
    [
        ("rsfnet50_18", {}, 64.69, 194.56),
        ("rsfnet161_121", {}, 95.02, 284.75),
        ("rsfnet101_34", {}, 98.82, 297.04),
        ("rsfnet50_18", {"kernel_size": 9}, 76.39, 229.66),
        ("rsfnet50_18", {"reduced": 256}, 145.61, 437.39),
        ("rsfnet50_18", {"fusion": "sum"}, 58.60, 176.27),
        ("rsfnet50_18", {"fusion": "concat"}, 59.11, 177.81),
    ],
)
def test_thop_figures_are_those_of_the_tables(name, options, mfnet, pst900):
    network = on_paper(name, PLAIN | options)
    assert count_cost(network, 1, 4, 480, 640).thop_g == pytest.approx(mfnet, rel=0.005)
    assert count_cost(network, 1, 4, 720, 1280).thop_g == pytest.approx(pst900, rel=0.005)


def test_the_branches_cost_nothing_once_deployed():
    assert count_parameters(on_paper("rsfnet50_18", {})) > count_parameters(on_paper("rsfnet50_18", PLAIN))


SMALL = {"first": "resnet18", "second": "resnet18", "widths": [16, 16, 16, 16], "reduced": 8}


@pytest.mark.parametrize("fusion", ["rsf", "sum", "concat", "gma"])
def test_every_fusion_gives_logits_of_the_images_size(fusion):
    network, _ = create_segmenter("rsfnet", 5, options={**SMALL, "fusion": fusion})
    with torch.inference_mode():
        logits, trust = network.with_confidence(torch.rand(2, 4, 72, 100))
    assert logits.shape == (2, 5, 72, 100)
    assert trust.shape == (2, 2)


def test_one_band_leaves_out_the_other_encoder():
    """Table XIII: NTE keeps the RGB encoder, NRE the thermal one."""
    rgb, tir = (
        create_segmenter("rsfnet", 9, [band], options={**SMALL, "first": "resnet34"})[0]
        for band in ("rgb", "tir")
    )
    assert count_parameters(rgb) - count_parameters(tir) == pytest.approx(21.28e6 - 11.18e6, abs=0.02e6)
    with torch.inference_mode():
        assert rgb(torch.rand(1, 3, 64, 64)).shape == tir(torch.rand(1, 1, 64, 64)).shape == (1, 9, 64, 64)


def test_near_infrared_is_a_further_band_of_the_first_stream_or_a_stream():
    for bands, channels in ((("rgb", "nir", "tir"), 5), (("nir", "tir"), 2), (("rgb", "nir"), 4)):
        network, _ = create_segmenter("rsfnet", 9, bands, options=SMALL)
        with torch.inference_mode():
            assert network(torch.rand(1, channels, 64, 64)).shape == (1, 9, 64, 64)


def test_without_pseudo_labels_all_streams_are_trusted():
    network, _ = create_segmenter("rsfnet", options={**SMALL, "confident": False})
    with torch.inference_mode():
        assert network.with_confidence(torch.rand(2, 4, 64, 64))[1].tolist() == [[1.0, 1.0], [1.0, 1.0]]
