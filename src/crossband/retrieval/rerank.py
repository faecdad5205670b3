"""Re-ranking: the first items of each query are compared once more, by local features, and put in that order.

What compares them is a :class:`crossband.nn.reranker.Reranker`: the model's own where it has one (R2Former,
Patch-NetVLAD), else matches of its encoder's maps that a similarity explains
(:class:`crossband.matching.MatchReranker`), where the encoder names maps that are good for it. Local features
are made when an image is read for its descriptor, and stored as descriptors are, so that a run that was stopped
goes on, and a second one computes none again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..bands import Band
from ..data.preprocess import Warp
from ..devices import device_of
from ..errors import CrossbandError
from ..frames import Frames
from ..io import as_image
from ..matching import MatchReranker
from ..matching.keypoints import OWN, KeypointReranker, create_features
from ..metrics import Ranks
from ..metrics.protocol import PositiveMask
from ..metrics.reliability import reliability
from ..models import find_model
from ..nn import Encoder, Pooling
from ..nn.reranker import Reranker, Verdict
from ..progress import track
from .descriptor import Descriptor
from .descriptor_cache import DescriptorStore
from .directions import Sides
from .search import DEFAULT_MEMORY, exact_search

__all__ = ["DEFAULT_RERANK", "LIKELY", "LocalReader", "Reranked", "Reranking", "rerank"]

DEFAULT_RERANK = 10
LIKELY = 0.5
"""The probability of one place from which on a match counts as found."""


@dataclass(frozen=True)
class Reranking:
    """What re-ranks a descriptor's lists.

    Attributes:
        reranker: what compares two images.
        descriptor: describes an image by its local features, flattened.
    """

    reranker: Reranker
    descriptor: Descriptor

    @classmethod
    def of(
        cls, descriptor: Descriptor, features: str = OWN, weights: str | Path | None = None
    ) -> Reranking | None:
        """Make what re-ranks a descriptor's lists, with its weights; ``None`` where nothing can.

        Args:
            descriptor: whose lists.
            features: ``encoder`` for the model's own re-ranker or its encoder's maps; else learned local
                features by their name (:func:`crossband.matching.list_features`), for any descriptor.
            weights: where to look for their weights first.
        """
        if features == OWN:
            reranker = _reranker(descriptor)
        else:
            made = create_features(features, weights)
            reranker = KeypointReranker(made, features, descriptor.encoder.statistics)
        if reranker is None:
            return None
        reranker = reranker.to(descriptor.device).eval()
        body = nn.Sequential(OrderedDict(local=reranker, out=nn.Flatten())).eval()
        local = replace(
            descriptor,
            name=f"{descriptor.name}, local features",
            encoder_name=f"{descriptor.encoder_name}/{getattr(reranker, 'identity', 'local')}",
            encoder=Encoder(body, "out", statistics=descriptor.encoder.statistics),
            layer="out",
            pooling=Pooling.parse("flat"),
            center=False,
            axes=None,
            means=None,
        )
        return cls(reranker, local)

    def pooled(self, descriptor: Descriptor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pooled vectors ``(B, d)`` and local features, flattened, of images ``(B, 3, h, w)``.

        The images are preprocessed; both are float32 on the CPU.
        """
        return descriptor.pooled(images), self.descriptor.pooled(images)

    def store(self, folder: str | Path | None) -> DescriptorStore:
        """Return the store of local features in a folder."""
        return DescriptorStore(folder, self.descriptor.fingerprint, self.reranker.scale)

    def features(self, row: np.ndarray) -> torch.Tensor:
        """Local features ``(n, channels)`` of a stored row, where the re-ranker reads them."""
        features = torch.from_numpy(np.ascontiguousarray(row)).reshape(-1, self.reranker.channels)
        return features.to(device_of(self.reranker))

    def for_frames(self, frames: Frames) -> Reranking:
        """Return the same, of images as the rig of some frames shows them."""
        return replace(self, descriptor=self.descriptor.for_frames(frames))

    def with_warp(self, warp: Warp | None) -> Reranking:
        """Return the same, of images that are first misaligned by ``warp``."""
        return replace(self, descriptor=self.descriptor.with_warp(warp))


def _reranker(descriptor: Descriptor) -> Reranker | None:
    try:
        make = find_model(descriptor.encoder_name).reranker
    except CrossbandError:  # a trained network, by no name
        make = None
    if make is not None:
        return make(descriptor.encoder)
    if MatchReranker.possible(descriptor.encoder):
        return MatchReranker(descriptor.encoder, descriptor.preprocess.size)
    return None


@dataclass(frozen=True)
class Reranked:
    """The first items of each query, best first.

    Attributes:
        columns: int64 ``(n, k)``: rows of the gallery.
        distances: float32 ``(n, k)``: between the descriptors.
        scores: float64 ``(n, k)``: of the re-ranker; more is better.
        inliers: int64 ``(n, k)``, or ``None`` where no geometry is looked at.
        same_place: float64 ``(n, k)``: probabilities, or ``None``.
    """

    columns: np.ndarray
    distances: np.ndarray
    scores: np.ndarray
    inliers: np.ndarray | None = None
    same_place: np.ndarray | None = None

    def ranks(self, before: Ranks, positives: PositiveMask) -> Ranks:
        """Return the ranks after re-ranking; what lies behind the first ``k`` stays there.

        A tie counts against the model.
        """
        ranks = before.ranks.copy()
        for row in np.flatnonzero(ranks).tolist():
            right = positives.block(row, row + 1)[0][self.columns[row]]
            if right.any():
                best = self.scores[row][right].max()
                ranks[row] = 1 + int((self.scores[row][~right] >= best).sum())
            else:
                ranks[row] = max(ranks[row], self.columns.shape[1] + 1)
        return Ranks(ranks)

    def trust(self, positives: PositiveMask, likely: float = LIKELY) -> dict[str, object] | None:
        """Tell how far ``same_place`` can be trusted; ``None`` where there are no probabilities.

        Of each query, the most probable right item is held against the most probable wrong one.

        Args:
            positives: what is right.
            likely: the probability from which on an item counts as the same place: what share of right and of
                wrong ones it would call so is ``right_accepted`` and ``wrong_accepted``, in percent.
        """
        if self.same_place is None:
            return None
        probable, right = [], []
        for row, columns in enumerate(self.columns):
            is_right = positives.block(row, row + 1)[0][columns]
            for mine in (is_right, ~is_right):
                if mine.any():
                    probable.append(self.same_place[row][mine].max())
                    right.append(mine is is_right)
        if not probable:
            return None
        values, is_right = np.array(probable), np.array(right)
        accepted = {
            f"{name}_accepted": float(100 * (values[mine] >= likely).mean()) if mine.any() else None
            for name, mine in (("right", is_right), ("wrong", ~is_right))
        }
        return {**asdict(reliability(values, is_right)), "likely": likely, **accepted}


def rerank(
    sides: Sides, local: Sides, reranker: Reranker, k: int, max_memory: int = DEFAULT_MEMORY
) -> Reranked:
    """Compare the first ``k`` items of each query once more.

    Args:
        sides: the descriptors; ``local`` the same images' local features, flattened.
        reranker: what compares two images.
        k: items of each list that are compared.
        max_memory: bytes for distances.

    Raises:
        CrossbandError: fewer than one item.
    """
    if k < 1:
        raise CrossbandError(f"re-ranking compares at least 1 item, not {k}", parameter="rerank")
    itself = sides.itself()
    distances, columns = exact_search(sides.queries, sides.gallery, k + (itself is not None), max_memory)
    if itself is not None:
        others = np.argsort(columns == itself[:, None], axis=1, kind="stable")[:, :-1]
        distances, columns = (np.take_along_axis(a, others, 1) for a in (distances, columns))
    device = next((p.device for p in reranker.parameters()), torch.device("cpu"))
    judge = reranker.judge_within if sides.same_band else reranker.judge

    def features(rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rows).reshape(-1, reranker.channels).to(device)

    verdicts: list[Verdict] = []
    with torch.inference_mode():
        for row in track(
            range(len(columns)), len(columns), f"re-ranking the first {columns.shape[1]}", "queries"
        ):
            candidates: Iterator[torch.Tensor] = (
                features(local.gallery.rows(column, column + 1)) for column in columns[row].tolist()
            )
            asked = features(local.queries.rows(row, row + 1))
            verdicts.append(judge(asked, candidates, distances[row]))
    scores = np.stack([verdict.scores for verdict in verdicts]) if verdicts else np.empty(columns.shape)
    order = np.argsort(-scores, axis=1, kind="stable")

    def ordered(name: str) -> np.ndarray | None:
        found = [getattr(verdict, name) for verdict in verdicts]
        if not found or any(one is None for one in found):
            return None
        return np.take_along_axis(np.stack(found), order, 1)

    columns, distances, scores = (np.take_along_axis(a, order, 1) for a in (columns, distances, scores))
    return Reranked(columns, distances, scores, ordered("inliers"), ordered("same_place"))


class LocalReader:
    """Local features of single images: kept ones, or made of what the files hold.

    Args:
        reranking: what re-ranks.
        folder: where a gallery keeps local features, if it does; it need not be there.
    """

    def __init__(self, reranking: Reranking, folder: Path | None) -> None:
        self._reranking = reranking
        self._kept = reranking.store(folder) if folder is not None and folder.is_dir() else None

    def of_image(self, image: Any, band: Band, units: str | None = None) -> torch.Tensor:
        """Return those of an image, rounded as kept ones are.

        Raises:
            ImageFault: it cannot be used.
        """
        preprocess = self._reranking.descriptor.preprocess
        tensor = preprocess(as_image(image, band, units, preprocess.least(band)), band)
        row = self._reranking.descriptor.pooled(tensor[None]).numpy()[0]
        scale = self._reranking.reranker.scale
        if scale:
            row = np.clip(np.rint(row * scale), -127, 127) / np.float32(scale)
        return self._reranking.features(row.astype(np.float32))

    def of_item(self, content: str, path: str, band: Band, units: str | None) -> torch.Tensor | None:
        """Return those of an item of a gallery; ``None`` where it is not kept and its image is not there."""
        key = f"{content}-{band.value}"
        if self._kept is not None and key in self._kept:
            return self._reranking.features(self._kept.select([key]).rows(0, 1)[0])
        try:
            return self.of_image(path, band, units)
        except CrossbandError:
            return None

    def judge(
        self, query: torch.Tensor, items: Sequence[torch.Tensor], distances: np.ndarray, same_band: bool
    ) -> Verdict:
        """Judge some items by their local features and their distances; ``same_band`` as the query."""
        reranker = self._reranking.reranker
        with torch.inference_mode():
            return (reranker.judge_within if same_band else reranker.judge)(query, iter(items), distances)
