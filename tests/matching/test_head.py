"""The head of the local features: unit vectors, written and read again, and refused where it does not fit."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from crossband.errors import CrossbandError
from crossband.matching import LocalFeatures
from crossband.matching.head import LocalHead
from crossband.models import create_encoder
from crossband.nn import Encoder


@pytest.fixture
def head() -> LocalHead:
    torch.manual_seed(0)
    made = LocalHead(12, width=8, blocks=2, dim=4)
    for values in made.parameters():
        torch.nn.init.normal_(values, std=0.2)
    return made.eval()


def test_a_new_head_is_its_linear_part(head):
    new = LocalHead(12, width=8, blocks=2, dim=4)
    maps = torch.randn(2, 12, 5, 6)
    projected = torch.einsum("dc,bchw->bdhw", new.axes.weight[:, :, 0, 0], maps)
    with torch.inference_mode():
        assert torch.allclose(new(maps), torch.nn.functional.normalize(projected, dim=1), atol=1e-5)
        assert not torch.allclose(head(maps), new(maps), atol=1e-2)


def test_a_head_is_the_same_when_it_is_read_again(head, tmp_path):
    path = head.write(tmp_path / "head.safetensors", "a+b", steps=3)
    again, layers = LocalHead.read(path)
    maps = torch.randn(1, 12, 7, 5)
    with torch.inference_mode():
        assert torch.allclose(again(maps), head(maps), atol=5e-3)
    assert layers == "a+b"
    assert not again.training


def test_the_packaged_head_fits_the_default_encoder_and_no_other():
    head, layers = LocalHead.read()
    assert sum(values.numel() for values in head.parameters()) <= 1_000_000
    encoder = create_encoder("efficientnet_lite0")
    assert layers == "+".join(encoder.local_layers)
    assert LocalFeatures.of(encoder).head is not None
    plain = Encoder(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1)), "0", local_layers=("0",))
    assert LocalFeatures.of(plain).head is None
    with pytest.raises(CrossbandError, match="232 channels does not fit maps of 8"):
        LocalFeatures(plain, head=head)(torch.rand(1, 3, 32, 32))


def test_what_is_no_head_is_one_sentence(head, tmp_path):
    path = head.write(tmp_path / "head.safetensors", "a")
    tensors = load_file(path)
    bare = tmp_path / "bare.safetensors"
    save_file(tensors, bare)
    (tmp_path / "text.safetensors").write_text("no tensors")
    for name in ("bare", "text", "absent"):
        with pytest.raises(CrossbandError, match=name):
            LocalHead.read(tmp_path / f"{name}.safetensors")


def test_stored_features_of_another_head_are_not_taken_for_those_of_this_one():
    encoder = create_encoder("efficientnet_lite0")
    layers = encoder.local_layers
    torch.manual_seed(1)
    made = [LocalHead(232, width=8, blocks=1, dim=4), LocalHead(232, width=8, blocks=1, dim=4), None]
    names = {LocalFeatures(encoder, layers, one).identity for one in made}
    assert len(names) == 3
    assert LocalFeatures.of(encoder).identity not in names
    assert LocalFeatures.of(encoder).identity == LocalFeatures.of(encoder).identity
