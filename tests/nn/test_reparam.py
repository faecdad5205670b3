"""One convolution in place of many changes nothing, whatever the kernel, stride, dilation and groups."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from crossband.errors import CrossbandError
from crossband.models import create_segmenter
from crossband.nn.reparam import (
    MultiBranchConv2d,
    conv_batchnorm,
    deploy,
    fold_batchnorms,
    fused_kernel,
    reparameterize,
)


def trained(module: nn.Module) -> nn.Module:
    """With BatchNorm statistics and affine parameters as training leaves them: none is 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.5, generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            part.weight.data.uniform_(-1.5, 1.5, generator=generator)
            part.bias.data.normal_(0, 0.5, generator=generator)
    return module.eval()


CASES = list(itertools.product((1, 3, 5, 7, 9), (1, 2), (1, 2, 3), (1, 2, 4)))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_branches_equal_their_one_convolution(dtype, most):
    torch.manual_seed(0)
    for kernel, stride, dilation, groups in CASES:
        block = trained(MultiBranchConv2d(8, kernel, stride, dilation, groups)).to(dtype)
        x = torch.randn(2, 8, 13, 11, dtype=dtype)
        with torch.no_grad():
            wanted, got = block(x), block.fused()(x)
        assert got.shape == wanted.shape == (2, 8, -(-13 // stride), -(-11 // stride))
        off = float((got - wanted).abs().max())
        assert off < most * max(1.0, float(wanted.abs().max())), (kernel, stride, dilation, groups)


def test_the_border_is_exact_too():
    """A series with padding between its two convolutions would differ here and nowhere else."""
    block = trained(MultiBranchConv2d(4, 5)).double()
    x = torch.zeros(1, 4, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(block(x), block.fused()(x), atol=1e-12)


def test_a_convolution_and_its_batchnorm_equal_the_kernel():
    part = trained(conv_batchnorm(3, 5, 3, padding=1)).double()
    weight, bias = fused_kernel(part[0], part[1])
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(nn.functional.conv2d(x, weight, bias, padding=1), part(x), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_whole_network_gives_the_same_and_stays_as_it_was(dtype, most):
    torch.manual_seed(0)
    options = {"first": "resnet18", "second": "resnet18", "widths": [16, 16, 16, 16], "reduced": 8}
    network = create_segmenter("rsfnet", options=options)
    network.to(dtype)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deployed = reparameterize(network)
    x = torch.rand(1, 4, 64, 96, dtype=dtype)
    with torch.no_grad():
        assert float((deployed(x) - network(x)).abs().max()) < most
    assert not any(isinstance(m, MultiBranchConv2d) for m in deployed.modules())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


class _Shared(nn.Module):
    """Its convolution's output is read by BatchNorm and by the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.convolution(x)
        return made + self.norm(made)


@pytest.mark.slow
def test_batchnorm_is_folded_where_nothing_else_reads_the_convolution():
    example = torch.rand(1, 4, 64, 64)
    for name, left in (("rtfnet18", 10), ("mfnet", 0), ("rsfnet50_18", 0)):
        network = trained(create_segmenter(name)).double()
        deployed = deploy(network, example.double())
        norms = [m for m in deployed.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == left, name  # after transposed convolutions
        with torch.no_grad():
            wanted = network(example.double())
            off = (deployed(example.double()) - wanted).abs().max() / wanted.abs().max()
        assert float(off) < 1e-9
    with pytest.raises(CrossbandError):
        fold_batchnorms(trained(_Shared()), torch.rand(1, 3, 4, 4))
