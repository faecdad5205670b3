"""The registry of models: a name becomes a network with its weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..data.preprocess import Statistics
from ..errors import CrossbandError, DamagedFileError
from ..nn.encoder import Encoder, count_parameters
from ..nn.reranker import Reranker
from ..registry import Registry
from ..weights import WeightsSource, file_digest, find_weights, load_state_dict, locate_weights

__all__ = [
    "ModelEntry",
    "ModelInfo",
    "create_encoder",
    "find_model",
    "list_models",
    "list_rerankers",
    "register_model",
]

StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ModelEntry:
    """How a model is built and where its weights come from.

    Attributes:
        name: what the command line calls it.
        build: makes the network, without weights and with its classifier still in place.
        task: what it was trained for.
        license: of the code and the weights.
        source: the paper or page it comes from.
        weights: where the weights can come from; ``None`` for a model that has none.
        known_files: SHA-256 of a weights file -> the statistics its input needs, where these differ.
        rename: turns the keys of a published checkpoint into the network's own.
        default_steps: the pooling, and ``center`` or not, of its descriptor when nobody says otherwise.
        size: (height, width) of the images that its authors give it, or ``None``.
        params: parameters without the classifier; counted where ``None``, which takes a second.
        dim: channels of the last feature map, likewise.
        reranker: compares two images once more, for re-ranking, or ``None`` where it has none.
    """

    name: str
    build: Callable[[], Encoder]
    task: str
    license: str
    source: str
    weights: WeightsSource | None
    known_files: Mapping[str, Statistics] = field(default_factory=dict)
    rename: Callable[[StateDict, Encoder], StateDict] | None = None
    default_steps: str = "normflat"
    size: tuple[int, int] | None = None
    params: int | None = None
    dim: int | None = None
    reranker: Callable[[Encoder], Reranker] | None = None


@dataclass(frozen=True)
class ModelInfo:
    """One line of ``crossband models``.

    Attributes:
        params_m: parameters in millions without the classifier.
        dim: channels of the last feature map.
        weights: ``here``, ``download`` or ``absent``.
        size: (height, width) of the images that its authors give it, or ``None``.
    """

    name: str
    task: str
    params_m: float
    dim: int
    license: str
    source: str
    weights: str
    size: tuple[int, int] | None = None


MODELS: Registry[ModelEntry] = Registry("model", "crossband.models")


def register_model(name: str, **fields: Any) -> Callable[[Callable[[], Encoder]], Callable[[], Encoder]]:
    """Register the decorated function as the builder of a model; the fields are :class:`ModelEntry`'s."""
    return MODELS.register(name, lambda build: ModelEntry(name, build, **fields))


def find_model(name: str, also: Iterable[str] = ()) -> ModelEntry:
    """Return the entry of a model; ``timm/NAME`` is any of timm's.

    Args:
        name: the model's.
        also: names that stand for models elsewhere, to be hinted at too.

    Raises:
        CrossbandError: nobody knows it.
    """
    if name.startswith("timm/"):
        from .timm_encoders import timm_entry

        return timm_entry(name)
    return MODELS.get(name, also)


def create_encoder(name: str, weights: str | Path | None = None, pretrained: bool = True) -> Encoder:
    """Build an encoder with its weights, in evaluation mode.

    See :func:`crossband.create_model` for models of all kinds.

    Args:
        name: see :func:`list_models`; ``timm/NAME`` for any model of timm.
        weights: a file or folder to look in first.
        pretrained: ``False`` leaves random weights (from torch's generator, as it stands).

    Returns:
        the encoder; its ``digest`` is the SHA-256 of its weights file (``""`` without one).

    Raises:
        CrossbandError: unknown name, or weights that are missing, damaged or of another network.

    Example:
        >>> encoder = create_encoder("squeezenet1_1", pretrained=False)
        >>> encoder(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 512, 3, 3])
    """
    entry = find_model(name)
    path = find_weights(entry.weights, weights) if pretrained and entry.weights is not None else None
    encoder = entry.build()
    if path is not None:
        encoder.digest = file_digest(path)
        _load(encoder, entry, path)
        encoder.statistics = entry.known_files.get(encoder.digest, encoder.statistics)
    _drop_classifier(encoder)
    return encoder.eval().requires_grad_(False)


def list_models(pattern: str = "*") -> list[ModelInfo]:
    """List every registered model that matches a pattern, as in ``resnet*``, by name.

    A model that states its own size is not built.
    """
    return [_info(entry) for entry in MODELS.list(pattern)]


def list_rerankers() -> list[str]:
    """List the names of the models that can re-rank, see :class:`crossband.nn.reranker.Reranker`."""
    return [entry.name for entry in MODELS.list() if entry.reranker is not None]


@functools.cache
def count_size(name: str) -> tuple[int, int]:
    """Count a model's parameters and its dim on the meta device."""
    with torch.device("meta"), torch.inference_mode():
        encoder = find_model(name).build().eval()
        _drop_classifier(encoder)
        maps = encoder(torch.zeros(1, 3, 64, 64))
    return count_parameters(encoder), maps.shape[1]


def _info(entry: ModelEntry) -> ModelInfo:
    params, dim = entry.params, entry.dim
    if params is None or dim is None:
        params, dim = count_size(entry.name)
    if entry.weights is None or locate_weights(entry.weights) is not None:
        where = "here"
    else:
        where = "download" if entry.weights.url or entry.weights.hub else "absent"
    return ModelInfo(entry.name, entry.task, params / 1e6, dim, entry.license, entry.source, where, entry.size)


def _load(encoder: Encoder, entry: ModelEntry, path: Path) -> None:
    state = load_state_dict(path)
    try:
        if entry.rename is not None:
            state = entry.rename(state, encoder)
        encoder.body.load_state_dict(state, strict=True)
    except (RuntimeError, CrossbandError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DamagedFileError(
            f"{path} holds the weights of another network than {entry.name}: {reason}"
        ) from None


def _drop_classifier(encoder: Encoder) -> None:
    for part in encoder.classifier:
        parent, _, name = part.rpartition(".")
        setattr(encoder.body.get_submodule(parent), name, torch.nn.Identity())
