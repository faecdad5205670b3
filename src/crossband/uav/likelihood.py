"""How well a frame's labeling agrees with the map at every place near a rough position.

No network is asked: each square meter that the frame shows votes by the probability that the labeling says
what it says where the map says what it says. All places are compared at once by correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import correlate

from .ground_classes import GROUND, OBJECT, UNKNOWN
from .projection import Pose, ground_patch
from .semantic_map import SemanticMap

__all__ = ["Agreement", "Likelihood", "agreement"]

_WIDEST = 120.0  # meters of ground, on a side, that a frame is compared by


@dataclass(frozen=True)
class Agreement:
    """How labels of a frame and of the map are compared.

    Attributes:
        step: meters between two places, and side of a cell of the labeling.
        right: share of the labeling that is right.
        independent: square meters of ground that count as one observation: neighbors are wrong together.
    """

    step: float = 1.0
    right: float = 0.8
    independent: float = 200.0


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihoods of camera positions on a north-up grid.

    Attributes:
        x, y: of the south-west-most position, meters on the map; multiples of ``step``.
        step: meters between neighbors.
        values: float64 ``(rows, columns)``, rows from south to north; any constant may be added.
        share: of the ground that both know at the best place, how much is labeled as the map has it; not a
            number where there is none, or nobody counted.
    """

    x: float
    y: float
    step: float
    values: np.ndarray
    share: float = float("nan")

    @property
    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Meters east of each column and north of each row."""
        rows, columns = self.values.shape
        return self.x + self.step * np.arange(columns), self.y + self.step * np.arange(rows)


def agreement(
    labels: np.ndarray, pose: Pose, ground: SemanticMap, radius: float, how: Agreement | None = None
) -> Likelihood:
    """Compute log-likelihoods of camera positions within ``radius`` of a rough one.

    Args:
        labels: uint8 ``(H, W)``, indices of :data:`~crossband.uav.ground_classes.LABELS`; of another size than
            the pose's, if need be.
        pose: rough, in the map's meters; altitude, heading and pitch are believed.
        ground: the map.
        radius: meters; farther positions have minus infinity.
        how: see there.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.kron(rng.integers(0, 5, (60, 60)), np.ones((4, 4))).astype(np.uint8)
        >>> ground = SemanticMap(labels, 1.0, 48.0, 9.0)
        >>> pose = Pose(120.0, 100.0, 40.0, 30.0, -90.0, 50.0, 48, 64)
        >>> found = agreement(ground.seen_by(pose), pose.moved(126, 95), ground, 12.0)
        >>> row, column = np.unravel_index(found.values.argmax(), found.values.shape)
        >>> float(found.positions[0][column]), float(found.positions[1][row])
        (120.0, 100.0)
    """
    how = how or Agreement()
    step = how.step
    # the grid of positions is the same for all frames, so that a sequence of them can be filtered
    near = pose.moved(round(pose.x / step) * step, round(pose.y / step) * step)
    reach = int(np.ceil(radius / step))
    pixels = _shown(near, step)
    plain = np.where(labels == OBJECT, UNKNOWN, labels).astype(np.uint8)
    patch = ground_patch(plain, near, pixels * step, pixels, UNKNOWN)
    around = ground.patch(*near.looks_at, (pixels + 2 * reach) * step, pixels + 2 * reach)
    votes = _votes(how.right)
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    for seen in np.unique(patch[patch != UNKNOWN]):
        total += correlate(votes[seen][around], (patch == seen).astype(float), mode="valid", method="fft")
    total = total[::-1] * (step**2 / how.independent)  # maps run from north to south
    offset = step * np.arange(-reach, reach + 1)
    away = np.hypot(offset[None, :] + near.x - pose.x, offset[:, None] + near.y - pose.y)
    values = np.where(away <= radius, total, -np.inf)
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    top, left = len(values) - 1 - int(row), int(column)
    there = around[top : top + pixels, left : left + pixels]
    known = (patch != UNKNOWN) & (there < len(GROUND))
    share = float((there == patch)[known].mean()) if known.any() else float("nan")
    return Likelihood(near.x - step * reach, near.y - step * reach, step, values, share)


def _votes(right: float) -> np.ndarray:
    """Log of how much likelier a label is where the map has a class than anywhere, ``(classes, 256)``."""
    classes = len(GROUND)
    votes = np.zeros((classes, 256))
    votes[:, :classes] = np.log(np.where(np.eye(classes) > 0, right, (1 - right) / (classes - 1)) * classes)
    return votes


def _shown(pose: Pose, step: float) -> int:
    """Cells on a side of the ground that a frame shows around the middle of its view."""
    columns, rows = np.meshgrid([0, pose.width / 2, pose.width], [0, pose.height / 2, pose.height])
    x, y = pose.to_ground(columns, rows)
    middle = pose.looks_at
    away = np.nan_to_num(np.maximum(np.abs(x - middle[0]), np.abs(y - middle[1])), nan=_WIDEST)
    return max(round(min(2 * float(away.max()), _WIDEST) / step), 1)
