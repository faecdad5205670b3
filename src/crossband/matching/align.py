"""Registration of two images of different cameras: a transform, its uncertainty, and whether it is one scene.

Coarse to fine. Local features are matched at one or more relative sizes, each partner's position is refined to
below a cell by parabolas through the similarities around it, and a similarity is fitted to the matches
(RANSAC). It is then refined by where blocks of the one image's edges lie in the other
(:mod:`crossband.matching.blocks`), which also tell which model is needed, how large the error is, and, where
they agree, that it is one scene.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..bands import Band, parse_band
from ..data.preprocess import IMAGENET, Preprocess
from ..errors import CrossbandError, need_package
from ..io import Image, as_image
from ..models import create_encoder
from ..nn import Encoder
from .agreement import lay_over
from .blocks import Laying, edges, located, moved, refined
from .features import LocalFeatures
from .geometry import consensus
from .reranker import MatchReranker
from .same_place import Evidence

__all__ = ["MODELS", "Aligner", "Picture", "Registration", "corner_error", "corners"]

MODELS = ("auto", "similarity", "affine", "homography")
_SIMPLEST_FIRST = MODELS[1:]
_SMALLEST, _WORK, _BASE = 32, 512, 320  # pixels: refused below; longer side that is refined on, and matched on
_LIKELY = 0.5
_CELL = 8
_SURE, _MANY = 0.4, 80  # share of blocks that find themselves, and their number, that make one scene certain
_ERRORS = 2.0  # standard errors that are told as the error; from M3SVD's pairs, moved by known warps


@dataclass(frozen=True)
class Registration:
    """What takes one image to another.

    Attributes:
        matrix: float64 ``(3, 3)``: from pixels (column, row) of the first to pixels of the second.
        model: ``similarity``, ``affine`` or ``homography``.
        inliers: matches that it explains.
        same_place: the probability that both show one scene.
        error_px: the estimated mean error of a corner of the first image, in pixels of the second.
        refined: whether blocks of edges agreed on a finer transform than the matches gave.
        matches: float64 ``(inliers, 4)``: column and row in the first, column and row in the second image.
    """

    matrix: np.ndarray
    model: str
    inliers: int
    same_place: float
    error_px: float
    refined: bool
    matches: np.ndarray

    def to_json(self) -> dict[str, object]:
        """Return a plain mapping."""
        return {
            "matrix": self.matrix.tolist(),
            "model": self.model,
            "inliers": self.inliers,
            "same_place": self.same_place,
            "error_px": self.error_px,
        }


@dataclass(frozen=True)
class Picture:
    """A band of one image as the aligner sees it: gray in [0, 1], and its own (height, width) in pixels."""

    gray: np.ndarray
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.gray.shape[0], self.gray.shape[1]

    def scaled(self, longer: int, multiple: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Resized to a longer side, and the matrix from its own pixels to those."""
        import cv2

        height, width = self.size
        factor = longer / max(height, width)
        sides = [max(multiple, round(side * factor / multiple) * multiple) for side in (width, height)]
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        image = cv2.resize(self.gray, sides, interpolation=method)
        sx, sy = sides[0] / width, sides[1] / height
        return image, np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


Described = tuple[np.ndarray, tuple[int, int], np.ndarray]
"""Features of an image, their grid, and the matrix from its pixels to those that were described."""


class Aligner:
    """Registers images of any two bands; the network is loaded once.

    Args:
        model: ``similarity``, ``affine`` or ``homography``; ``auto`` takes the simplest that explains
            the images.
        weights: where to look for the network's weights first.
        encoder: another network than the default's.

    Raises:
        CrossbandError: an unknown model, or weights that are missing.
    """

    def __init__(
        self, model: str = "auto", weights: str | Path | None = None, encoder: Encoder | None = None
    ) -> None:
        if model not in MODELS:
            raise CrossbandError(
                f"a model of align is one of {', '.join(MODELS)}, not {model!r}", parameter="model"
            )
        need_package("cv2", "aligning images", "vision")
        self.model = model
        self._encoder = encoder or create_encoder("efficientnet_lite0", weights)
        self._features = LocalFeatures.of(self._encoder)
        self._judge = MatchReranker(self._encoder, (_BASE, _BASE), self._features)

    def read(
        self, path: str | Path | Image, band: Band | str = "rgb", units: str | None = None, name: str = ""
    ) -> Picture:
        """One image, a file or decoded already, normalized as its band is; ``name`` stands in errors.

        Raises:
            CrossbandError: it cannot be read, or is smaller than 32 pixels.
        """
        band = parse_band(band)
        image, name = as_image(path, band, units), name or str(path)
        height, width = image.pixels.shape[:2]
        if min(height, width) < _SMALLEST:
            raise CrossbandError(
                f"{name} has {width}x{height} pixels, too few to be aligned; "
                f"give images of {_SMALLEST} or more a side"
            )
        unit = Preprocess((height, width), dict.fromkeys(Band, IMAGENET)).unit(image, band).numpy()
        gray = unit[0] if len(unit) == 1 else np.tensordot((0.299, 0.587, 0.114), unit, 1)
        return Picture(np.ascontiguousarray(gray, np.float32), name)

    def align(self, first: Picture, second: Picture) -> Registration:
        """Register two images.

        Raises:
            CrossbandError: they do not show the same scene, or one of them shows nothing.
        """
        for one in (first, second):
            if float(one.gray.max() - one.gray.min()) < 1 / 255:
                raise CrossbandError(f"{one.name} is blank: there is nothing in it to align")
        pairs, likely = self.matches(first, second)
        rough, inside = fitted(pairs, "similarity", 1.5 * _CELL * max(second.size) / _BASE)
        found = self.refined(first, second, rough) if inside.sum() >= 4 else None
        if found is not None and found.share >= _SURE and found.blocks >= _MANY:
            likely = max(likely, found.share)
        if likely < _LIKELY or inside.sum() < 4:
            raise CrossbandError(
                f"{first.name} and {second.name} do not show the same scene (probability {likely:.2f}); "
                "no transform was written"
            )
        if found is not None:
            return Registration(
                found.matrix, found.model, len(pairs), likely, _ERRORS * found.deviation, True, pairs
            )
        model = "similarity" if self.model == "auto" else self.model
        rough, inside = fitted(pairs, model, 1.5 * _CELL * max(second.size) / _BASE)
        if inside.sum() < 4:
            raise CrossbandError(
                f"no {model} takes {first.name} to {second.name}; try a similarity", parameter="model"
            )
        pairs = pairs[inside]
        error = _error_of_fit(pairs, rough, first.size)
        return Registration(rough / rough[2, 2], model, len(pairs), likely, error, False, pairs)

    def matches(self, first: Picture, second: Picture) -> tuple[np.ndarray, float]:
        """Match two images: ``(m, 4)`` that one similarity explains, and the probability of one scene.

        Matches are in pixels of both, at the relative size at which there are most.
        """
        best: tuple[float, np.ndarray, float] = (-1.0, np.empty((0, 4)), 0.0)
        for ours, theirs in ((_BASE, _BASE), (2 * _BASE, _BASE), (_BASE, 2 * _BASE)):
            found, evidence = self._matched(first.scaled(ours, _CELL), second.scaled(theirs, _CELL))
            strength = float(evidence.strength()[0])
            if strength > best[0]:
                best = strength, found, float(self._judge.model.probability(evidence)[0])
            if best[2] > 0.9:  # the usual case: nothing is to be had from other sizes
                break
        return best[1], best[2]

    def _matched(
        self, first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, Evidence]:
        return self.compared(*((*self.described(image), scale) for image, scale in (first, second)))

    def compared(self, first: Described, second: Described) -> tuple[np.ndarray, Evidence]:
        """Match two described images: ``(m, 4)`` in pixels of both, and the evidence of one scene."""
        (ours, grid, scale), (theirs, other, second_scale) = first, second
        product = ours @ theirs.T
        partner = product.argmax(1)
        mutual = product.argmax(0)[partner] == np.arange(len(partner))
        here = np.flatnonzero(mutual)
        there = partner[here]
        where = np.stack([here % grid[1], here // grid[1]], 1).astype(float)
        whither = np.stack([there % other[1], there // other[1]], 1).astype(float)
        whither += _below_a_cell(product[here].reshape(-1, *other), there)
        z, w = (points[:, 0] + 1j * points[:, 1] for points in (where, whither))
        found = consensus(z, w, 2.0, side=max(grid), draws=1024)
        # the judge matches one position in four, so it is asked about as many
        even = (here % grid[1] % 2 == 0) & (here // grid[1] % 2 == 0)
        row = Evidence.row(z[even], found.inliers[even], product[here, there][even], grid)
        rows, columns = np.mgrid[: grid[0] : 2, : grid[1] : 2]
        laid = lay_over(
            product.reshape(*grid, -1)[::2, ::2].reshape(1, rows.size, -1),
            (columns + 1j * rows).ravel(),
            np.array([found.factor]),
            np.array([found.offset]),
            other,
        )
        pixels = [
            moved(np.linalg.inv(scale), (points + 0.5) * _CELL - 0.5)
            for points, scale in ((where, scale), (whither, second_scale))
        ]
        return np.concatenate(pixels, 1)[found.inliers], Evidence.of([row], laid.agreement)

    def probability(self, evidence: Evidence) -> float:
        """Return the probability of one scene."""
        return float(self._judge.model.probability(evidence)[0])

    def described(self, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """Return the features of a gray image, and how many there are (down, across)."""
        statistics = self._encoder.statistics
        mean, std = (torch.tensor(v)[:, None, None] for v in (statistics.mean, statistics.std))
        pixels = (torch.from_numpy(image).expand(3, -1, -1) - mean) / std
        device = next(self._encoder.parameters()).device
        with torch.inference_mode():
            found = self._features(pixels[None].to(device))[0].cpu().numpy()
        return found, self._features.grid((image.shape[0], image.shape[1]))

    def refined(self, first: Picture, second: Picture, rough: np.ndarray) -> Laying | None:
        """Return the transform that blocks agree on from a rough one on, in the pixels of both images."""
        (ours, here), (theirs, there) = _worked(first), _worked(second)
        models = _SIMPLEST_FIRST if self.model == "auto" else (self.model,)
        found = refined(ours, theirs, there @ rough @ np.linalg.inv(here), models)
        if found is None:
            return None
        matrix = np.linalg.inv(there) @ found.matrix @ here
        return replace(found, matrix=matrix / matrix[2, 2], deviation=found.deviation / float(there[0, 0]))

    def located(self, first: Picture, second: Picture, matrix: np.ndarray) -> np.ndarray:
        """Locate small blocks of the first image in the second, near where a transform takes them.

        Returns:
            ``(n, 4)``: column and row in the first, column and row in the second image.
        """
        (ours, here), (theirs, there) = _worked(first), _worked(second)
        found = located(ours, theirs, there @ matrix @ np.linalg.inv(here))
        return np.concatenate(
            [moved(np.linalg.inv(here), found[:, :2]), moved(np.linalg.inv(there), found[:, 2:])], 1
        )


def _worked(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """The edges of an image at the size that is refined on, and the matrix from its pixels to theirs."""
    image, scale = picture.scaled(min(_WORK, max(64, max(picture.size))))
    return edges(image), scale


def corners(size: tuple[int, int]) -> np.ndarray:
    """Return the corners of an image of (height, width), as (column, row) ``(4, 2)``."""
    height, width = size
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)


def corner_error(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    """Compute how far apart two transforms take the corners of an image of (height, width), on average.

    Example:
        >>> moved = np.eye(3); moved[:2, 2] = 3, 4
        >>> corner_error(np.eye(3), moved, (10, 20))
        5.0
    """
    places = corners(size)
    return float(np.linalg.norm(moved(one, places) - moved(other, places), axis=1).mean())


def fitted(pairs: np.ndarray, model: str, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit a transform ``(3, 3)`` to matches ``(m, 4)`` by MAGSAC++, and tell which it explains.

    A simpler model where matches are few.
    """
    import cv2

    here, there = np.ascontiguousarray(pairs[:, :2]), np.ascontiguousarray(pairs[:, 2:])
    if model == "homography" and len(pairs) >= 12:
        matrix, inside = cv2.findHomography(
            here, there, cv2.USAC_MAGSAC, threshold, maxIters=4000, confidence=0.9999
        )
    elif model == "similarity" or len(pairs) < 6:
        two, inside = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=threshold, maxIters=4000)
        matrix = None if two is None else np.vstack([two, [0, 0, 1]])
    else:
        two, inside = cv2.estimateAffine2D(
            here, there, method=cv2.USAC_MAGSAC, ransacReprojThreshold=threshold, maxIters=4000
        )
        matrix = None if two is None else np.vstack([two, [0, 0, 1]])
    if matrix is None or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        return np.eye(3), np.zeros(len(pairs), bool)
    return matrix, inside.ravel().astype(bool)


def _below_a_cell(surfaces: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Where parabolas through the similarities ``(m, rows, columns)`` beside each peak have theirs: (column,
    row), at most half a cell from it."""
    n, rows, columns = surfaces.shape
    y, x = np.divmod(peaks, columns)
    which = np.arange(n)
    out = np.zeros((n, 2))
    for axis, (at, most) in enumerate(((x, columns), (y, rows))):
        inner = (at > 0) & (at < most - 1)
        step = np.eye(2, dtype=int)[axis]
        before, middle, after = (
            surfaces[which, np.clip(y + k * step[1], 0, rows - 1), np.clip(x + k * step[0], 0, columns - 1)]
            for k in (-1, 0, 1)
        )
        curve = before - 2 * middle + after
        out[:, axis] = np.where(inner & (curve < -1e-6), 0.5 * (before - after) / np.minimum(curve, -1e-6), 0)
    return out.clip(-0.5, 0.5)


def _error_of_fit(pairs: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> float:
    """The mean standard error of the corners of an affine transform fitted to matches by least squares."""
    here, there = pairs[:, :2], pairs[:, 2:]
    design = np.concatenate([here, np.ones((len(here), 1))], 1)
    free = max(2 * len(here) - 8, 1)
    variance = float(np.square(moved(matrix, here) - there).sum()) / free
    inverse = np.linalg.pinv(design.T @ design)
    places = np.concatenate([corners(size), np.ones((4, 1))], 1)
    return float(np.sqrt(2 * variance * np.einsum("ni,ij,nj->n", places, inverse, places)).mean())
