"""A quick copy of an encoder gives the encoder's maps, and leaves it alone."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from crossband.models import create_encoder
from crossband.nn import Encoder
from crossband.nn.quick import quick_copy


def resnet18() -> Encoder:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return Encoder(net, "layer2").eval()


def encoders() -> dict[str, Encoder]:
    found = {name: create_encoder(name, pretrained=False) for name in ("squeezenet1_1", "efficientnet_lite0")}
    return {**found, "resnet18": resnet18()}


def same(one: torch.Tensor, other: torch.Tensor, share: float) -> bool:
    return bool((one.float() - other).norm() <= share * other.norm())


def test_a_quick_copy_has_the_same_maps_at_every_size_and_leaves_the_encoder_alone():
    for name, encoder in encoders().items():
        before = {key: value.clone() for key, value in encoder.state_dict().items()}
        quick = quick_copy(encoder, None, torch.rand(2, 3, 64, 64))
        assert quick is not encoder, name
        with torch.inference_mode():
            for shape in ((2, 64, 64), (1, 64, 64), (1, 65, 70), (3, 67, 64), (1, 64, 71), (2, 66, 65)):
                images = torch.rand(shape[0], 3, *shape[1:])  # more sizes than weights are laid out for
                assert same(quick(images), encoder(images), 1e-4), (name, shape)
        assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_batchnorms_behind_a_convolution_are_gone_from_a_quick_copy():
    quick = quick_copy(resnet18(), "layer2", torch.rand(1, 3, 64, 64))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in quick.body.layer1.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in quick.body.layer3.modules())  # behind the cut


def test_a_copy_in_bfloat16_is_near_and_the_encoder_stays_in_float32():
    encoder, images = resnet18(), torch.rand(1, 3, 64, 64)
    quick = quick_copy(encoder, None, images, torch.bfloat16)
    with torch.inference_mode():
        maps = quick(images)
        assert maps.dtype == torch.bfloat16
        assert same(maps, encoder(images), 0.05)
        assert encoder(images).dtype == torch.float32


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (8, 5, 2), (7, 5, 3), (8, 3, 1)])
def test_tensorflows_padding_is_kept(size, kernel, stride):
    from crossband.models.efficientnet_lite import Conv2dSame

    encoder = Encoder(nn.Sequential(Conv2dSame(4, 6, kernel, stride), nn.ReLU6()), "1").eval()
    images = torch.randn(2, 4, size, size + 1)
    quick = quick_copy(encoder, None, images)
    assert quick is not encoder
    with torch.inference_mode():
        assert torch.allclose(quick(images), encoder(images), atol=1e-5)


def test_a_network_that_cannot_be_copied_is_returned_itself():
    class Mixed(nn.Module):
        """A network that adds float32 to whatever it computes in."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.out = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.conv(images)
            return self.out(maps.flatten(2) @ torch.eye(maps[0, 0].numel()))

    encoder = Encoder(Mixed(), "out").eval()
    assert quick_copy(encoder, None, torch.rand(1, 3, 4, 4), torch.bfloat16) is encoder
