"""The matrix of devices and dtypes that a loss, a layer or a search has to agree over."""

from __future__ import annotations

import pytest
import torch

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")),
]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""The largest relative error that each dtype may have against float64 on the CPU."""

over_devices = pytest.mark.parametrize("device", DEVICES)
over_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype).removeprefix("torch."))
