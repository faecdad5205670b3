"""Same place or not: from what geometry explains to a probability, by a logistic regression.

The weights that come with the package were fitted on the simulated city and on M3SVD (MIT) and on no set that
docs/matching.md measures on (``python -m benchmarks.matching calibrate``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import CrossbandError
from ..files import write_file

__all__ = ["Evidence", "SamePlace"]

PACKED = Path(__file__).with_name("same_place.json")
_FEATURES = 4  # of a pair by itself; in a list there is the margin too
_CLEAR = 0.05  # a margin of agreement above which a match leads its list beyond doubt


@dataclass(frozen=True)
class Evidence:
    """What speaks for one place, of ``k`` pairs of images.

    Attributes:
        inliers: int64 ``(k,)``: matches that one similarity explains.
        share: float64 ``(k,)``: inliers among the mutual matches.
        spread: float64 ``(k,)``: deviation of the inliers over the image, across its narrower direction, as
            a share of what positions all over the image have; 0 for a line or a point.
        similarity: float64 ``(k,)``: mean cosine of the inliers.
        agreement: float64 ``(k,)``: of all positions once the one image is laid over the other; see
            :mod:`crossband.matching.agreement`.
        margin: float64 ``(k,)``: by how much the best of a list agrees better than the next, 0 for all
            others (the second may show the same place too); ``None`` for pairs that are no list.
    """

    inliers: np.ndarray
    share: np.ndarray
    spread: np.ndarray
    similarity: np.ndarray
    agreement: np.ndarray
    margin: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, float, float]], agreement: np.ndarray) -> Evidence:
        """Evidence of pairs, each as :meth:`row` gives it, and how far they agree ``(k,)``."""
        table = np.array(rows, float).reshape(-1, 4)
        return cls(
            table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3], np.asarray(agreement, float)
        )

    @staticmethod
    def row(
        here: np.ndarray, inliers: np.ndarray, similarity: np.ndarray, grid: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """Return one pair's positions, inliers, cosines, and the (rows, columns) that positions lie in.

        The positions of the matches ``(m,)`` are complex numbers.
        """
        n = int(inliers.sum())
        if n < 3:
            return float(n), 0.0, 0.0, 0.0
        where = here[inliers]
        narrow = math.sqrt(max(_least_variance(where.real / grid[1], where.imag / grid[0]), 0.0) * 12)
        return float(n), n / len(here), min(narrow, 1.0), float(similarity[inliers].mean())

    def strength(self) -> np.ndarray:
        """Compute inliers over the root of all mutual matches, float64 ``(k,)``."""
        return np.sqrt(self.inliers * self.share)

    def features(self) -> np.ndarray:
        """Return what the regression reads, float64 ``(k, 4)``, or ``(k, 5)`` of a list.

        The cosine is not among them: between right pairs of bands that see different things it is lower than
        between chance matches of wrong ones.
        """
        columns = [self.strength(), self.share, self.spread, self.agreement]
        if self.margin is not None:
            columns.append(np.clip(self.margin, 0, _CLEAR))
        return np.stack(columns, 1)


@dataclass(frozen=True)
class SamePlace:
    """Two logistic regressions on :class:`Evidence`: of a pair by itself, and of the pairs of a list.

    Attributes:
        weights: one a feature of :meth:`Evidence.features`.
        bias: log odds where all of them are zero.
        listed_weights: the same for a list, the margin's at the end.
        listed_bias: likewise.
        fitted_on: the sets, in words.

    Example:
        >>> model = SamePlace((1.0, 0.0, 0.0, 0.0), -2.0, (1.0, 0.0, 0.0, 0.0, 20.0), -2.0, "nothing")
        >>> evidence = Evidence.of([(0, 0, 0, 0), (36, 1, 1, 1)], np.array([0.0, 0.5]))
        >>> model.probability(evidence).round(2).tolist()
        [0.12, 0.98]
    """

    weights: tuple[float, ...]
    bias: float
    listed_weights: tuple[float, ...]
    listed_bias: float
    fitted_on: str

    @classmethod
    def packaged(cls) -> SamePlace:
        """Load the one that comes with the package."""
        return cls.read(PACKED)

    @classmethod
    def read(cls, path: str | Path) -> SamePlace:
        """Read what :meth:`write` wrote.

        Raises:
            CrossbandError: no such file, or not one of these.
        """
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
            weights = _weights(said["weights"], _FEATURES), _weights(said["listed_weights"], _FEATURES + 1)
            bias = _weights([said["bias"], said["listed_bias"]], 2)
            return cls(weights[0], bias[0], weights[1], bias[1], str(said["fitted_on"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CrossbandError(f"{path} is no calibration of same place ({error})") from None

    def write(self, path: str | Path) -> Path:
        """Write it as JSON."""
        return write_file(path, json.dumps(asdict(self), indent=1) + "\n")

    def probability(self, evidence: Evidence) -> np.ndarray:
        """Return the probability of one place, float64 ``(k,)`` in [0, 1]."""
        alone = evidence.margin is None
        weights, bias = (self.weights, self.bias) if alone else (self.listed_weights, self.listed_bias)
        odds = evidence.features() @ np.array(weights) + bias
        return 1 / (1 + np.exp(-np.clip(odds, -50, 50)))


def _least_variance(x: np.ndarray, y: np.ndarray) -> float:
    """The variance of points along the direction in which it is least."""
    x, y = x - x.mean(), y - y.mean()
    xx, yy, xy = (float(np.dot(a, b)) / (len(x) - 1) for a, b in ((x, x), (y, y), (x, y)))
    return (xx + yy) / 2 - math.hypot((xx - yy) / 2, xy)


def _weights(values: list[float], count: int) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f"{count} finite numbers expected")
    return found
