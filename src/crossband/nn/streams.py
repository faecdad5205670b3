"""Streams: one network a band, that share no weights, side by side on the images of a frame.

Li et al., "Multi-Spectral Vehicle Re-Identification: A Challenge", AAAI 2020, figure 5. One list of bands, of
any length, goes through the same code: one band is the one-stream baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from torch import nn

from ..bands import parse_band
from ..errors import CrossbandError
from ..preprocess import Statistics
from .encoder import Encoder

__all__ = ["StreamOutput", "Streams", "StreamsOutput"]


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
            raise CrossbandError("a network of streams has one band at least; name some in data.bands")
        self.bands = tuple(parse_band(band).value for band in streams)
        self.streams = nn.ModuleDict(dict(zip(self.bands, streams.values(), strict=True)))
        self.freeze_batchnorm = freeze_batchnorm

    @property
    def encoder(self) -> nn.ModuleList:
        """The encoders of all streams, whose learning rate may be another than the heads'."""
        return nn.ModuleList([stream.get_submodule("encoder") for stream in self.streams.values()])

    @property
    def statistics(self) -> Statistics:
        """What the encoders' weights expect their input to be standardised by."""
        return cast(Encoder, self.encoder[0]).statistics

    @property
    def dim(self) -> int:
        """Numbers in a band's features."""
        return int(cast(Any, next(iter(self.streams.values()))).dim)

    def forward(self, images: torch.Tensor, present: torch.Tensor | None = None) -> StreamsOutput:
        """All streams on their bands.

        Args:
            images: standardised, float32 ``(B, m, 3, H, W)``, the bands in the order of :attr:`bands`.
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
        """Training mode; BatchNorm stays in evaluation where its statistics are frozen."""
        super().train(mode)
        if mode and self.freeze_batchnorm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
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
    assert stacked["features"] is not None
    penalty = torch.stack(penalties).sum() if penalties else stacked["features"].new_zeros(())
    return StreamsOutput(present, stacked["features"], stacked["scores"], stacked["maps"],  # type: ignore[arg-type]
                         stacked["embeddings"], penalty)  # fmt: skip
