"""Re-ranking by an encoder's own maps: matches, a similarity, agreement, and the probability of one place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, replace
from itertools import islice

import numpy as np
import torch

from ..devices import device_of
from ..nn import Encoder
from ..nn.reranker import Reranker, Verdict
from .agreement import Laid, lay_over
from .features import LocalFeatures
from .geometry import consensus
from .matches import mutual_matches
from .same_place import Evidence, SamePlace

__all__ = ["MatchReranker"]

_THRESHOLD = 2.0  # cells
_DISTANCE_WEIGHT = 0.003  # chosen on LLVIP, whose frames differ by a pedestrian, and on two other cities
_DEVIATION = 10.0  # inliers that weigh as a deviation of the list's distances, within a band; from Corridor
_TOGETHER = 4  # candidates in one product, which then stays in the cache of a core
_FLAT = 1e-3  # a factor of scale that is none
_STEP = 2  # of the query's rows and columns one in two is matched: a quarter of the work, the same recall


class MatchReranker(Reranker):
    """Order candidates by how they agree once laid over the query, and by descriptors' distances.

    Args:
        encoder: whose maps are compared.
        size: (height, width) of its images.
        features: other local features than the encoder's own choice.
        model: what makes a probability of matches; the packaged one by default.

    Example:
        >>> encoder = Encoder(torch.nn.Conv2d(3, 16, 3, 4, 1), "", local_layers=())
        >>> MatchReranker.possible(encoder)
        False
    """

    scale = 127.0  # of unit vectors

    def __init__(
        self,
        encoder: Encoder,
        size: tuple[int, int],
        features: LocalFeatures | None = None,
        model: SamePlace | None = None,
    ) -> None:
        super().__init__()
        self.features = LocalFeatures.of(encoder) if features is None else features
        self.model = SamePlace.packaged() if model is None else model
        self.identity = self.features.identity
        self.grid = self.features.grid(size)
        self.channels = self.features(torch.zeros(1, 3, *size, device=device_of(encoder))).shape[2]
        rows, columns = np.mgrid[: self.grid[0], : self.grid[1]]
        self._positions = (columns + 1j * rows).ravel().astype(np.complex64)
        chosen = np.arange(len(self._positions)).reshape(self.grid)[::_STEP, ::_STEP]
        self._chosen = np.ascontiguousarray(chosen).ravel()

    @staticmethod
    def possible(encoder: Encoder) -> bool:
        """Tell whether an encoder names layers of local features."""
        return bool(encoder.local_layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Local features ``(B, n, channels)``."""
        return self.features(images)

    def evidence(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> Evidence:
        """Collect what speaks for one place, of each candidate; see :class:`Reranker` for the arguments."""
        return self._laid(query, candidates)[0]

    def scores(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> np.ndarray:
        """Return how well each candidate agrees."""
        return self.evidence(query, candidates).agreement

    def judge(self, query: torch.Tensor, candidates: Iterable[torch.Tensor], distances: np.ndarray) -> Verdict:
        """Order by agreement less the distance of the descriptors, in deviations of the list's, weighted.

        The best two are laid over the query the other way around too, and change places where both ways
        together say so.
        """
        kept = list(candidates)
        found, laid = self._laid(query, kept)
        apart = np.asarray(distances, float)
        nearness = -_DISTANCE_WEIGHT * (apart - apart.mean()) / max(float(apart.std()), 1e-9)
        scores = found.agreement + nearness
        if len(kept) < 2:
            return Verdict(scores, found.inliers, self.model.probability(found))
        first, second = np.argsort(-scores, kind="stable")[:2].tolist()
        both = [
            (laid.agreement[row] + self._back(query, kept[row], laid, row)) / 2 + nearness[row]
            for row in (first, second)
        ]
        if both[1] > both[0]:
            scores[[first, second]] = scores[[second, first]]
            first = second
        return self._verdict(scores, found, first, abs(both[0] - both[1]))

    def judge_within(
        self, query: torch.Tensor, candidates: Iterable[torch.Tensor], distances: np.ndarray
    ) -> Verdict:
        """Order by inliers less the distance of the descriptors, in deviations of the list's, weighted.

        Within a band descriptors say more than across, and what is found is a place seen on another walk: near
        and far things lie elsewhere, and no one transform lays all of the one image over the other.
        """
        found, apart = self.evidence(query, candidates), np.asarray(distances, float)
        scores = found.inliers - _DEVIATION * (apart - apart.mean()) / max(float(apart.std()), 1e-9)
        if len(scores) < 2:
            return Verdict(scores, found.inliers, self.model.probability(found))
        first = int(scores.argmax())
        ahead = float(found.agreement[first] - np.delete(found.agreement, first).max())
        return self._verdict(scores, found, first, max(ahead, 0.0))

    def _verdict(self, scores: np.ndarray, found: Evidence, first: int, ahead: float) -> Verdict:
        """The verdict, where the first of the list agrees better than all others by ``ahead``."""
        margin = np.zeros(len(scores))
        margin[first] = ahead
        return Verdict(scores, found.inliers, self.model.probability(replace(found, margin=margin)))

    def _similar(
        self, query: torch.Tensor, candidates: list[torch.Tensor], room: torch.Tensor | None = None
    ) -> np.ndarray:
        """Cosines of the chosen positions of a query and all of some candidates, ``(k, p, n)``.

        With ``room`` of at least that shape they are written there: fresh memory costs as much as the product.
        """
        asked = query[self._chosen]
        if room is None:
            room = query.new_empty(len(candidates), len(asked), len(candidates[0]))
        for candidate, place in zip(candidates, room, strict=False):
            torch.mm(asked, candidate.T, out=place)
        return room[: len(candidates)].cpu().numpy()

    def _back(self, query: torch.Tensor, candidate: torch.Tensor, laid: Laid, row: int) -> float:
        """The agreement of a candidate laid over the query, from where the query lies on it."""
        factor, offset = laid.factor[row : row + 1], laid.offset[row : row + 1]
        factor = np.where(np.abs(factor) > _FLAT, factor, 1)
        here = self._positions[self._chosen]
        similar = self._similar(candidate, [query])
        return float(lay_over(similar, here, 1 / factor, -offset / factor, self.grid).agreement[0])

    def _laid(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> tuple[Evidence, Laid]:
        """The evidence of candidates, and how the query lies on them."""
        rows: list[tuple[float, float, float, float]] = []
        laid = [Laid(np.empty(0, complex), np.empty(0, complex), np.empty(0))]
        left = iter(candidates)
        room = query.new_empty(_TOGETHER, len(self._chosen), len(query))
        while some := list(islice(left, _TOGETHER)):
            compared, over = self._compared(self._similar(query, some, room))
            rows += compared
            laid.append(over)
        joined = Laid(*(np.concatenate(a) for a in zip(*(astuple(one) for one in laid), strict=True)))
        return Evidence.of(rows, joined.agreement), joined

    def _compared(self, similar: np.ndarray) -> tuple[list[tuple[float, float, float, float]], Laid]:
        """Evidence of some candidates, by their cosines ``(k, p, n)``, and how the query lies on them."""
        here = self._positions[self._chosen]
        rows, factor, offset = [], np.ones(len(similar), complex), np.zeros(len(similar), complex)
        best = similar.max(1)
        for i, one in enumerate(similar):
            matches = mutual_matches(one, best[i])
            mine, theirs = here[matches.mutual], self._positions[matches.partner[matches.mutual]]
            found = consensus(mine, theirs, _THRESHOLD, side=max(self.grid))
            rows.append(Evidence.row(mine, found.inliers, matches.similarity[matches.mutual], self.grid))
            factor[i], offset[i] = found.factor, found.offset
        return rows, lay_over(similar, here, factor, offset, self.grid, best)
