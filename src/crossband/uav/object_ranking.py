"""Which object of a flight is the one of the photograph, and how sure that is.

Objects are compared by their vectors, how surely they are objects, and their length where the photograph's is
known. A softmax over what these say gives each object its share; whether the object is there at all is a
logistic of how far the best stands out. The weights of both are calibrated on simulated cities, for the
networks that ship; see ``python -m benchmarks.flight_objects``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

__all__ = [
    "Evidence",
    "RankWeights",
    "fit_weights",
    "length_difference",
    "object_probabilities",
    "similarity",
]

_FILE = Path(__file__).parent / "object_ranking.json"
_LENGTH_SPREAD = 0.35  # of the logarithm of a length: a box is not the object, and it may be turned


@dataclass(frozen=True)
class Evidence:
    """What is known of the objects of a flight, beside one photograph.

    Attributes:
        alike: cosine similarity of each to the photograph, -1 to 1; float64 ``(n,)``.
        score: how surely it is an object, 0 to 1.
        length: how unlike its length is to that of the photograph's object, 0 (alike, or unknown) and up.
        seen: how many times it was seen.
    """

    alike: np.ndarray
    score: np.ndarray
    length: np.ndarray
    seen: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """Float64 ``(n, 4)``, each of an order of one."""
        score = np.clip(self.score, 0.01, 0.99)
        return np.stack(
            [10 * self.alike, np.log(score / (1 - score)), -np.minimum(self.length, 3), np.log(self.seen)], 1
        )


@dataclass(frozen=True)
class RankWeights:
    """What :func:`object_probabilities` weighs by.

    Attributes:
        share: of each of :attr:`Evidence.columns`.
        there: of the best object's similarity (times 10), of how many standard deviations it stands above the
            others, and the constant.
        made_by: digests of the detector and the descriptor that they were calibrated for.
    """

    share: tuple[float, ...]
    there: tuple[float, float, float]
    made_by: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path = _FILE) -> RankWeights:
        """Read the weights that ship."""
        said = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{name: tuple(values) for name, values in said.items()})

    def write(self, path: Path = _FILE) -> None:
        """Write them."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def similarity(photograph: np.ndarray, objects: list[np.ndarray]) -> np.ndarray:
    """Return how alike each object is: the mean over the better half of its boxes, float64 ``(n,)``.

    Args:
        photograph: unit vectors ``(turns, d)`` of the photograph, turned; the best turn counts.
        objects: of each, the unit vectors of its boxes ``(m, d)``.

    Example:
        >>> similarity(np.eye(2)[:1], [np.eye(2), np.eye(2)[1:]]).tolist()
        [1.0, 0.0]
    """
    found = []
    for vectors in objects:
        best = np.sort((vectors.astype(float) @ photograph.T.astype(float)).max(1))[::-1]
        found.append(best[: (len(best) + 1) // 2].mean())
    return np.array(found)


def object_probabilities(evidence: Evidence, weights: RankWeights) -> tuple[np.ndarray, float]:
    """Return the probability of each object to be the one, float64 ``(n,)``, and that the one is there.

    The former sum to the latter. Without any object both are nothing.
    """
    if not len(evidence.alike):
        return np.zeros(0), 0.0
    worth = evidence.columns @ np.array(weights.share)
    share = np.exp(worth - worth.max())
    share /= share.sum()
    there = 1 / (1 + np.exp(-float(_stands_out(evidence, worth) @ np.array(weights.there))))
    return share * there, float(there)


def _stands_out(evidence: Evidence, worth: np.ndarray) -> np.ndarray:
    """How alike the best is, by how much it stands above the others, and one."""
    best = int(worth.argmax())
    apart = (worth[best] - worth.mean()) / max(float(worth.std()), 0.1)
    return np.array([10 * evidence.alike[best], apart, 1.0])


def length_difference(length: np.ndarray, asked: float | None) -> np.ndarray:
    """Return how unlike lengths, meters, are to that of the photograph's object; 0 if unknown.

    Example:
        >>> length_difference(np.array([4.5, 9.0]), 4.5).round(1).tolist()
        [0.0, 2.0]
    """
    if asked is None:
        return np.zeros(len(length))
    return np.abs(np.log(np.maximum(length, 1e-3) / asked)) / _LENGTH_SPREAD


def fit_weights(present: list[tuple[Evidence, int]], absent: list[Evidence]) -> RankWeights:
    """Fit the weights by maximum likelihood, drawn a little to zero.

    Args:
        present: what is known of the objects of a flight, and which of them the photograph shows.
        absent: the same of photographs whose object is not in the flight.
    """

    def shares(weights: np.ndarray) -> float:
        loss = 0.05 * float(weights @ weights)
        for evidence, right in present:
            worth = evidence.columns @ weights
            loss -= worth[right] - worth.max() - np.log(np.exp(worth - worth.max()).sum())
        return loss

    share = minimize(shares, np.array([1.0, 0.0, 0.0, 0.0])).x
    rows, known = [], []
    for evidence, there in [*((one, 1.0) for one, _ in present), *((one, 0.0) for one in absent)]:
        rows.append(_stands_out(evidence, evidence.columns @ share))
        known.append(there)
    table, said = np.array(rows), np.array(known)
    balance = np.where(said > 0, 0.5 / said.mean(), 0.5 / (1 - said.mean()))

    def doubt(weights: np.ndarray) -> float:
        sign = np.where(said > 0, 1, -1)
        return float((balance * np.logaddexp(0, -sign * (table @ weights))).sum() + 0.05 * weights @ weights)

    found = minimize(doubt, np.zeros(3)).x
    return RankWeights(tuple(share.round(4).tolist()), tuple(found.round(4).tolist()))
