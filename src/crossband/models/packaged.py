"""Trained networks that come with the package: a file each beside this one, with its model card inside.

``crossband-NAME.safetensors`` holds the weights in float16 and, as metadata, what every checkpoint says of
itself (recipe, classes, ...) and a :class:`Card`: what it learned from, under which license, and what it
reaches. A verb that is given no checkpoint asks :func:`checkpoint_for`. To ship another network, :func:`pack`
it; no list changes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ..errors import CrossbandError
from ..files import write_file
from ..progress import note
from ._registry import ModelInfo

__all__ = ["Card", "card_of", "checkpoint_for", "list_packaged", "pack", "packaged_path", "tensors_digest"]

FOLDER = Path(__file__).parent
_PACKAGE = "crossband"
_PREFIX = f"{_PACKAGE}-"  # of what verbs take by task; descriptors are named without the dash


@dataclass(frozen=True)
class Card:
    """What a packaged network says of itself besides its recipe.

    Attributes:
        name: what the command line calls it, ``crossband-...``, or ``crossband512``.
        task: the task it was trained by.
        does: one line for ``crossband models``.
        data: what it learned from.
        license: of the weights; ``attribution`` is what that license asks to be said.
        date: of the training, ISO 8601.
        images: how many it has seen, and ``hours`` how long that took, on ``hardware``.
        figures: name -> value, as they were measured, percent where nothing else is said.
        limits: where it fails.
        digest: SHA-256 of its tensors, see :func:`tensors_digest`.
    """

    name: str
    task: str
    does: str
    data: str
    license: str
    attribution: str
    date: str
    images: int
    hours: float
    hardware: str
    figures: dict[str, float] = field(default_factory=dict)
    limits: str = ""
    digest: str = ""

    @property
    def reached(self) -> str:
        """The figures as one line, of three digits each.

        Example:
            >>> card_of(packaged_path("translation")).reached
            'objects, K 4.95; all pixels, K 2.78; SSIM 0.73'
        """
        return "; ".join(f"{name} {value:.3g}" for name, value in self.figures.items())


def pack(checkpoint: str | Path, card: Card, folder: str | Path = FOLDER) -> Path:
    """Write a checkpoint of a training as a packaged network: float16, with its card.

    Args:
        checkpoint: of ``crossband train``.
        card: what it is; its digest is computed here.
        folder: where it goes.

    Raises:
        CrossbandError: no checkpoint, a name that is none of a packaged network, another task than the
            checkpoint's, or weights beyond what float16 holds.
    """
    from ..checkpoints import read_metadata

    metadata = read_metadata(checkpoint)
    task = metadata.get("recipe", {}).get("task")
    if not card.name.startswith(_PACKAGE) or card.task != task:
        raise CrossbandError(
            f"a packaged network is called {_PACKAGE}... and has its checkpoint's task, {task}"
        )
    tensors = {}
    for name, value in load_file(checkpoint).items():
        tensors[name] = value.half().contiguous() if value.is_floating_point() else value
        if not torch.isfinite(tensors[name]).all():
            raise CrossbandError(f"{checkpoint}: {name} has values that float16 cannot hold")
    said = {**metadata, "card": {**asdict(card), "digest": tensors_digest(tensors)}}
    path = Path(folder) / f"{card.name}.safetensors"
    return write_file(
        path, lambda partial: save_file(tensors, partial, metadata={"crossband": json.dumps(said)})
    )


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Compute SHA-256 over names, shapes and values of some tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def packaged_path(task: str, folder: Path | None = None) -> Path | None:
    """Return the packaged network of a task, or ``None``."""
    return next((path for path, card in _cards(folder or FOLDER).items() if card.task == task), None)


def card_of(path: str | Path) -> Card | None:
    """Return the card in a file, or ``None`` where it has none."""
    with safe_open(path, framework="numpy") as file:
        said = json.loads((file.metadata() or {}).get("crossband", "{}")).get("card")
    known = {one.name for one in fields(Card)}
    return None if said is None else Card(**{key: value for key, value in said.items() if key in known})


def checkpoint_for(task: str, given: str | Path | None, parameter: str = "checkpoint") -> Path:
    """Return the checkpoint a user gave, or else the packaged one, which is said on standard error.

    Args:
        task: of the recipes that train it.
        given: by the user.
        parameter: how a caller gives one.

    Raises:
        CrossbandError: none was given, and none comes with the package.

    Example:
        >>> checkpoint_for("detection", "mine.safetensors").name
        'mine.safetensors'
    """
    if given is not None:
        return Path(given)
    found = packaged_path(task)
    if found is None:
        raise CrossbandError(
            f"no network for {task} comes with this package; crossband train makes one", parameter=parameter
        )
    note(f"by the packaged network {found.stem}; give a {parameter} for another")
    return found


def list_packaged(pattern: str = "*") -> list[ModelInfo]:
    """List the packaged networks whose names match a pattern, as lines of ``crossband models``."""
    found = []
    for path, card in _cards(FOLDER).items():
        if not fnmatch.fnmatchcase(card.name, pattern):
            continue
        with safe_open(path, framework="numpy") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
        params = sum(math.prod(shape) for shape in shapes)
        reached = f"this package: {card.reached}"
        found.append(ModelInfo(card.name, card.does, params / 1e6, 0, card.license, reached, "here"))
    return found


@cache
def _cards(folder: Path) -> dict[Path, Card]:
    found: dict[Path, Card] = {}
    for path in sorted(folder.glob(f"{_PREFIX}*.safetensors")):
        card = card_of(path)
        if card is not None:
            found[path] = card
    return found
