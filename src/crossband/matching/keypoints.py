"""Learned local features behind one interface: points with descriptors, or matches of two images at once.

All read the locally normalized gradient image (:mod:`.gradients`), not the image: between bands the input
matters more than the network (docs/matching.md). Each is one entry of a registry; :mod:`.learned` has those of
kornia and of XFeat, by their authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.preprocess import Statistics
from ..errors import CrossbandError
from ..nn.reranker import Reranker, Verdict
from ..registry import Registry
from .align import Aligner, Picture
from .geometry import consensus
from .gradients import gradient_image, restandardized
from .same_place import Evidence

__all__ = [
    "FEATURES",
    "FeatureEntry",
    "KeypointReranker",
    "LearnedAligner",
    "PairMatcher",
    "Points",
    "create_aligner",
    "create_features",
    "list_features",
    "register_features",
]

OWN = "encoder"
"""The name of the encoder's own maps, which need nothing more."""
_POINTS = 512
_THRESHOLD = 10.0  # pixels of 320
_DISTANCE_WEIGHT = 0.3  # as that of the encoder's own maps
_LONGER = 480  # pixels of a side that images are matched at


@dataclass(frozen=True)
class Points:
    """The local features of one image.

    Attributes:
        where: float32 ``(n, 2)``: column and row in pixels.
        descriptors: float32 ``(n, dim)``, of unit length.
        size: (height, width) of the image.
    """

    where: torch.Tensor
    descriptors: torch.Tensor
    size: tuple[int, int]


class PairMatcher:
    """What matches two gradient images, gray in [0, 1]."""

    dim: int | None = None
    """Of a descriptor; ``None`` where there are no points, only matches of two images."""
    digest: str = ""
    """The first digits of the SHA-256 of its weights."""

    def points(self, image: torch.Tensor, most: int) -> Points:
        """Return the strongest points of an image ``(1, 1, H, W)``.

        Raises:
            CrossbandError: it knows no points, only matches.
        """
        raise CrossbandError(f"{type(self).__name__} matches two images at once and has no points by itself")

    def match(self, first: Points, second: Points) -> np.ndarray:
        """Match points, int64 ``(m, 2)``: mutual nearest neighbors, where there is no matcher of its own."""
        product = first.descriptors @ second.descriptors.T
        if not product.numel():
            return np.empty((0, 2), np.int64)
        partner = product.argmax(1)
        mutual = product.argmax(0)[partner] == torch.arange(len(partner))
        here = torch.nonzero(mutual)[:, 0]
        return torch.stack([here, partner[here]], 1).numpy()

    def pairs(self, first: torch.Tensor, second: torch.Tensor, most: int = 1024) -> np.ndarray:
        """Match two images ``(1, 1, H, W)``: float64 ``(m, 4)``, column and row in the one and in the other."""
        one, other = self.points(first, most), self.points(second, most)
        found = self.match(one, other)
        return np.concatenate([one.where[found[:, 0]].numpy(), other.where[found[:, 1]].numpy()], 1).astype(
            float
        )


@dataclass(frozen=True)
class FeatureEntry:
    """A kind of local features.

    Attributes:
        name: what the command line calls it.
        about: one line: paper, parameters.
        license: of code and weights.
        create: makes it with its weights, looked for in a file or folder first; ``None`` where there is none.
        why_not: why it cannot be had, in words.
    """

    name: str
    about: str
    license: str
    create: Callable[[str | Path | None], PairMatcher] | None
    why_not: str = ""


FEATURES: Registry[FeatureEntry] = Registry("kind of local features", "crossband.matching.learned")


def register_features(
    name: str, about: str, license: str
) -> Callable[[Callable[[str | Path | None], PairMatcher]], Callable[[str | Path | None], PairMatcher]]:
    """Register the decorated function, which makes a :class:`PairMatcher` of weights."""

    def register(
        create: Callable[[str | Path | None], PairMatcher],
    ) -> Callable[[str | Path | None], PairMatcher]:
        FEATURES.add(name, FeatureEntry(name, about, license, create))
        return create

    return register


def list_features() -> list[FeatureEntry]:
    """Return every kind, by name, also those that cannot be had, which say why."""
    return FEATURES.list()


def create_features(name: str, weights: str | Path | None = None) -> PairMatcher:
    """Make learned local features with their authors' weights.

    Raises:
        CrossbandError: nobody knows the name, it cannot be had, a package lacks, or the weights are missing.
    """
    entry = FEATURES.get(name, also=[OWN])
    if entry.create is None:
        raise CrossbandError(f"{name} cannot be used: {entry.why_not}", parameter="features")
    return entry.create(weights)


def create_aligner(
    features: str = OWN, model: str = "homography", weights: str | Path | None = None
) -> Aligner:
    """Make what registers two images, by the encoder's own maps or by learned features.

    Raises:
        CrossbandError: as :func:`create_features`, or an unknown model.
    """
    return Aligner(model, weights) if features == OWN else LearnedAligner(features, model, weights)


class LearnedAligner(Aligner):
    """Registers images by the matches of learned local features.

    Whether both show one scene is still judged by the encoder's own maps, whose probability is calibrated.

    Args:
        features: a name of :func:`list_features`, or what it makes.
        model: ``similarity``, ``affine`` or ``homography``.
        weights: where to look for weights first.
    """

    def __init__(
        self, features: str | PairMatcher, model: str = "homography", weights: str | Path | None = None
    ) -> None:
        folder = weights if weights is not None and Path(weights).is_dir() else None
        super().__init__(model, folder)
        self._learned = features if isinstance(features, PairMatcher) else create_features(features, weights)

    def matches(self, first: Picture, second: Picture) -> tuple[np.ndarray, float]:
        """Match two images: ``(m, 4)`` that one similarity explains, and the probability of one scene."""
        _, likely = super().matches(first, second)
        scaled = [one.scaled(_LONGER, 8) for one in (first, second)]
        one, other = (gradient_image(torch.from_numpy(np.ascontiguousarray(i))[None, None]) for i, _ in scaled)
        with torch.inference_mode():
            pairs = self._learned.pairs(one, other)
        inside = _explained(pairs[:, :2], pairs[:, 2:], _THRESHOLD * _LONGER / 320, _LONGER)
        moved = [
            (np.concatenate([half, np.ones((len(half), 1))], 1) @ np.linalg.inv(scale).T)[:, :2]
            for half, (_, scale) in zip((pairs[inside, :2], pairs[inside, 2:]), scaled, strict=True)
        ]
        return np.concatenate(moved, 1), likely


class KeypointReranker(Reranker):
    """Order candidates by the matches of learned points that one similarity explains.

    Args:
        features: what finds and matches points.
        name: of the features.
        statistics: what images are standardized by.
        points: kept of an image.

    Raises:
        CrossbandError: features that match two images at once and keep nothing of one.
    """

    def __init__(self, features: PairMatcher, name: str, statistics: Statistics, points: int = _POINTS) -> None:
        super().__init__()
        if features.dim is None:
            raise CrossbandError(
                f"{name} matches two images at once, so nothing of one can be kept to re-rank by; choose "
                "aliked, disk or xfeat",
                parameter="rerank_features",
            )
        self.network, self.statistics, self.most = features, statistics, points
        self.channels = features.dim + 3
        self.identity = f"{name}-{features.digest}-{points}"
        self._size = (320, 320)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return points ``(B, n, dim + 3)``: descriptor, column, row, and 1 where there is one."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.statistics.mean, self.statistics.std))
        edges = restandardized(images.cpu(), self.statistics) * std + mean
        found = torch.zeros(len(images), self.most, self.channels)
        for row, image in enumerate(edges):
            points = self.network.points(image[None, :1], self.most)
            n = len(points.where)
            found[row, :n] = torch.cat([points.descriptors, points.where, torch.ones(n, 1)], 1)
        self._size = (images.shape[2], images.shape[3])
        return found

    def evidence(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> Evidence:
        """Collect what speaks for one place, of each candidate; see :class:`Reranker` for the arguments."""
        asked = self._points(query)
        rows = []
        for candidate in candidates:
            other = self._points(candidate)
            found = self.network.match(asked, other)
            here, there = asked.where[found[:, 0]].numpy(), other.where[found[:, 1]].numpy()
            side = max(self._size)
            inside = _explained(here, there, _THRESHOLD * side / 320, side)
            z = here[:, 0] + 1j * here[:, 1]
            rows.append(Evidence.row(z, inside, np.ones(len(z)), self._size))
        return Evidence.of(rows, np.zeros(len(rows)))  # points are no positions to lay over

    def scores(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> np.ndarray:
        """Return inliers over the root of the mutual matches."""
        return self.evidence(query, candidates).strength()

    def judge(self, query: torch.Tensor, candidates: Iterable[torch.Tensor], distances: np.ndarray) -> Verdict:
        """Return the scores less the distance of the descriptors; there is no calibrated probability."""
        found = self.evidence(query, candidates)
        apart = np.asarray(distances, float)
        deviations = (apart - apart.mean()) / max(float(apart.std()), 1e-9)
        return Verdict(found.strength() - _DISTANCE_WEIGHT * deviations, found.inliers)

    def _points(self, row: torch.Tensor) -> Points:
        there = row[:, -1] > 0.5
        kept = row[there].float().cpu()
        return Points(kept[:, -3:-1], kept[:, :-3], self._size)


def _explained(here: np.ndarray, there: np.ndarray, threshold: float, side: float) -> np.ndarray:
    """Which matches of pixels one similarity explains."""
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (here, there))
    return consensus(z, w, threshold, side=side, draws=512).inliers
