"""Which object of a flight is the one of the photograph, and how sure that is.

Objects are compared by their vectors, how surely they are objects, how likely the photograph shows one of their
class, and their length where the photograph's is known. A softmax over what these say gives each object its
share; whether the object is there at all is a logistic of how like the best is, and how like the likest place.
The weights of both are calibrated on simulated cities, for the networks that ship
(``python -m benchmarks.flight_objects``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from .object_descriptor import View

__all__ = [
    "Evidence",
    "Known",
    "RankWeights",
    "fit_weights",
    "length_difference",
    "object_probabilities",
    "similarity",
]

_FILE = Path(__file__).parent / "object_ranking.json"
_LEAST_KIND = 0.02  # how likely any class is: neither the photograph's nor the object's is told without fail
_LENGTH_SPREAD = 0.35  # of the logarithm of a length: a box is not the object, and it may be turned


@dataclass(frozen=True)
class Evidence:
    """What is known of the objects of a flight, beside one photograph.

    Attributes:
        alike: cosine similarity of each to the photograph, -1 to 1; float64 ``(n,)``.
        score: how surely it is an object, 0 to 1.
        length: how unlike its length is to that of the photograph's object, 0 (alike, or unknown) and up.
        seen: how many times it was seen.
        place: cosine similarity of where each is to where the photograph's is; ``None`` where that shows too
            little of it.
        kind: how likely the photograph shows one of its class, 0 to 1; ``None`` if unknown.
        view: what ``alike`` compares, :attr:`View.BARE` or :attr:`View.AROUND`.
    """

    alike: np.ndarray
    score: np.ndarray
    length: np.ndarray
    seen: np.ndarray
    place: np.ndarray | None = None
    kind: np.ndarray | None = None
    view: View = View.AROUND

    @property
    def columns(self) -> np.ndarray:
        """Float64 ``(n, 6)``, each of an order of one."""
        score = np.clip(self.score, 0.01, 0.99)
        place = np.zeros(len(self.alike)) if self.place is None else 10 * self.place
        kind = np.ones(len(self.alike)) if self.kind is None else np.maximum(self.kind, _LEAST_KIND)
        likely, unlike = np.log(score / (1 - score)), np.minimum(self.length, 3)
        return np.stack([10 * self.alike, likely, -unlike, np.log(self.seen), place, np.log(kind)], 1)

    @property
    def widest(self) -> View:
        """The widest view that was compared."""
        return self.view if self.place is None else View.PLACE

    def without_place(self) -> Evidence:
        """Return what would be known of a photograph that shows less."""
        return replace(self, place=None)


@dataclass(frozen=True)
class RankWeights:
    """What :func:`object_probabilities` weighs by.

    Attributes:
        share: of each of :attr:`Evidence.columns`.
        there: for the widest view that was compared, of the best object's similarity, of the likest place's
            (both times 10), and the constant.
        made_by: digests of the detector and the descriptor that they were calibrated for.
    """

    share: tuple[float, ...]
    there: Mapping[str, tuple[float, ...]]
    made_by: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path = _FILE) -> RankWeights:
        """Read the weights that ship."""
        said = json.loads(path.read_text(encoding="utf-8"))
        there = {view: tuple(values) for view, values in said["there"].items()}
        return cls(tuple(said["share"]), there, tuple(said.get("made_by", ())))

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
    there = 1 / (1 + np.exp(-float(_presence(evidence, worth) @ np.array(weights.there[evidence.widest]))))
    return share * there, float(there)


def _presence(evidence: Evidence, worth: np.ndarray) -> np.ndarray:
    """How alike the best is, how alike the likest place is, and one."""
    place = 0.0 if evidence.place is None else float(evidence.place.max())
    return np.array([10 * evidence.alike[int(worth.argmax())], 10 * place, 1.0])


def length_difference(length: np.ndarray, asked: float | None) -> np.ndarray:
    """Return how unlike lengths, meters, are to that of the photograph's object; 0 if unknown.

    Example:
        >>> length_difference(np.array([4.5, 9.0]), 4.5).round(1).tolist()
        [0.0, 2.0]
    """
    if asked is None:
        return np.zeros(len(length))
    return np.abs(np.log(np.maximum(length, 1e-3) / asked)) / _LENGTH_SPREAD


@dataclass(frozen=True)
class Known:
    """A photograph whose object is known to be in a flight, or not to be.

    Attributes:
        evidence: of the flight's objects.
        right: which of them it shows; ``None`` where it is not in the flight.
        weight: how much it counts.
    """

    evidence: Evidence
    right: int | None
    weight: float = 1.0


def fit_weights(known: list[Known], less: Sequence[Known] = ()) -> RankWeights:
    """Fit the weights by maximum likelihood, drawn a little to zero.

    Args:
        known: what objects' shares are told by, and whether the object is there.
        less: photographs for the latter alone: the same ones as if they showed less, for example.
    """
    present = [one for one in known if one.right is not None]

    def doubt(weights: np.ndarray) -> float:
        loss = 0.05 * float(weights @ weights)
        for one in present:
            worth = one.evidence.columns @ weights
            loss -= one.weight * (worth[one.right] - worth.max() - np.log(np.exp(worth - worth.max()).sum()))
        return loss

    share = minimize(doubt, np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])).x
    there = {}
    both = [*known, *less]
    for view in dict.fromkeys(one.evidence.widest for one in both):
        there[str(view)] = _fit_there([one for one in both if one.evidence.widest is view], share)
    return RankWeights(tuple(share.round(4).tolist()), there)


def _fit_there(known: list[Known], share: np.ndarray) -> tuple[float, ...]:
    """The logistic of one view; photographs whose object is there weigh as much as the others together."""
    table = np.array([_presence(one.evidence, one.evidence.columns @ share) for one in known])
    sign = np.array([-1.0 if one.right is None else 1.0 for one in known])
    weight = np.array([one.weight for one in known])
    for side in (-1.0, 1.0):
        weight[sign == side] *= len(known) / 2 / max(weight[sign == side].sum(), 1e-9)

    def doubt(weights: np.ndarray) -> float:
        return float((weight * np.logaddexp(0, -sign * (table @ weights))).sum() + 0.05 * weights @ weights)

    return tuple(minimize(doubt, np.zeros(3)).x.round(4).tolist())
