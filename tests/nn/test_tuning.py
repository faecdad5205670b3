"""What makes an encoder quick to fine-tune changes nothing of what it says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.errors import CrossbandError
from crossband.models import create_encoder
from crossband.nn.tuning import FixedDepthwise, fix_depthwise, fold_norms


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v2"])
def test_a_folded_and_fixed_encoder_gives_the_maps_of_the_plain_one(name):
    torch.manual_seed(0)
    encoder = create_encoder(name, pretrained=False)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that are not those of a new layer
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        before = encoder(images)
        after = type(encoder)(fix_depthwise(fold_norms(encoder.body)), encoder.default_layer)(images)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_through_a_fixed_depthwise_convolution_is_that_of_a_plain_one(stride):
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 6, 3, stride, 1, groups=6)
    images = torch.rand(2, 6, 9, 12, requires_grad=True)
    (wanted,) = torch.autograd.grad(plain(images).square().sum(), images)
    fixed = fix_depthwise(nn.Sequential(plain))
    assert isinstance(fixed[0], FixedDepthwise)
    (found,) = torch.autograd.grad(fixed(images).square().sum(), images)
    torch.testing.assert_close(found, wanted)


def test_a_norm_that_follows_no_convolution_is_refused():
    with pytest.raises(CrossbandError, match="BatchNorm"):
        fold_norms(nn.Sequential(nn.BatchNorm2d(3)))
