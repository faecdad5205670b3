"""Begin a run with weights that were learned before: fine-tuning a packaged network, or an earlier run."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from ..checkpoints import read_metadata
from ..errors import CrossbandError
from ..models import packaged
from ..progress import note

__all__ = ["begin_with"]

_NAMED = 3  # how many tensors are named that stay as they were


def begin_with(network: nn.Module, source: str) -> None:
    """Copy the weights of a checkpoint into a network where names and shapes agree; what does not is said.

    Args:
        network: is changed in place.
        source: a path, or the name of a packaged network, as ``crossband-vehicles``.

    Raises:
        CrossbandError: no such checkpoint, or none of its weights fits.
    """
    own = packaged.FOLDER / f"{source}.safetensors"
    path = own if own.is_file() and Path(source).name == source else Path(source)
    read_metadata(path)
    mine = network.state_dict()
    given = {name: value for name, value in load_file(path).items() if name in mine}
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
