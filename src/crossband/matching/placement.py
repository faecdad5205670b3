"""Is one band of a rig turned, or does one camera see less? Told by matching a few pairs, with the figure.

Both are the user's to decide (``view`` and ``turn``): what is found here is a suggestion, made where most of
the pairs agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..bands import Band
from ..data.preprocess import TURNS, Placement
from ..errors import CrossbandError
from ..frames import Frames
from ..progress import track
from .align import Aligner, Described, Picture, fitted

__all__ = ["Suggestion", "suggest_placement"]

_BASE = 320  # pixels of the longer side, of the first image also twice that: it may see more
_LIKELY = 0.9  # probability of one scene from which a pair counts
_FEWEST, _BEYOND = 24, 3  # matches of a pair, and how many times those of wrong turns, that also count
_LEAST = 3  # pairs that agree
_NARROW = 0.8  # share of the other's view below which a view is worth giving
_SPREAD = 0.06  # of a side: how far the pairs' views may lie apart


@dataclass(frozen=True)
class Suggestion:
    """What to give for a band, and on what grounds.

    Attributes:
        band: which.
        turn: as :class:`~crossband.data.preprocess.Placement` has it; ``"0"`` where it seems upright.
        view: (left, top, width, height), shares of its (turned) image that the other band sees, or ``None``.
        pairs: pairs that agree; ``of`` so many that were looked at.
        matches: median number of matches of a pair, and ``before`` that of the images as they are.
    """

    band: Band
    turn: str
    view: tuple[float, float, float, float] | None
    pairs: int
    of: int
    matches: int
    before: int

    def __str__(self) -> str:
        said = []
        if self.turn != "0":
            said.append(f"{self.band.value} seems turned: turn {self.band.value}={self.turn}")
        if self.view is not None:
            numbers = ",".join(f"{value:.2f}" for value in self.view)
            share = 100 * self.view[2] * self.view[3]
            said.append(
                f"the other band sees {share:.0f} % of {self.band.value}: view {self.band.value}={numbers}"
            )
        figure = f"{self.pairs} of {self.of} pairs agree, {self.matches} matches a pair"
        if self.turn != "0":
            figure += f" instead of {self.before}"
        return f"{'; '.join(said)} ({figure})"


def suggest_placement(frames: Frames, most: int = 4, weights: str | None = None) -> list[Suggestion]:
    """Tell what turn and view two bands of some frames seem to need.

    Args:
        frames: with images of two bands; those that keep a view, a turn or a rig need none.
        most: pairs that are looked at, at equal steps.
        weights: where to look for the network's weights first.

    Raises:
        CrossbandError: the network's weights are missing.
    """
    if len(frames.bands) < 2 or any(frames.has(column) for column in ("view", "turn", "rig")):
        return []
    first, second = next(b for b in frames.bands if b is not Band.TIR), frames.bands[-1]
    whole = frames.table[[first.value, second.value]].notna().all(axis=1).to_numpy(bool)
    rows = np.flatnonzero(whole)
    if len(rows) < _LEAST or first is second:
        return []
    chosen = frames.select(rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))])
    aligner = Aligner("similarity", weights)
    pairs = []
    for ours, theirs in zip(chosen.paths(first), chosen.paths(second), strict=True):
        try:
            if ours is not None and theirs is not None:
                pairs.append((aligner.read(ours, first), aligner.read(theirs, second)))
        except CrossbandError:
            continue
    if len(pairs) < _LEAST:
        return []
    upright = [[_described(aligner, one, longer) for longer in (_BASE, 2 * _BASE)] for one, _ in pairs]
    found: dict[str, list[tuple[float, np.ndarray]]] = {}
    for turn in track(TURNS, len(TURNS), "comparing views", "turns"):
        found[turn] = [
            _matched(aligner, ours, _described(aligner, _turned(other, turn), _BASE))
            for ours, (_, other) in zip(upright, pairs, strict=True)
        ]
        if sum(likely >= _LIKELY for likely, _ in found[turn]) > 0.8 * len(pairs):
            break  # most pairs agree: the others can only agree less
    turn = max(found, key=lambda name: sum(len(matches) for _, matches in found[name]))
    chance = [len(matches) for name in found if name != turn for _, matches in found[name]]
    least = max(_FEWEST, _BEYOND * float(np.median(chance))) if chance else np.inf
    agree = {
        name: [m if likely >= _LIKELY or len(m) >= least else None for likely, m in found[name]]
        for name in found
    }
    count = sum(one is not None for one in agree[turn])
    if count < max(_LEAST, len(pairs) / 2):
        return []
    before, after = (int(np.median([len(one) for _, one in found[name]])) for name in ("0", turn))
    views = [
        _views(aligner, matches, one, _turned(other, turn))
        for matches, (one, other) in zip(agree[turn], pairs, strict=True)
        if matches is not None
    ]
    told = [Suggestion(second, turn, None, count, len(pairs), after, before)]
    for band, seen in zip((first, second), zip(*views, strict=True), strict=True):
        view = _agreed(np.array(seen))
        if view is None:
            continue
        if band is second:
            told[0] = replace(told[0], view=view)
        else:
            told.append(Suggestion(first, "0", view, count, len(pairs), after, before))
    return [one for one in told if one.turn != "0" or one.view is not None]


def _turned(picture: Picture, turn: str) -> Picture:
    return picture if turn == "0" else replace(picture, gray=Placement(turn)(picture.gray))


def _described(aligner: Aligner, picture: Picture, longer: int) -> Described:
    image, scale = picture.scaled(longer, 8)
    return (*aligner.described(image), scale)


def _matched(aligner: Aligner, sizes: list[Described], second: Described) -> tuple[float, np.ndarray]:
    """The probability of one scene, and the matches that a similarity explains, at the better of two sizes."""
    tried = []
    for first in sizes:
        matches, evidence = aligner.compared(first, second)
        tried.append((aligner.probability(evidence), matches))
        if tried[-1][0] >= _LIKELY:
            break
    return max(tried, key=lambda one: (one[0] >= _LIKELY, len(one[1])))


def _views(
    aligner: Aligner, matches: np.ndarray, one: Picture, other: Picture
) -> tuple[np.ndarray, np.ndarray]:
    """What of each image the other shows: left, top, right, bottom, as shares."""
    rough, _ = fitted(matches, "similarity", 6.0)
    found = aligner.refined(one, other, rough)
    whole = rough if found is None else found.matrix
    return _box(np.linalg.inv(whole), other.size, one.size), _box(whole, one.size, other.size)


def _box(matrix: np.ndarray, size: tuple[int, int], inside: tuple[int, int]) -> np.ndarray:
    """The frame of an image, moved into another, as shares of that one's sides."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
    shares = np.clip(moved / (inside[1], inside[0]), 0, 1)
    return np.concatenate([shares.min(0), shares.max(0)])


def _agreed(boxes: np.ndarray) -> tuple[float, float, float, float] | None:
    """The view that most pairs agree on, where it is narrower by enough to matter."""
    middle = np.median(boxes, axis=0)
    near = (np.abs(boxes - middle).max(1) <= _SPREAD).sum()
    left, top, right, bottom = (float(value) for value in middle.round(2))
    share = (right - left) * (bottom - top)
    if near < max(_LEAST, len(boxes) / 2) or not 0.02 < share < _NARROW:
        return None
    return left, top, round(right - left, 2), round(bottom - top, 2)
