"""Every aggregator and pooling gives the same vector in each dtype on each device."""

from __future__ import annotations

import pytest
import torch

from crossband.nn import Pooling
from crossband.nn.aggregation import AGGREGATORS, create_aggregator

from ..devices import TOLERANCE, over_devices, over_dtypes
from .test_aggregation import OPTIONS, maps

MIXED = (torch.bfloat16, torch.float32)  # what mixed precision reads, and what its weights stay
POOLINGS = ("normflat", "flat", "avg", "avg2", "gem", "gem2", "max", "max2")


def given(dtype: torch.dtype, device: str) -> torch.Tensor:
    """Maps of numbers that bfloat16 can hold, so that all dtypes read the same."""
    return maps(2, 5, 4, 5).bfloat16().to(device, dtype)


def assert_near(ours: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    off = (ours.double().cpu() - wanted.double()).abs().max() / wanted.double().abs().max()
    assert float(off) <= max(TOLERANCE[dtype], 1e-6)  # what comes out may be float32


@over_devices
@pytest.mark.parametrize(("dtype", "weights"), [*((kind, kind) for kind in TOLERANCE), MIXED], ids=str)
@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_an_aggregator_agrees_with_itself_in_float64_on_the_cpu(name, dtype, weights, device):
    torch.manual_seed(0)
    aggregator = create_aggregator(name, 5, **OPTIONS[name]).to(weights).double().eval()
    with torch.inference_mode():
        wanted = aggregator(given(torch.float64, "cpu"))
        ours = aggregator.to(device, weights)(given(dtype, device))
    assert ours.device.type == device
    assert_near(ours, wanted, dtype)


@over_devices
@over_dtypes
@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling_agrees_with_itself_in_float64_on_the_cpu(name, dtype, device):
    pool = Pooling.parse(name)
    ours = pool(given(dtype, device))
    assert ours.device.type == device
    assert_near(ours, pool(given(torch.float64, "cpu")), dtype)
