"""Checkpoints: safetensors with their recipe, classes, band statistics and version inside.

Nothing is unpickled. The state of an unfinished run is read by ``torch.load(weights_only=True)``, which takes
tensors, numbers, text and their containers and refuses objects.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from . import __version__
from .errors import CrossbandError, DamagedFileError, MissingWeightsError

__all__ = ["load_network", "read_account", "read_state", "write_checkpoint", "write_state"]

FORMAT = "crossband-checkpoint-1"


def write_checkpoint(path: Path, network: nn.Module, account: Mapping[str, Any]) -> Path:
    """Write a network with what it says of itself; the file is there whole or not at all.

    Raises:
        CrossbandError: the file cannot be written.
    """
    said = {"format": FORMAT, "crossband": __version__, **account}
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata={"crossband": json.dumps(said)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise CrossbandError(f"cannot write {path} ({error}); choose another folder", parameter="out") from None
    return path


def read_account(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says of itself: ``recipe``, ``classes``, ``preprocess``, ``crossband``, ...

    Raises:
        CrossbandError: missing, damaged, or no checkpoint of crossband.
    """
    try:
        with safe_open(path, framework="pt") as file:
            account = json.loads((file.metadata() or {}).get("crossband", "{}"))
    except FileNotFoundError:
        raise MissingWeightsError(
            f"no checkpoint {path}; crossband train writes one", parameter="checkpoint"
        ) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFileError(f"{path} is no checkpoint: {' '.join(str(error).split())[:80]}") from None
    if account.get("format") != FORMAT:
        raise DamagedFileError(f"{path} is no checkpoint of crossband; crossband train writes one")
    return account


def load_network(path: str | Path, network: nn.Module) -> dict[str, Any]:
    """Load a checkpoint strictly into a network, and give what it says of itself.

    Raises:
        CrossbandError: no checkpoint, or one of another network.
    """
    account = read_account(path)
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DamagedFileError(f"{path} holds another network than the recipe's: {reason}") from None
    return account


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a run; whole or not at all, and on the disk before this returns."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_state(path: Path) -> dict[str, Any] | None:
    """The state of a run, or ``None`` where there is none.

    Raises:
        CrossbandError: it is damaged, or holds objects.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise DamagedFileError(
            f"{path} is damaged or no state of a run; remove it to start again, or choose another folder",
            parameter="out",
        ) from None
