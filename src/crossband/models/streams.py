"""Streams: one network per band, that share no weights, side by side on the images of a frame.

Li et al., "Multi-Spectral Vehicle Re-Identification: A Challenge", AAAI 2020, figure 5. One list of bands, of
any length, goes through the same code: one band is the one-stream baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..bands import parse_band
from ..data.preprocess import Statistics
from ..errors import CrossbandError
from ..nn.batchnorm import freeze_batchnorm
from ..nn.encoder import Encoder, reached_parameters
from ..registry import Registry
from ._registry import create_encoder

__all__ = [
    "StreamEntry",
    "StreamOutput",
    "Streams",
    "StreamsOutput",
    "create_streams",
    "find_stream",
    "list_streams",
    "register_stream",
]


@dataclass(frozen=True)
class StreamOutput:
    """What a stream says of ``b`` images of its band.

    Attributes:
        features: what is compared when searching, ``(b, d)``.
        scores: of the identities trained on, by each of K classifiers, ``(b, K, C)``.
        maps: class activation maps ``(b, C, h, w)``, of streams that have them.
        embeddings: what a triplet loss pulls together, ``(b, G, e)``, of streams that want one.
        penalty: a loss of the stream's own, a scalar, where it has one.
    """

    features: torch.Tensor
    scores: torch.Tensor
    maps: torch.Tensor | None = None
    embeddings: torch.Tensor | None = None
    penalty: torch.Tensor | None = None


@dataclass(frozen=True)
class StreamsOutput:
    """What all streams say of ``B`` frames; the bands are axis 1, and a missing band's entries are 0.

    Attributes:
        present: which frame has which band, boolean ``(B, m)``.
        features: ``(B, m, d)``.
        scores: ``(B, m, K, C)``.
        maps: ``(B, m, C, h, w)`` or ``None``.
        embeddings: ``(B, m, G, e)`` or ``None``.
        penalty: the sum of the streams' own losses, a scalar.
    """

    present: torch.Tensor
    features: torch.Tensor
    scores: torch.Tensor
    maps: torch.Tensor | None
    embeddings: torch.Tensor | None
    penalty: torch.Tensor


class Streams(nn.Module):
    """The streams of some bands.

    Args:
        streams: band -> its stream, a module ``(b, 3, H, W)`` to :class:`StreamOutput` with an ``encoder``.
        freeze_batchnorm: keep the running statistics of BatchNorm while training.

    Raises:
        CrossbandError: no band.
    """

    def __init__(self, streams: Mapping[str, nn.Module], freeze_batchnorm: bool = False) -> None:
        super().__init__()
        if not streams:
            raise CrossbandError("a multi-stream network needs at least one band; set data.bands")
        self.bands = tuple(parse_band(band).value for band in streams)
        self.streams = nn.ModuleDict(dict(zip(self.bands, streams.values(), strict=True)))
        self.freeze_batchnorm = freeze_batchnorm

    @property
    def encoder(self) -> nn.ModuleList:
        """The encoders of all streams, whose learning rate may be another than the heads'."""
        return nn.ModuleList([stream.get_submodule("encoder") for stream in self.streams.values()])

    @property
    def statistics(self) -> Statistics:
        """What the encoders' weights expect their input to be standardized by."""
        return cast(Encoder, self.encoder[0]).statistics

    @property
    def dim(self) -> int:
        """Length of a band's features."""
        return int(cast(Any, next(iter(self.streams.values()))).dim)

    def forward(self, images: torch.Tensor, present: torch.Tensor | None = None) -> StreamsOutput:
        """Run all streams on their bands.

        Args:
            images: standardized, float32 ``(B, m, 3, H, W)``, the bands in the order of :attr:`bands`.
            present: which frame has which band, boolean ``(B, m)``; all by default.

        Raises:
            CrossbandError: no frame has any band.
        """
        if present is None:
            present = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        rows = [torch.nonzero(present[:, j])[:, 0] for j in range(len(self.bands))]
        found = {
            j: stream(images[rows[j], j].contiguous(memory_format=torch.channels_last))
            for j, stream in enumerate(self.streams.values())
            if len(rows[j])
        }
        if not found:
            raise CrossbandError("no image of these frames can be used; crossband data check lists the faults")
        output = _gathered(found, rows, present)
        if not self.training or len(found) == len(self.bands):
            return output
        # a stream without an image takes part with nothing: processes that train together wait for all of them
        idle = [stream for j, stream in enumerate(self.streams.values()) if j not in found]
        nothing = [p.sum() * 0 for stream in idle for p in stream.parameters() if p.requires_grad]
        return replace(output, penalty=output.penalty + torch.stack(nothing).sum())

    def train(self, mode: bool = True) -> Streams:
        """Switch to training mode; BatchNorm stays in evaluation where its statistics are frozen."""
        super().train(mode)
        if mode and self.freeze_batchnorm:
            freeze_batchnorm(self)
        return self


def _gathered(
    found: Mapping[int, StreamOutput], rows: list[torch.Tensor], present: torch.Tensor
) -> StreamsOutput:
    """The outputs of the streams as one, zeros where a frame lacks a band."""
    example = next(iter(found.values()))
    stacked: dict[str, torch.Tensor | None] = {}
    for name in (field.name for field in fields(StreamOutput) if field.name != "penalty"):
        like = getattr(example, name)
        if like is None:
            stacked[name] = None
            continue
        columns = [
            like.new_zeros(len(present), *like.shape[1:]).index_copy(0, rows[j], getattr(found[j], name))
            if j in found
            else like.new_zeros(len(present), *like.shape[1:])
            for j in range(len(rows))
        ]
        stacked[name] = torch.stack(columns, 1)
    penalties = [one.penalty for one in found.values() if one.penalty is not None]
    features, scores = stacked["features"], stacked["scores"]
    assert features is not None
    assert scores is not None
    penalty = torch.stack(penalties).sum() if penalties else features.new_zeros(())
    return StreamsOutput(present, features, scores, stacked["maps"], stacked["embeddings"], penalty)


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


STREAMS: Registry[StreamEntry] = Registry("stream", "crossband.models")


def register_stream(name: str, *, source: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register the decorated module as a kind of stream; see :class:`StreamEntry`."""
    return STREAMS.register(name, lambda kind: StreamEntry(name, source, kind))


def list_streams() -> list[StreamEntry]:
    """List every kind of stream, by name."""
    return STREAMS.list()


def find_stream(name: str) -> StreamEntry:
    """Return the kind of stream called ``name``.

    Raises:
        CrossbandError: nobody knows it.
    """
    return STREAMS.get(name)


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
    """Create one stream per band, sharing no weights, and return their encoders' digest.

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
        raise CrossbandError(f"training needs at least two identities, not {classes}")
    kind, digest, built = find_stream(stream), "", {}
    for band in dict.fromkeys(bands):
        body = create_encoder(encoder, weights, pretrained)
        digest = body.digest
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
