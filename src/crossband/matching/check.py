"""Do the two images of each frame show the same scene, at the same moment? Pairs held against one another.

Local features of all images of a band, less what all of them have in common (a camera that stands still sees
the same walls in every frame), are compared with those of the other band, each frame with every other. Right
pairs stand out of all wrong ones; where frames swapped partners, or one stream came late, others stand out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..bands import Band
from ..data.preprocess import Preprocess
from ..datasets.check import Fault
from ..errors import CrossbandError
from ..frames import Frames
from ..io import read_image
from ..models import create_encoder
from ..progress import track
from .reranker import MatchReranker

__all__ = ["PairCheck", "check_pairs", "find_delay", "find_wrong"]

MOST = 400
_SIDE = 320  # pixels that images are matched at
_WIDEST = 10  # frames that a stream may be late
_CERTAIN = 5.0  # standard errors of the gain of a delay
_LEAST = 8  # frames from which on pairs can be told from chance
_STANDS_OUT = 3.0  # deviations of wrong pairs' correlations
_NOTHING = 2.5  # below so many, a pair is like a wrong one
_UNLIKELY, _HARDLY = 0.5, 0.15  # probability of one scene: where another frame fits, and where none does


@dataclass(frozen=True)
class PairCheck:
    """What the pairs of two bands say of one another.

    Attributes:
        first: a band, and the other, ``second``.
        frames: how many frames were compared.
        same_place: float64 ``(n,)``: the probability that a frame's two images show one scene.
        delay: how many frames later the second band's matching image comes, 0 where none is.
        delayed: of how many frames that is so; of ``comparable``.
        comparable: see above.
        faults: pairs of other scenes, swapped pairs, and the delay.
    """

    first: Band
    second: Band
    frames: int
    same_place: np.ndarray
    delay: int
    delayed: int
    comparable: int
    faults: list[Fault]

    def to_json(self) -> dict[str, object]:
        """Return a plain mapping, without the faults."""
        return {
            "bands": [self.first.value, self.second.value],
            "frames": self.frames,
            "same_place": {
                "lowest": float(self.same_place.min()),
                "median": float(np.median(self.same_place)),
            },
            "delay": self.delay,
            "delayed": self.delayed,
            "comparable": self.comparable,
        }


def check_pairs(frames: Frames, most: int = MOST, weights: str | Path | None = None) -> list[PairCheck]:
    """Compare the first band with each other one; images that cannot be read are no matter here.

    Args:
        frames: the manifest; frames follow one another as they were taken, sequence by sequence.
        most: frames that are compared; the first ones, so that a delay can be seen.
        weights: where to look for the network's weights first.

    Raises:
        CrossbandError: the weights are missing.
    """
    if len(frames.bands) < 2:
        return []
    encoder = create_encoder("efficientnet_lite0", weights)
    reranker = MatchReranker(encoder, (_SIDE, _SIDE)).eval()
    preprocess = Preprocess((_SIDE, _SIDE), dict.fromkeys(Band, encoder.statistics))
    some = frames.select(slice(0, most))
    found = []
    for second in frames.bands[1:]:
        kept, ours, theirs = _features(some, frames.bands[0], second, reranker, preprocess)
        if len(kept):
            found.append(_checked(some.select(kept), frames.bands[0], second, ours, theirs, reranker))
    return found


def find_delay(correlation: np.ndarray, sequences: np.ndarray, widest: int = _WIDEST) -> tuple[int, int, int]:
    """Find by how many frames the second of two streams is late.

    Args:
        correlation: ``(n, n)``: each frame's first band with each frame's second.
        sequences: ``(n,)``: frames of one sequence follow one another.
        widest: the longest delay that is looked for.

    Returns:
        the delay in frames (the partner of frame i is that of frame i + delay), of how many frames it fits
        better than none, and how many could be compared; ``(0, 0, 0)`` where there is none.

    Example:
        >>> late = np.eye(12, k=2)
        >>> find_delay(late, np.zeros(12))
        (2, 10, 10)
    """
    n = len(correlation)
    best, answer = 0.0, (0, 0, 0)
    for delay in [d for step in range(1, widest + 1) for d in (-step, step)]:
        rows = np.arange(max(0, -delay), min(n, n - delay))
        rows = rows[sequences[rows] == sequences[rows + delay]] if len(rows) else rows
        if len(rows) < _LEAST:
            continue
        gain = correlation[rows, rows + delay] - correlation[rows, rows]
        # nine in ten fit better, so that neither chance nor a walk past a long wall is a delay
        certain = _CERTAIN * _chance(correlation) * (2 / len(rows)) ** 0.5
        if np.mean(gain > 0) >= 0.9 and float(gain.mean()) > max(best, certain):
            best, answer = float(gain.mean()), (delay, int((gain > 0).sum()), len(rows))
    return answer


def find_wrong(
    correlation: np.ndarray, same_place: np.ndarray, partner: np.ndarray
) -> Iterator[tuple[int, int | None, bool]]:
    """Find pairs that do not belong together.

    Args:
        correlation: ``(n, n)``, as of :func:`find_delay`.
        same_place: ``(n,)``: the probability of each pair.
        partner: int64 ``(n,)``: the column that each row should fit best.

    Yields:
        the row, the column that fits it instead (``None`` where none does), and whether the two are swapped.
    """
    n = len(correlation)
    if n < _LEAST:
        yield from ((row, None, False) for row in np.flatnonzero(same_place < _HARDLY).tolist())
        return
    scores = _deviations(correlation)
    own = scores[np.arange(n), partner]
    best = scores.argmax(1)
    nothing = max(_NOTHING, 0.1 * float(np.median(own)))
    wrong = set()
    for row in range(n):
        other = int(np.flatnonzero(partner == best[row])[0]) if (partner == best[row]).any() else -1
        swapped = other >= 0 and other != row and best[other] == partner[row]
        gain = min(scores[row, best[row]] - own[row], scores[other, best[other]] - own[other])
        if swapped and gain > _STANDS_OUT:
            wrong.add(row)
            yield row, int(best[row]), True
    for row in range(n):
        if row in wrong or own[row] >= nothing:
            continue
        fits = scores[row, best[row]] > _STANDS_OUT + own[row].clip(0)
        if same_place[row] < (_UNLIKELY if fits else _HARDLY):
            yield row, int(best[row]) if fits else None, False


def _chance(correlation: np.ndarray) -> float:
    """The deviation of the correlations of wrong pairs."""
    off = correlation[~np.eye(len(correlation), dtype=bool)]
    return float(1.4826 * np.median(np.abs(off - np.median(off))))


def _deviations(correlation: np.ndarray) -> np.ndarray:
    """How far each pair stands out of those of its row and of its column, in deviations by the median."""
    found = np.empty((2, *correlation.shape))
    for axis in (0, 1):
        middle = np.median(correlation, axis, keepdims=True)
        spread = 1.4826 * np.median(np.abs(correlation - middle), axis, keepdims=True)
        found[axis] = (correlation - middle) / np.maximum(spread, 1e-6)
    return found.min(0)


def _features(
    frames: Frames, first: Band, second: Band, reranker: MatchReranker, preprocess: Preprocess
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames of which both images can be read, and the local features of both, float16 ``(n, p, d)``."""
    kept, ours, theirs = [], [], []
    units, rigs = frames.units(), frames.rigs()
    pairs = list(zip(frames.paths(first), frames.paths(second), strict=True))
    for row, (one, other) in enumerate(track(pairs, len(pairs), f"comparing {first} and {second}", "pairs")):
        if one is None or other is None:
            continue
        try:
            both = []
            for path, band in ((one, first), (other, second)):
                placed = preprocess.with_rig(rigs[row])
                image = placed(read_image(path, band, units[row]), band)
                with torch.inference_mode():
                    both.append(reranker(image[None])[0].numpy().astype(np.float16))
        except CrossbandError:  # a fault that is listed by itself
            continue
        kept.append(row)
        ours.append(both[0])
        theirs.append(both[1])
    if not kept:
        return np.empty(0, np.intp), np.empty(0), np.empty(0)
    return np.array(kept), np.stack(ours), np.stack(theirs)


def _centered(features: np.ndarray) -> np.ndarray:
    """Features ``(n, p, d)`` less their mean over the images, as unit vectors ``(n, p * d)``."""
    flat = features.reshape(len(features), -1).astype(np.float32)
    if len(flat) >= _LEAST:
        flat -= flat.mean(0)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def _checked(
    frames: Frames, first: Band, second: Band, ours: np.ndarray, theirs: np.ndarray, reranker: MatchReranker
) -> PairCheck:
    n = len(frames)
    correlation = _centered(ours) @ _centered(theirs).T
    sequences = frames.table["sequence"].fillna("").to_numpy(str) if frames.has("sequence") else np.zeros(n)
    delay, delayed, comparable = find_delay(correlation, sequences)
    partner = np.arange(n) + delay
    inside = (partner >= 0) & (partner < n)
    inside[inside] &= sequences[inside] == sequences[partner[inside]]
    partner = np.where(inside, partner, np.arange(n))
    same_place = np.array([_probability(reranker, a, theirs[p]) for a, p in zip(ours, partner, strict=True)])
    names, paths = frames.names, frames.paths(second)

    def fault(row: int, kind: str, reason: str) -> Fault:
        return Fault(names[row], second.value, str(paths[row]), kind, reason)

    faults = []
    if delay:
        way, far = ("later" if delay > 0 else "earlier"), f"{abs(delay)} frame{'s' if abs(delay) > 1 else ''}"
        gain = [float(np.mean([correlation[r, r + d] for r in range(n) if 0 <= r + d < n])) for d in (0, delay)]
        reason = (
            f"{second} fits {first} better {far} {way}, in {delayed} of {comparable} frames (correlation "
            f"{gain[1]:.2f}, {gain[0]:.2f} as paired): one of the recordings began late"
        )
        faults.append(fault(0, "delay", reason))
    for row, instead, swapped in find_wrong(correlation, same_place, partner):
        if not inside[row]:
            continue
        swap = f"{first} fits {second} of {names[instead or 0]}, and the other way round: two pairs are swapped"
        unlike = f"{first} and {second} do not show the same scene (same place {same_place[row]:.2f})"
        if swapped and instead is not None:
            faults.append(fault(row, "swapped", swap))
        elif instead is not None:
            better = f"; {second} of {names[instead]} fits {first} of this frame better"
            faults.append(fault(row, "other scene", unlike + better))
        else:
            faults.append(fault(row, "other scene", unlike))
    return PairCheck(first, second, n, same_place, delay, delayed, comparable, faults)


def _probability(reranker: MatchReranker, one: np.ndarray, other: np.ndarray) -> float:
    mine, theirs = (torch.from_numpy(features.astype(np.float32)) for features in (one, other))
    return float(reranker.model.probability(reranker.evidence(mine, [theirs]))[0])
