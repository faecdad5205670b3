"""Checkpoints: safetensors with their recipe, classes, band statistics and version inside.

Nothing is unpickled. The state of an unfinished run is read by ``torch.load(weights_only=True)``, which takes
tensors, numbers, text and their containers and refuses objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from . import __version__
from .errors import CrossbandError, DamagedFileError, MissingWeightsError
from .files import write_file
from .weights import load_state_dict

__all__ = [
    "complete_metadata",
    "file_metadata",
    "load_into",
    "load_network",
    "read_metadata",
    "read_state",
    "write_checkpoint",
    "write_state",
    "write_tensors",
]

FORMAT = "crossband-checkpoint-1"
STATE_KEYS = (
    "recipe",
    "epoch",
    "batch",
    "step",
    "best",
    "stale",
    "finished",
    "losses",
    "samples",
    "network",
    "criterion",
    "optimizer",
    "scaler",
    "task",
)


def write_checkpoint(path: Path, network: nn.Module, metadata: Mapping[str, Any]) -> Path:
    """Write a network with what it says of itself; the file is there whole or not at all.

    Raises:
        CrossbandError: the file cannot be written.
    """
    said = {"format": FORMAT, "crossband": __version__, **metadata}
    return write_tensors(path, network.state_dict(), said)


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write tensors and what is said of them as one safetensors file, whole or not at all.

    Raises:
        CrossbandError: the file cannot be written.
    """
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = {"crossband": json.dumps(metadata)}
    try:
        return write_file(path, lambda partial: save_file(kept, partial, metadata=text))
    except SafetensorError as error:
        raise CrossbandError(f"cannot write {path} ({error}); choose another folder", parameter="out") from None


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of a checkpoint: ``recipe``, ``classes``, ``preprocess``, ``crossband``, ...

    Raises:
        CrossbandError: missing, damaged, or no checkpoint of crossband.
    """
    metadata = file_metadata(path, "checkpoint", "crossband train")
    if metadata.get("format") != FORMAT:
        raise DamagedFileError(f"{path} is no checkpoint of crossband; crossband train writes one")
    if not isinstance(metadata.get("recipe"), dict):
        raise DamagedFileError(f"{path} is no checkpoint of crossband: it does not say what recipe it is of")
    return metadata


@contextmanager
def complete_metadata(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong where metadata lack a key, or hold another kind of value, into one sentence.

    Raises:
        DamagedFileError: of any of that.
    """
    try:
        yield
    except CrossbandError as error:
        raise DamagedFileError(f"{path} is an incomplete checkpoint: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:100]
        raise DamagedFileError(f"{path} is an incomplete checkpoint ({reason}); train it again") from None


def file_metadata(path: str | Path, what: str, maker: str) -> dict[str, Any]:
    """Read the metadata of a safetensors file of crossband, unchecked; no tensor is read.

    Args:
        path: the file.
        what: what it should be, for messages.
        maker: the command that writes such files, for messages.

    Raises:
        CrossbandError: missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("crossband", "{}"))
    except FileNotFoundError:
        raise MissingWeightsError(f"no {what} {path}; {maker} writes one", parameter="checkpoint") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is no {what}: {' '.join(str(error).split())[:80]}") from None
    return metadata if isinstance(metadata, dict) else {}


def load_network(path: str | Path, network: nn.Module) -> dict[str, Any]:
    """Load a checkpoint strictly into a network, and give what it says of itself.

    Args:
        path: of :func:`crossband.train`; or, where the network has ``rename_published``, a ``.pth`` of its
            authors, which says nothing of itself.
        network: is changed in place.

    Raises:
        CrossbandError: no checkpoint, or one of another network.
    """
    if isinstance(network, HasPublished) and Path(path).suffix != ".safetensors":
        load_into(network, network.rename_published(load_state_dict(path)), path)
        return {}
    metadata = read_metadata(path)
    try:
        load_into(network, load_file(path), path)
    except SafetensorError as error:
        raise DamagedFileError(f"{path} is damaged: {' '.join(str(error).split())[:100]}") from None
    return metadata


def load_into(network: nn.Module, state: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Load tensors strictly into a network.

    Args:
        network: is changed in place.
        state: by the network's own names.
        path: where they are from, for the message.

    Raises:
        DamagedFileError: names or shapes are not the network's.
    """
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise DamagedFileError(f"{path} holds another network than the recipe's: {reason}") from None


@runtime_checkable
class HasPublished(Protocol):
    """A network that reads the checkpoints its authors published."""

    def rename_published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Rename the keys of the authors' checkpoint to the network's own."""


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a run; whole or not at all, and on the disk before this returns."""
    write_file(path, lambda partial: torch.save(dict(state), partial), durable=True)


def read_state(path: Path) -> dict[str, Any] | None:
    """Read the state of a run, or ``None`` where there is none.

    Raises:
        CrossbandError: it is damaged, or holds objects.
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CrossbandError(f"cannot read {path} ({error.strerror})") from None
    except Exception:
        state = None
    if not isinstance(state, dict) or not set(STATE_KEYS) <= set(state):
        raise DamagedFileError(
            f"{path} is damaged or no state of a run; remove it to start again, or choose another folder",
            parameter="out",
        )
    return state
