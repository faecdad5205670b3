"""Re-ranking: the first items of each query are compared once more, by local features, and put in that order.

What compares them is the model's own (:class:`crossband.nn.reranker.Reranker`). Local features are described
and stored as descriptors are, so that a run that was stopped goes on, and a second one computes none again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..errors import CrossbandError
from ..metrics import Ranks
from ..metrics.protocol import PositiveMask
from ..models import find_model, list_rerankers
from ..nn import Encoder, Pooling
from ..nn.reranker import Reranker
from ..progress import track
from .descriptor import Descriptor, encoder_name
from .directions import Sides
from .search import DEFAULT_MEMORY, exact_search

__all__ = ["Reranked", "SecondLook", "check_second_look", "rerank"]


@dataclass(frozen=True)
class SecondLook:
    """How a model re-ranks.

    Attributes:
        reranker: what compares two images.
        descriptor: describes an image by its local features, flattened.
    """

    reranker: Reranker
    descriptor: Descriptor

    @classmethod
    def of(cls, descriptor: Descriptor) -> SecondLook | None:
        """Load the re-ranking of a descriptor's model, with its weights; ``None`` where it has none."""
        try:
            make = find_model(descriptor.encoder_name).reranker
        except CrossbandError:  # a trained network, by no name
            return None
        if make is None:
            return None
        reranker = make(descriptor.encoder)
        body = nn.Sequential(OrderedDict(local=reranker, out=nn.Flatten())).eval()
        local = replace(
            descriptor,
            name=f"{descriptor.name}, local features",
            encoder_name=f"{descriptor.encoder_name}/local",
            encoder=Encoder(body, "out", statistics=descriptor.encoder.statistics),
            layer="out",
            pooling=Pooling.parse("flat"),
            center=False,
            axes=None,
            means=None,
        )
        return cls(reranker, local)


@dataclass(frozen=True)
class Reranked:
    """The first items of each query, best first after re-ranking.

    Attributes:
        columns: int64 ``(n, k)``: rows of the gallery.
        distances: float32 ``(n, k)``: between the descriptors.
        scores: float64 ``(n, k)``: of the re-ranking; more is better.
    """

    columns: np.ndarray
    distances: np.ndarray
    scores: np.ndarray

    def ranks(self, before: Ranks, positives: PositiveMask) -> Ranks:
        """Return the ranks after re-ranking.

        What lies behind the first ``k`` stays there, and ties are ranked pessimistically.
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


def rerank(
    sides: Sides, local: Sides, reranker: Reranker, k: int, max_memory: int = DEFAULT_MEMORY
) -> Reranked:
    """Re-rank the first ``k`` items of each query.

    Args:
        sides: the descriptors; ``local`` the same images' local features, flattened.
        reranker: what compares two images.
        k: items of each list that are compared.
        max_memory: bytes for distances.

    Raises:
        CrossbandError: fewer than one item.
    """
    if k < 1:
        raise CrossbandError(f"--rerank must be at least 1, not {k}")
    itself = sides.itself()
    distances, columns = exact_search(sides.queries, sides.gallery, k + (itself is not None), max_memory)
    if itself is not None:
        others = np.argsort(columns == itself[:, None], axis=1, kind="stable")[:, :-1]
        distances, columns = (np.take_along_axis(a, others, 1) for a in (distances, columns))
    device = next((p.device for p in reranker.parameters()), torch.device("cpu"))

    def features(rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rows).reshape(-1, reranker.channels).to(device)

    scores = np.empty(columns.shape)
    with torch.inference_mode():
        for row in track(
            range(len(columns)), len(columns), f"re-ranking the first {columns.shape[1]}", "queries"
        ):
            candidates: Iterator[torch.Tensor] = (
                features(local.gallery.rows(column, column + 1)) for column in columns[row].tolist()
            )
            scores[row] = reranker.scores(features(local.queries.rows(row, row + 1)), candidates)
    order = np.argsort(-scores, axis=1, kind="stable")
    return Reranked(*(np.take_along_axis(a, order, 1) for a in (columns, distances, scores)))


def check_second_look(names: Sequence[str]) -> None:
    """Check that at least one of some descriptors can re-rank.

    Raises:
        CrossbandError: none; those that can are named.
    """
    have = list_rerankers()
    models = {encoder_name(name) for name in names}
    if models.isdisjoint(have) and not any(name.endswith(".safetensors") for name in names):
        raise CrossbandError(
            f"{', '.join(names)} cannot re-rank; leave the re-ranking out, or choose of {', '.join(have)}",
            parameter="rerank",
        )
