"""Begin a run with weights that were learned before: fine-tuning a packaged network, or an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from ..checkpoints import read_metadata
from ..errors import CrossbandError
from ..models import packaged
from ..progress import note

__all__ = ["begin_with", "source_of"]

_NAMED = 3  # how many tensors are named that stay as they were


def source_of(source: str) -> Path:
    """Return the checkpoint of a path, or of the name of a packaged network.

    Raises:
        CrossbandError: there is none.
    """
    own = packaged.FOLDER / f"{source}.safetensors"
    path = own if own.is_file() and Path(source).name == source else Path(source)
    if not path.is_file():
        raise CrossbandError(
            f"the recipe starts from {source}, which is not there; train that first, or give start=FILE",
            parameter="start",
        )
    return path


def begin_with(network: nn.Module, source: str) -> None:
    """Copy the weights of a checkpoint into a network where names and shapes agree; what does not is said.

    Args:
        network: is changed in place.
        source: a path, or the name of a packaged network, as ``crossband-vehicles``.

    Raises:
        CrossbandError: no such checkpoint, or none of its weights fits.
    """
    path = source_of(source)
    read_metadata(path)
    mine, given = network.state_dict(), load_file(path)
    _renew(network, given)
    given = {name: value for name, value in given.items() if name in mine}
    fit = {name: value for name, value in given.items() if mine[name].shape == value.shape}
    if not fit:
        raise CrossbandError(
            f"no weights of {source} fit this network; check model in the recipe", parameter="start"
        )
    network.load_state_dict(fit, strict=False)
    left = [name for name in mine if name not in fit]
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    rest = f"; new are {', '.join(left[:_NAMED])}{more}" if left else ""
    note(f"begins with {len(fit)} of {len(mine)} tensors from {source}{rest}")


def _renew(network: nn.Module, state: dict[str, Any]) -> None:
    """Let parts that take weights of older versions change them, as ``load_state_dict`` does."""
    for prefix, part in network.named_modules():
        for hook in part._load_state_dict_pre_hooks.values():
            hook(state, f"{prefix}." if prefix else "", {}, False, [], [], [])
