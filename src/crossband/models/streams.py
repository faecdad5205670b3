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
    "BandAdapter",
    "SharedStreams",
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

    Attributes:
        comparable: whether the features of two bands lie in one space.

    Raises:
        CrossbandError: no band.
    """

    comparable = False

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
        found = self._outputs({j: images[mine, j] for j, mine in enumerate(rows) if len(mine)})
        if not found:
            raise CrossbandError("no image of these frames can be used; crossband data check lists the faults")
        output = _gathered(found, rows, present)
        if not self.training or len(found) == len(self.bands):
            return output
        # a stream without an image takes part with nothing: processes that train together wait for all of them
        idle = [stream for j, stream in enumerate(self.streams.values()) if j not in found]
        nothing = [p.sum() * 0 for stream in idle for p in stream.parameters() if p.requires_grad]
        return replace(output, penalty=output.penalty + torch.stack(nothing).sum())

    def _outputs(self, images: dict[int, torch.Tensor]) -> dict[int, StreamOutput]:
        """What each stream says of the images of its band, by the band's position."""
        streams = list(self.streams.values())
        return {j: streams[j](part.contiguous(memory_format=torch.channels_last)) for j, part in images.items()}

    def train(self, mode: bool = True) -> Streams:
        """Switch to training mode; BatchNorm stays in evaluation where its statistics are frozen."""
        super().train(mode)
        if mode and self.freeze_batchnorm:
            freeze_batchnorm(self)
        return self


class SharedStreams(Streams):
    """One network that reads all bands, each behind a small layer of its own.

    What it says of two bands lies in one space: an image of one can be searched among images of another.

    Args:
        bands: in the order of their images.
        shared: the module that reads all of them, as a stream of :class:`Streams`.
        freeze_batchnorm: keep the running statistics of BatchNorm while training.
    """

    comparable = True

    def __init__(self, bands: Iterable[str], shared: nn.Module, freeze_batchnorm: bool = False) -> None:
        super().__init__({band: BandAdapter() for band in bands}, freeze_batchnorm)
        self.shared = shared

    @property
    def encoder(self) -> nn.ModuleList:
        """The one encoder."""
        return nn.ModuleList([self.shared.get_submodule("encoder")])

    @property
    def dim(self) -> int:
        """Length of a band's features."""
        return int(cast(Any, self.shared).dim)

    def _outputs(self, images: dict[int, torch.Tensor]) -> dict[int, StreamOutput]:
        if not images:
            return {}
        adapted = super()._outputs(images)
        batch = torch.cat([cast(torch.Tensor, part) for part in adapted.values()])
        output = self.shared(batch.contiguous(memory_format=torch.channels_last))
        parts: dict[str, Any] = {
            one.name: getattr(output, one.name).split([len(part) for part in images.values()])
            for one in fields(StreamOutput)
            if one.name != "penalty" and getattr(output, one.name) is not None
        }
        found = {j: StreamOutput(**{k: v[i] for k, v in parts.items()}) for i, j in enumerate(images)}
        if output.penalty is not None:
            first = next(iter(found))
            found[first] = replace(found[first], penalty=output.penalty)
        return found


class BandAdapter(nn.Module):
    """What a band's own part of a shared network is: a residual of two 3x3 convolutions, at first nothing.

    Example:
        >>> images = torch.randn(2, 3, 8, 8)
        >>> torch.equal(BandAdapter()(images), images)
        True
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(torch.Tensor, self.last.bias))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return images ``(b, 3, H, W)`` as the shared network reads them."""
        return images + self.last(torch.relu(self.first(images)))


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
    shared: bool = False,
) -> tuple[Streams, str]:
    """Create one stream per band, and return their encoders' digest.

    Args:
        bands: of any number, in the order their images will come in.
        classes: identities to be told apart in training.
        stream: ``ide`` (the one-stream baseline, MSN and HAMNet), ``cosine``, ``pcb``, ``mgn`` or ``abd``.
        encoder: see :func:`crossband.list_models`; ``timm/NAME`` for any model of timm.
        layer: where the encoders are cut; their last maps where ``None``.
        size: (height, width) of an image.
        options: of the stream.
        weights: a file or folder to look for the encoder's weights in first.
        pretrained: ``False`` leaves random weights.
        freeze_batchnorm: keep the running statistics of BatchNorm while training.
        train_from: the first layer of the encoders that is trained; all where ``None``.
        shared: one network for all bands; see :class:`SharedStreams`. Else they share no weights.

    Raises:
        CrossbandError: an unknown name or option, fewer than two classes, or weights that are missing.

    Example:
        >>> network, _ = create_streams(["rgb", "tir"], 5, encoder="squeezenet1_1", pretrained=False)
        >>> network(torch.zeros(2, 2, 3, 64, 128)).features.shape
        torch.Size([2, 2, 512])
    """
    if classes < 2:
        raise CrossbandError(f"training needs at least two identities, not {classes}")
    names = list(dict.fromkeys(bands))
    plan = _Plan(stream, encoder, classes, layer, size, options or {}, weights, pretrained, train_from)
    made = [plan.build() for _ in names[: 1 if shared else None]]
    digest = made[-1].get_submodule("encoder").digest if made else ""
    network = (
        SharedStreams(names, made[0], freeze_batchnorm)
        if shared and made
        else Streams(dict(zip(names, made, strict=True)), freeze_batchnorm)
    )
    # convolutions of maps whose channels lie together are 1.5 times as fast on a CPU
    return network.to(memory_format=torch.channels_last).eval(), cast(str, digest)


@dataclass(frozen=True)
class _Plan:
    """What a stream is made of; see :func:`create_streams`."""

    stream: str
    encoder: str
    classes: int
    layer: str | None
    size: tuple[int, int]
    options: Mapping[str, Any]
    weights: str | Path | None
    pretrained: bool
    train_from: str | None

    def build(self) -> nn.Module:
        """A stream, whose parameters require gradients where they are trained."""
        body = create_encoder(self.encoder, self.weights, self.pretrained)
        cut = body.check_layer(self.layer)
        with torch.inference_mode():
            channels = body(torch.zeros(1, 3, *self.size), cut).shape[1]
        try:
            one = find_stream(self.stream).build(body, cut, channels, self.classes, **self.options)
        except TypeError as error:
            raise CrossbandError(f"stream {self.stream} does not take these options: {error}") from None
        one.requires_grad_(True)
        reached = reached_parameters(body, self.size, getattr(one, "layer", cut), self.train_from)
        for parameter in body.parameters():
            parameter.requires_grad_(parameter in reached)
        return one
