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
from .errors import CrossbandError

__all__ = ["load_network", "read_metadata", "read_state", "write_checkpoint", "write_state"]

FORMAT = "crossband-checkpoint-1"


def write_checkpoint(path: Path, network: nn.Module, metadata: Mapping[str, Any]) -> Path:
    """Write a network with its metadata, all or nothing.

    Raises:
        CrossbandError: the file cannot be written.
    """
    said = {"format": FORMAT, "crossband": __version__, **metadata}
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata={"crossband": json.dumps(said)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise CrossbandError(f"cannot write {path} ({error}); choose another --out") from None
    return path


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint's metadata: ``recipe``, ``classes``, ``preprocess``, ``crossband``, ...

    Raises:
        CrossbandError: missing, damaged, or no checkpoint of crossband.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("crossband", "{}"))
    except FileNotFoundError:
        raise CrossbandError(f"no checkpoint at {path}; crossband train writes one") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CrossbandError(f"{path} is not a checkpoint: {' '.join(str(error).split())[:80]}") from None
    if metadata.get("format") != FORMAT:
        raise CrossbandError(f"{path} is not a crossband checkpoint; crossband train writes one")
    return metadata


def load_network(path: str | Path, network: nn.Module) -> dict[str, Any]:
    """Load a checkpoint strictly into a network and return its metadata.

    Raises:
        CrossbandError: no checkpoint, or one of another network.
    """
    metadata = read_metadata(path)
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CrossbandError(f"{path} holds a different network from the recipe's: {reason}") from None
    return metadata


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a run, all or nothing, flushed to disk before this returns."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_state(path: Path) -> dict[str, Any] | None:
    """Read the state of a run; ``None`` where there is none.

    Raises:
        CrossbandError: it is damaged, or holds objects.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise CrossbandError(
            f"{path} is damaged or not a training state; delete it to start over, or choose another --out"
        ) from None
