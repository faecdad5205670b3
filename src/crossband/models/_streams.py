"""The registry of streams: what stands on a band's encoder, and how networks of streams are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .._discover import import_modules
from ..errors import CrossbandError, unknown_name
from ..nn.encoder import reached_parameters
from ..nn.streams import Streams
from ._registry import create_model

__all__ = ["StreamEntry", "create_streams", "find_stream", "list_streams", "register_stream"]


@dataclass(frozen=True)
class StreamEntry:
    """A registered kind of stream.

    Attributes:
        name: what a recipe calls it.
        source: the paper.
        build: encoder, layer, channels at that layer, classes and options -> the stream, with ``dim``.
    """

    name: str
    source: str
    build: Callable[..., nn.Module]


_STREAMS: dict[str, StreamEntry] = {}


def register_stream(name: str, *, source: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register the decorated module as a kind of stream; see :class:`StreamEntry`."""

    def register(kind: type[nn.Module]) -> type[nn.Module]:
        _STREAMS[name] = StreamEntry(name, source, kind)
        return kind

    return register


def list_streams() -> list[StreamEntry]:
    """Every kind of stream, by name."""
    import_modules(__package__)
    return [_STREAMS[name] for name in sorted(_STREAMS)]


def find_stream(name: str) -> StreamEntry:
    """The kind of stream called ``name``.

    Raises:
        CrossbandError: nobody knows it.
    """
    import_modules(__package__)
    if name not in _STREAMS:
        raise unknown_name("stream", name, _STREAMS)
    return _STREAMS[name]


def create_streams(
    bands: Iterable[str],
    classes: int,
    stream: str = "ide",
    encoder: str = "resnet50",
    *,
    layer: str | None = None,
    size: tuple[int, int] = (128, 256),
    options: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    pretrained: bool = True,
    freeze_batchnorm: bool = False,
    train_from: str | None = None,
) -> tuple[Streams, str]:
    """One stream a band, none sharing weights with another, and the identity of their encoders' weights.

    Args:
        bands: of any number, in the order their images will come in.
        classes: identities to be told apart in training.
        stream: ``ide`` (the one-stream baseline, MSN and HAMNet), ``pcb``, ``mgn`` or ``abd``.
        encoder: see :func:`crossband.list_models`; ``timm/NAME`` for any model of timm.
        layer: where the encoders are cut; their last maps where ``None``.
        size: (height, width) of an image.
        options: of the stream.
        weights: a file or folder to look for the encoder's weights in first.
        pretrained: ``False`` leaves random weights.
        freeze_batchnorm: keep the running statistics of BatchNorm while training.
        train_from: the first layer of the encoders that is trained; all where ``None``.

    Raises:
        CrossbandError: an unknown name or option, fewer than two classes, or weights that are missing.

    Example:
        >>> network, _ = create_streams(["rgb", "tir"], 5, encoder="squeezenet1_1", pretrained=False)
        >>> network(torch.zeros(2, 2, 3, 64, 128)).features.shape
        torch.Size([2, 2, 512])
    """
    if classes < 2:
        raise CrossbandError(
            f"identities are told apart, so two at least are needed to train on, not {classes}"
        )
    kind, digest, built = find_stream(stream), "", {}
    for band in dict.fromkeys(bands):
        body, digest = create_model(encoder, weights, pretrained)
        cut = body.check_layer(layer)
        with torch.inference_mode():
            channels = body(torch.zeros(1, 3, *size), cut).shape[1]
        try:
            one = kind.build(body, cut, channels, classes, **(options or {}))
        except TypeError as error:
            raise CrossbandError(f"stream {stream} does not take these options: {error}") from None
        one.requires_grad_(True)
        reached = reached_parameters(body, size, getattr(one, "layer", cut), train_from)
        for parameter in body.parameters():
            parameter.requires_grad_(parameter in reached)
        built[band] = one
    # convolutions of maps whose channels lie together are 1.5 times as fast on a CPU
    return Streams(built, freeze_batchnorm).to(memory_format=torch.channels_last).eval(), digest
