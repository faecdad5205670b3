"""What holds of every registered segmentation network; a new one is tested by being registered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossband.errors import CrossbandError
from crossband.export import onnx_session, write_onnx
from crossband.losses.segmentation import SegmentationLoss
from crossband.models import create_segmenter, list_segmenters
from crossband.models._segmentation import count_segmenter, find_segmenter
from crossband.nn.counting import count_cost, thop_operations
from crossband.nn.encoder import count_parameters
from crossband.nn.heads import HasHeads, WithHeads
from crossband.nn.reparam import deploy
from crossband.nn.tuning import FixedDepthwise

NAMES = [info.name for info in list_segmenters()]
# what makes a network small enough to be trained and exported here; the same code runs
SMALL: dict[str, dict[str, Any]] = {
    "rsfnet": {"first": "resnet18", "second": "resnet18", "widths": [16, 16, 16, 16], "reduced": 8},
    **{name: {"encoder": "resnet18"} for name in ("egfnet", "mtanet", "abmdrnet")},
    "cmx_b2": {"encoder": "mit_b0", "width": 16},
    "dformer_t": {"width": 16, "scale": 0.1},
}
# the same as one that is tried, but for depth
LARGE = (
    "cmx_b4",
    "dformer_s",
    "dformer_b",
    "dformer_l",
    "rtfnet34",
    "rtfnet50",
    "rtfnet101",
    "rtfnet152",
    "rsfnet50_18",
    "rsfnet101_34",
    "rsfnet161_121",
    "fuseseg",
    "pspnet50",
    "pspnet101",
    "dfn101",
    "caanet101",
    "hrnet48",
    "deeplabv3plus101",
    "erfnet_pst900",
    "frrn_a",
)
TRIED = [name for name in NAMES if name not in LARGE]
QUICK = ("mfnet", "rsfnet", "band_fusion")  # one of each kind stands for all in the fast suite
MARKED = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in TRIED]


def small(name: str, bands: tuple[str, ...] = ("rgb", "tir"), **options: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_segmenter(name, 5, bands, options=SMALL.get(name, {}) | options)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_of_a_new_network_learns_but_for_fixed_depthwise_kernels(name):
    with torch.device("meta"):
        network = create_segmenter(name)
    fixed = {id(p) for m in network.modules() if isinstance(m, FixedDepthwise) for p in m.parameters()}
    assert [key for key, p in network.named_parameters() if not (p.requires_grad or id(p) in fixed)] == []


@pytest.mark.slow
@pytest.mark.parametrize(("sgd", "clip"), [(False, 0.0), (True, 1.0)], ids=["its recipe", "sgd, clipped"])
def test_egfnet_learns_by_its_recipe_and_by_clipped_sgd(sgd, clip):
    network = small("egfnet", auxiliary=True).train()
    criterion = SegmentationLoss(None, heads=network.heads)
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    if sgd:
        optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(2, 4, 64, 64)
    labels = torch.randint(0, 5, (2, 8, 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    losses = []
    for _ in range(14):
        logits, sides = network.with_heads(images)
        loss = criterion(logits, labels, sides)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip or math.inf)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert max(losses[-3:]) < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", MARKED)
def test_a_network_learns_folds_exports_and_reads_any_size(name, tmp_path):
    """One training step with all its heads, then ONNX and folding with parity, at a size no stride divides."""
    heads = "auxiliary" in find_segmenter(name).options
    network = small(name, auxiliary=True) if heads else small(name)
    size = (64, 96) if name.startswith("deeplab") else (90, 110)  # the library's network wants multiples of 16
    images, labels = torch.rand(2, 4, *size), torch.randint(0, 5, (2, *size))
    network.requires_grad_(True).train()
    if isinstance(network, HasHeads):
        logits, further = network.with_heads(images)
        assert set(network.heads) == set(further)
        wanted = torch.tensor([[0.9, 0.1], [0.3, 0.5]])
        loss = SegmentationLoss(None, heads=network.heads)(logits, labels, further, wanted)
    else:
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
    assert logits.shape == (2, 5, *size)
    loss.backward()
    fixed = {id(p) for m in network.modules() if isinstance(m, FixedDepthwise) for p in m.parameters()}
    learned = [(n, p) for n, p in network.named_parameters() if id(p) not in fixed]
    assert learned
    assert [n for n, p in learned if p.grad is None or not bool(p.grad.isfinite().all())] == []
    network.eval().requires_grad_(False)
    deployed = deploy(network, torch.rand(1, 4, 64, 64))
    assert norms(deployed) < max(norms(network), 1)  # one of them comes without norms
    with torch.inference_mode():
        plain, quick = network(images[:1]), deployed(images[:1])
    scale = float(plain.abs().max())
    assert float((plain - quick).abs().max()) < 1e-3 * scale
    pytest.importorskip("onnxruntime", reason="export is an extra: crossband[export]")
    session = onnx_session(write_onnx(deployed, images[:1], tmp_path / "network.onnx"))
    [exported] = session.run(None, {"images": images[:1].numpy()})
    assert np.abs(exported - quick.numpy()).max() < 1e-3 * scale


def norms(network: torch.nn.Module) -> int:
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", MARKED)
def test_what_a_network_gives_depends_on_both_bands(name):
    network = small(name)
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


# name, options, classes, bands: parameters, to the last one; see docs/segmentation.md for where the facts are
# from
EXACT: list[tuple[str, dict[str, Any], int, int, int]] = [
    ("frrn_a", {}, 17_747_449, 17_746_249, 17_747_253),
    ("frrn_b", {}, 24_756_345, 24_755_145, 24_756_149),
    ("pspnet101", {}, 65_702_921, 65_702_345, 65_700_869),
    ("pspnet101", {"auxiliary": True}, 68_065_042, 68_064_466, 68_061_962),
    ("bisenetv1", {}, 12_899_785, 12_893_513, 12_899_525),
    ("bisenetv1", {"auxiliary": True}, 13_495_259, 13_488_987, 13_492_943),
    ("bisenetv2", {}, 3_349_097, 3_348_377, 3_344_997),
    ("bisenetv2", {"auxiliary": True}, 5_208_317, 5_207_597, 5_198_761),
    ("dfn101", {"auxiliary": True}, 88_390_344, 88_389_768, 87_987_704),
    ("caanet101", {}, 66_913_443, 66_913_155, 66_909_339),
    ("caanet101", {"auxiliary": True}, 69_275_564, 69_275_276, 69_270_432),
    ("erfnet", {}, 2_063_621, 2_063_541, 2_063_361),
    ("erfnet_pst900", {"auxiliary": True}, 2_919_822, 2_919_742, 2_919_046),
    ("egfnet", {"auxiliary": True}, 62_776_692, 0, 62_771_092),
    ("abmdrnet", {}, 64_602_944, 0, 64_602_688),
    ("fuseseg", {}, 141_521_097, 0, 141_519_557),
    ("pstnet", {}, 19_868_788, 0, 19_867_592),
    ("mffenet", {}, 18_735_969, 0, 18_733_405),
    ("mtanet", {"auxiliary": True}, 121_562_701, 0, 0),
    ("hrnet48", {}, 65_852_745, 0, 0),
    ("dformer_t", {}, 5_988_009, 0, 5_985_957),
    ("dformer_s", {}, 18_731_241, 0, 18_729_189),
    ("dformer_b", {}, 29_508_937, 0, 29_506_885),
    ("dformer_l", {}, 39_014_489, 0, 39_012_437),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "four", "three", "pst900"), EXACT)
def test_exact_parameters_of_nine_classes_of_rgb_alone_and_of_five(name, options, four, three, pst900):
    for wanted, classes, bands in (
        (four, 9, ("rgb", "tir")),
        (three, 9, ("rgb",)),
        (pst900, 5, ("rgb", "tir")),
    ):
        if wanted:
            assert count_parameters(on_paper(name, classes, bands, **options)) == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "thop"),
    [
        ("mfnet", 8.42),
        ("rtfnet152", 336.69),
        ("frrn_a", 289.4),
        ("frrn_b", 291.6),
        ("pspnet101", 307.36),
        ("bisenetv1", 15.72),
        ("bisenetv2", 14.48),
        ("caanet101", 324.4),
        ("erfnet", 17.42),
        ("pstnet", 130.34),
        ("fuseseg", 192.97),
        ("abmdrnet", 194.81),
        ("mffenet", 94.61),
        ("egfnet", 201.00),
        ("mtanet", 264.21),
    ],
)
def test_thop_figures_of_the_deployed_networks_or_with_the_heads_that_papers_count(name, thop):
    """EGFNet's and MTANet's published figures are with their side outputs."""
    sides = name in ("egfnet", "mtanet")
    network = on_paper(name, **({"auxiliary": True} if sides else {}))
    cost = count_cost(WithHeads(network) if sides else network, 1, 4, 480, 640)
    assert cost.thop_g == pytest.approx(thop, abs=0.0051 if thop < 280 else 0.051)


@pytest.mark.slow
def test_the_border_net_of_dfn_is_what_the_figures_with_and_without_it_differ_by():
    network = on_paper("dfn101", auxiliary=True)
    assert count_parameters(network) - count_parameters(network.border) == 88_237_400


def test_why_thop_printed_more_for_pstnet():
    """Table III's 31.04 M and 163.64 G: its ResNet, registered twice, has its parameters counted twice and, as
    each registration hooks it once more, its operations four times; on an RGB part of 5 classes whatever the
    dataset."""
    network = on_paper("pstnet")
    with torch.device("meta"):
        five = torch.nn.Conv2d(64, 5, 1)
        network.color.head = five
        network.fusion.encoder_blocks[0].convolution = torch.nn.Conv2d(9, 32 - 9, 3, 2, 1)
    twice = network.color.encoder
    assert (count_parameters(network) + count_parameters(twice)) / 1e6 == pytest.approx(31.0447, abs=6e-5)
    images = torch.zeros(1, 3, 480, 640, device="meta")
    again = thop_operations(torch.nn.Sequential(*twice).eval(), images)
    assert count_cost(network, 1, 4, 480, 640).thop_g + 3 * again / 1e9 == pytest.approx(163.6356, abs=6e-5)


def on_paper(
    name: str, classes: int = 9, bands: tuple[str, ...] = ("rgb", "tir"), **options: Any
) -> torch.nn.Module:
    """The network without memory behind it."""
    with torch.device("meta"):
        return create_segmenter(name, classes, bands, options=options)


def test_what_is_wrong_is_named():
    with pytest.raises(
        CrossbandError, match=r"unknown segmentation network 'rsfnet50'; did you mean .*rsfnet50_18"
    ):
        create_segmenter("rsfnet50")
    with pytest.raises(
        CrossbandError, match="unknown option of rsfnet50_18 'kernel'; did you mean kernel_size"
    ):
        create_segmenter("rsfnet50_18", options={"kernel": 3})
    with pytest.raises(CrossbandError, match="mfnet fuses at least two bands"):
        create_segmenter("mfnet", bands=["rgb"])
    with pytest.raises(CrossbandError, match="each once"):
        create_segmenter("mfnet", bands=["rgb", "rgb"])
    with pytest.raises(CrossbandError, match="at least two classes"):
        create_segmenter("mfnet", classes=1)
