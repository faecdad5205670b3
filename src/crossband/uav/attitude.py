"""By how much the headings and altitudes of a sequence are wrong.

A compass near metal is wrong by the same angle for a whole flight, and a height above the place of the start is
wrong by the slope of the ground. Both are searched over where a few frames of the sequence are compared with
the map: first coarsely, then finely, by the likelihood of each pair over all places near the rough positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import logsumexp

from .likelihood import Agreement, agreement
from .projection import Pose
from .semantic_map import SemanticMap

__all__ = ["Attitude", "attitude_rows", "estimate_attitude", "remaining_error"]

_FRAMES, _FEWEST = 4, 3  # frames that are compared, and how many a sequence must have
_TURNS, _SCALES = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0), (0.9, 1.0, 1.1)
_FINER = ((2.0, 0.05), (1.0, 0.025))  # degrees and shares of steps around the best
_ROUNDED = 1e-6
_USUAL_TURN, _USUAL_SCALE = 6.0, 0.06  # standard deviations that are expected
_OWN = 0.5  # of what a frame says: the rest is said by its neighbors, too, which see much of the same ground
_COARSE = Agreement(step=2.0)
_TURN_LEFT, _SCALE_LEFT = 0.02, 0.05
"""Standard deviations that are left after a correction, radians and share of the altitude. Over two cities
that chose, positions of oblique frames were off by 1.7 % of the distance to the ground in the middle of the
image across and 3.4 to 4.6 % along; with these, ellipses of 90 % held 90 % of them (68 % without)."""


@dataclass(frozen=True)
class Attitude:
    """What corrects the poses of a sequence.

    Attributes:
        turn: degrees clockwise to add to headings.
        scale: factor of altitudes.
    """

    turn: float = 0.0
    scale: float = 1.0

    @property
    def at_the_end(self) -> bool:
        """Whether no larger correction is searched: the right one may lie beyond, or the map be another's.

        Example:
            >>> Attitude(15.0, 1.0).at_the_end, Attitude(0.0, 0.825).at_the_end, Attitude(14.0, 1.15).at_the_end
            (True, True, False)
        """
        turns, shares = (sum(step) for step in zip(*_FINER, strict=True))
        reached = abs(self.turn) >= max(_TURNS) + turns, self.scale <= min(_SCALES) - shares + _ROUNDED
        return any(reached) or self.scale >= max(_SCALES) + shares - _ROUNDED

    def correct(self, pose: Pose) -> Pose:
        """Return a pose with its heading turned and its altitude scaled.

        Example:
            >>> pose = Attitude(10.0, 1.1).correct(Pose(0, 0, 50, 355, -90, 100, 48, 64))
            >>> round(pose.heading, 6), round(pose.altitude, 6)
            (5.0, 55.0)
        """
        return pose.turned(self.turn, self.scale)


def remaining_error(pose: Pose) -> np.ndarray:
    """Return how unsure heading and altitude leave a position: covariance ``(2, 2)``, square meters.

    An oblique frame is placed by the ground that it shows, ahead of the aircraft: from a height 5 % wrong, the
    aircraft is 5 % of the way there off.

    Example:
        >>> remaining_error(Pose(0, 0, 50, 0, -45, 100, 48, 64)).round(2)
        array([[1.  , 0.  ],
               [0.  , 6.25]])
    """
    ahead = np.array(pose.looks_at) - (pose.x, pose.y)
    along, across = _SCALE_LEFT * ahead, _TURN_LEFT * ahead[::-1] * (1, -1)
    return np.outer(along, along) + np.outer(across, across)


def attitude_rows(rows: Sequence[int]) -> list[int]:
    """Choose the frames of a sequence that are compared: some, spread evenly; none of a short one.

    Example:
        >>> attitude_rows([3, 4, 5, 6, 7, 8, 9])
        [3, 5, 7, 9]
    """
    if len(rows) < _FEWEST:
        return []
    return [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, _FRAMES).round().astype(int)).tolist()]


def estimate_attitude(
    labels: Sequence[np.ndarray], poses: Sequence[Pose], ground: SemanticMap, radius: float
) -> Attitude:
    """Estimate what is wrong with the headings and altitudes of a sequence.

    Errors of about 6 degrees and 6 % are expected, up to 15 degrees and 17 % are found. Without frames, what
    was given is believed.

    Args:
        labels: of the frames of :func:`attitude_rows`, uint8 ``(H, W)``.
        poses: rough, one each.
        ground: the map.
        radius: meters around each rough position.
    """
    if not poses:
        return Attitude()

    reach = max(radius, 2 * _COARSE.step)  # at least some places of the coarse grid

    @cache
    def worth(turn: float, scale: float) -> float:
        """Log of the probability of the pair."""
        attitude = Attitude(turn, scale)
        unusual = (turn / _USUAL_TURN) ** 2 / 2 + ((scale - 1) / _USUAL_SCALE) ** 2 / 2
        seen = [
            agreement(image, attitude.correct(pose), ground, reach, _COARSE).values
            for image, pose in zip(labels, poses, strict=True)
        ]
        # from higher up a frame would show more ground, whose votes are none of its own
        return _OWN * float(sum(logsumexp(one[np.isfinite(one)] / scale) for one in seen)) - unusual

    pairs = sorted(((t, s) for t in _TURNS for s in _SCALES), key=lambda pair: (abs(pair[0]), abs(pair[1] - 1)))
    turn, scale = max(pairs, key=lambda pair: worth(*pair))
    for degrees, share in _FINER:
        near = [(turn + a, round(scale + b, 4)) for a in (0.0, -degrees, degrees) for b in (0.0, -share, share)]
        turn, scale = max(near, key=lambda pair: worth(*pair))
    return Attitude(turn, scale)
