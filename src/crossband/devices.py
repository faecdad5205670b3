"""Where networks run: one rule for every function that takes a ``device``."""

from __future__ import annotations

import re

import torch
from torch import nn

from .errors import CrossbandError, unknown_name

__all__ = ["choose_device", "choose_dtype", "device_of"]

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_device(name: str = "auto") -> str:
    """Return the device of a name, checked to be there.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``, which is ``cuda`` where that is available.

    Raises:
        CrossbandError: CUDA is not available, or has no such device.
        UnknownNameError: no device has the name.

    Example:
        >>> choose_device("cpu")
        'cpu'
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise unknown_name("device", name, ["cpu", "cuda", "auto"])
    if name != "cpu" and not torch.cuda.is_available():
        raise CrossbandError("CUDA is not available; use device 'cpu'", parameter="device")
    number = int(name.partition(":")[2] or 0)
    if name != "cpu" and number >= (there := torch.cuda.device_count()):
        raise CrossbandError(
            f"there is no device {name!r}; this machine has {there}, from 'cuda:0' on", parameter="device"
        )
    return name


def choose_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name: ``float32``, ``float16`` or ``bfloat16``.

    Raises:
        UnknownNameError: another name.

    Example:
        >>> choose_dtype("bfloat16")
        torch.bfloat16
    """
    if name not in _DTYPES:
        raise unknown_name("dtype", name, _DTYPES)
    return _DTYPES[name]


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's parameters are; the CPU for one without any.

    Example:
        >>> device_of(nn.ReLU())
        device(type='cpu')
    """
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
