"""Where networks run, and in which numbers: one rule for every function that takes a ``device``."""

from __future__ import annotations

import contextlib
import os
import re

import torch
from torch import nn

from .errors import CrossbandError, unknown_name

__all__ = [
    "PACES",
    "choose_device",
    "choose_dtype",
    "device_of",
    "given_pace",
    "quick_arithmetic",
    "quick_dtype",
]

PACES = ("plain", "float32", "bfloat16")
"""The ways to run a network on a processor, as ``CROSSBAND_PACE`` names them."""

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


def given_pace() -> str | None:
    """Return what the environment variable ``CROSSBAND_PACE`` says, or ``None``.

    Raises:
        CrossbandError: it is none of :data:`PACES`.
    """
    given = os.environ.get("CROSSBAND_PACE")
    if given and given not in PACES:
        raise CrossbandError(f"CROSSBAND_PACE is one of {', '.join(PACES)}, not {given!r}")
    return given or None


def quick_arithmetic(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context in which a network computes in what :func:`quick_dtype` says.

    A network of convolutions takes 0.4 to 0.7 of the time in bfloat16 (docs/models.md), and what it finds
    differs by rounding.

    Args:
        device: where the network is.
    """
    narrow = quick_dtype(device) == "bfloat16"
    return torch.autocast("cpu", torch.bfloat16) if narrow else contextlib.nullcontext()


def quick_dtype(device: torch.device) -> str:
    """Return ``bfloat16`` for a processor that multiplies it in hardware, else ``float32``.

    ``CROSSBAND_PACE`` decides otherwise: ``plain`` and ``float32`` disable bfloat16. What a GPU computes in is
    not decided here.

    Raises:
        CrossbandError: ``CROSSBAND_PACE`` says something else.

    Example:
        >>> quick_dtype(torch.device("cuda"))
        'float32'
    """
    wanted = given_pace()
    narrow = wanted == "bfloat16" or (wanted is None and _multiplies_bfloat16())
    return "bfloat16" if narrow and device.type == "cpu" else "float32"


def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16: avx512_bf16 or AMX."""
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(ask()) for ask in asked if ask is not None)
