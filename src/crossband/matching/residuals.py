"""What is left where one transform has laid two cameras over each other: noise, or parallax.

Matches are off in every direction alike; parallax moves near things along one, the line between the two
cameras. So the spread along the direction in which residuals vary most, beyond that across it, is what depth
does.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DepthBin", "Residuals"]

_BINS = 5
_CLIP = 3.0  # deviations: what is farther off is no match


@dataclass(frozen=True)
class DepthBin:
    """Matches that are about as far away, or lie about as high in the image.

    Attributes:
        label: in words.
        matches: how many.
        along_px: the median of their residuals along the direction of parallax; ``spread_px`` a deviation.
        spread_px: see above.
    """

    label: str
    matches: int
    along_px: float
    spread_px: float


@dataclass(frozen=True)
class Residuals:
    """Residuals of the matches of a rig's pairs.

    Attributes:
        where: float64 ``(m, 2)``: column and row in the first image.
        off: float64 ``(m, 2)``: from where the transform leads to the match, pixels of the second image.
        pair: int64 ``(m,)``: which pair.
        depth: float64 ``(m,)``: meters, NaN where unknown; or ``None``.
        height: pixels of the first image.
    """

    where: np.ndarray
    off: np.ndarray
    pair: np.ndarray
    depth: np.ndarray | None
    height: int

    @classmethod
    def of(
        cls,
        matrix: np.ndarray,
        matches: Sequence[np.ndarray],
        height: int,
        depths: Mapping[int, np.ndarray] | None = None,
    ) -> Residuals:
        """Measure them.

        Args:
            matrix: ``(3, 3)``: from the first image to the second.
            matches: of each pair, ``(m, 4)``: column and row in the first, column and row in the second.
            height: pixels of the first image.
            depths: pair -> meters ``(H, W)`` of its first image, 0 where unknown.

        Example:
            >>> places = np.array([[x, y, x + 1.0, y] for x in range(9) for y in range(9)], float)
            >>> Residuals.of(np.eye(3), [places], 9).parallax_px
            0.0
        """
        whole = np.concatenate([*matches, np.empty((0, 4))])
        pair = np.repeat(np.arange(len(matches)), [len(one) for one in matches])
        moved = np.concatenate([whole[:, :2], np.ones((len(whole), 1))], 1) @ matrix.T
        depth = None
        if depths:
            depth = np.full(len(whole), np.nan)
            for number, meters in depths.items():
                mine = pair == number
                x, y = np.rint(whole[mine, :2]).astype(int).T
                inside = meters[y.clip(0, meters.shape[0] - 1), x.clip(0, meters.shape[1] - 1)]
                depth[mine] = np.where(inside > 0, inside, np.nan)
        return cls(whole[:, :2], whole[:, 2:] - moved[:, :2] / moved[:, 2:], pair, depth, height)

    @property
    def direction(self) -> np.ndarray:
        """The unit vector ``(2,)`` along which residuals vary most."""
        if len(self.off) < 3:
            return np.array([1.0, 0.0])
        centered = self.off - np.median(self.off, axis=0)
        far = np.linalg.norm(centered, axis=1)
        good = centered[far <= _CLIP * 1.4826 * max(float(np.median(far)), 1e-9)]
        found = np.linalg.eigh(good.T @ good)[1][:, -1]
        return found * (1.0 if found[np.abs(found).argmax()] > 0 else -1.0)

    @property
    def along(self) -> np.ndarray:
        """Residuals along that direction, float64 ``(m,)``."""
        return (self.off - np.median(self.off, axis=0)) @ self.direction if len(self.off) else np.zeros(0)

    @property
    def across(self) -> np.ndarray:
        """Residuals across it, float64 ``(m,)``."""
        turned = np.array([-self.direction[1], self.direction[0]])
        return (self.off - np.median(self.off, axis=0)) @ turned if len(self.off) else np.zeros(0)

    @property
    def noise_px(self) -> float:
        """How far a match is off where nothing but noise moves it: the deviation across."""
        return _deviation(self.across)

    @property
    def parallax_px(self) -> float:
        """The deviation that depth adds along the direction of parallax."""
        return float(np.sqrt(max(_deviation(self.along) ** 2 - self.noise_px**2, 0.0)))

    @property
    def trend_px(self) -> float:
        """How far the medians of near and far matches lie apart; 0 where matches are too few."""
        medians = [one.along_px for one in self.by_depth()]
        return max(medians) - min(medians) if medians else 0.0

    def by_depth(self) -> list[DepthBin]:
        """Return the residuals from the nearest matches to the farthest.

        By meters where depth is known for most; else by rows of the image, whose bottom is near where cameras
        look ahead.
        """
        known = self.depth is not None and np.isfinite(self.depth).mean() > 0.5
        value = self.depth if known else -self.where[:, 1]
        assert value is not None
        keep = np.isfinite(value)
        if keep.sum() < 2 * _BINS:
            return []
        edges = np.unique(np.quantile(value[keep], np.linspace(0, 1, _BINS + 1)))
        found = []
        for low, high in itertools.pairwise(edges):
            mine = keep & (value >= low) & ((value < high) | (high == edges[-1]))
            label = f"{low:.0f} to {high:.0f} m" if known else f"rows {max(-high, 0):.0f} to {-low:.0f}"
            along = self.along[mine]
            found.append(DepthBin(label, int(mine.sum()), float(np.median(along)), _deviation(along)))
        return found


def _deviation(values: np.ndarray) -> float:
    """A standard deviation by the median, which outliers do not move."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
