"""A transform refined by blocks: where small windows of one image lie in the other, and what explains most.

Each block of the locally normalized edges (their strength, and their direction as a double angle, which no
change of sign turns) is searched near where the transform so far puts it. A block that finds itself elsewhere
counts little in the fit; so does one that could lie anywhere. Of a similarity, an affine transform and a
homography the simplest is taken that explains the blocks (Schwarz's criterion), in three rounds of smaller
windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .gradients import double_angle

__all__ = ["Laying", "edges", "located", "moved", "refined"]

_ROUNDS = ((96, 20, 32), (64, 8, 24), (64, 4, 24))  # side, reach and step of blocks, pixels
_LEAST = 8  # blocks
_EACH = 7.0  # blocks that overlap so much that they say what one says
_NEAR = 1.5  # pixels: a block that is as near has found its place
_SMALL = (32, 16, 16)  # side, reach and step of blocks that shall each lie at one depth
_CLEAR = 0.1  # what such a block counts at least
_FREE = {"similarity": 4, "affine": 6, "homography": 8}


@dataclass(frozen=True)
class Laying:
    """A transform that blocks agree on.

    Attributes:
        matrix: float64 ``(3, 3)``, from pixels of the first image to pixels of the second.
        model: what it is.
        share: of the blocks, those that lie within 1.5 pixels of where it puts them.
        blocks: how many there were.
        deviation: pixels: the standard error of a corner of the first image.
    """

    matrix: np.ndarray
    model: str
    share: float
    blocks: int
    deviation: float


def edges(gray: np.ndarray) -> np.ndarray:
    """Compute edges float32 ``(H, W, 3)`` of a gray image in [0, 1]: strength, and direction twice."""
    image = torch.from_numpy(np.ascontiguousarray(gray))[None, None]
    return np.ascontiguousarray(double_angle(image)[0].permute(1, 2, 0).numpy())


def refined(ours: np.ndarray, theirs: np.ndarray, start: np.ndarray, models: tuple[str, ...]) -> Laying | None:
    """Refine a transform from ``ours`` to ``theirs`` (both by :func:`edges`).

    Args:
        start: ``(3, 3)``.
        models: the ones to choose from, of ``similarity``, ``affine`` and ``homography``.

    Returns:
        ``None`` where too few blocks have anything in them.
    """
    matrix, found = start, None
    for side, reach, step in _ROUNDS:
        blocks = _searched(ours, theirs, matrix, min(side, min(ours.shape[:2]) // 2), reach, step)
        if len(blocks) < _LEAST:
            return None
        there = moved(matrix, blocks[:, 2:4])
        found = _chosen(blocks[:, :2], there, blocks[:, 4], models, reach / 2, ours.shape[:2])
        if found is None:
            return None
        matrix = found.matrix
    return found


def located(ours: np.ndarray, theirs: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Locate small blocks of the first image in the second, near where a transform takes them.

    Args:
        ours: by :func:`edges`; ``theirs`` likewise.
        matrix: ``(3, 3)`` from the first to the second.

    Returns:
        ``(n, 4)``: column and row of a block's center in the first, and in the second; blocks that could lie
        anywhere are left out.
    """
    side, reach, step = _SMALL
    blocks = _searched(ours, theirs, matrix, min(side, min(ours.shape[:2]) // 2), reach, step)
    blocks = blocks[blocks[:, 4] >= _CLEAR]
    return np.concatenate([blocks[:, :2], moved(matrix, blocks[:, 2:4])], 1)


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take points ``(n, 2)`` through a transform ``(3, 3)``."""
    out = np.concatenate([points, np.ones((len(points), 1))], 1) @ matrix.T
    return out[:, :2] / out[:, 2:]


def _searched(
    ours: np.ndarray, theirs: np.ndarray, matrix: np.ndarray, side: int, reach: int, step: int
) -> np.ndarray:
    """Blocks ``(n, 5)``: center in the first image, where it was found in the second as that lies on the first,
    and how much that counts."""
    import cv2

    height, width = ours.shape[:2]
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    second = cv2.warpPerspective(theirs, matrix, (width, height), flags=how)
    seen = cv2.integral(
        cv2.warpPerspective(np.ones(theirs.shape[:2], np.float32), matrix, (width, height), flags=how)
    )
    rows = []
    for top in range(0, height - side + 1, step):
        for left in range(0, width - side + 1, step):
            block = ours[top : top + side, left : left + side]
            y0, x0 = max(top - reach, 0), max(left - reach, 0)
            y1, x1 = min(top + side + reach, height), min(left + side + reach, width)
            covered = seen[y1, x1] - seen[y0, x1] - seen[y1, x0] + seen[y0, x0]
            if covered < 0.9 * (y1 - y0) * (x1 - x0) or block[..., 0].std() < 0.03:
                continue
            found = _peak(cv2.matchTemplate(second[y0:y1, x0:x1], block, cv2.TM_CCOEFF_NORMED))
            if found is not None:
                x, y, weight = found
                middle = (side - 1) / 2
                rows.append((left + middle, top + middle, x0 + x + middle, y0 + y + middle, weight))
    return np.array(rows).reshape(-1, 5)


def _peak(surface: np.ndarray) -> tuple[float, float, float] | None:
    """Column and row of the highest place, below a pixel, and its weight: its height, also above the rest."""
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    if y in (0, surface.shape[0] - 1) or x in (0, surface.shape[1] - 1):
        return None
    top = float(surface[y, x])
    near = surface[y - 1 : y + 2, x - 1 : x + 2].astype(float)
    across, down = near[1], near[:, 1]
    parts = [
        float(np.clip(0.5 * (line[0] - line[2]) / min(line[0] - 2 * line[1] + line[2], -1e-6), -0.5, 0.5))
        for line in (across, down)
    ]
    rest = surface.copy()
    rest[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = -1
    second = max(float(rest.max()), 0.0)
    return x + parts[0], y + parts[1], max(top, 0.0) ** 2 * float(np.clip(4 * (top - second), 0.02, 1))


def _chosen(
    here: np.ndarray,
    there: np.ndarray,
    weight: np.ndarray,
    models: tuple[str, ...],
    reach: float,
    size: tuple[int, int],
) -> Laying | None:
    """The simplest model that explains the blocks."""
    weight = weight / weight.max()
    fits = {model: _robust(here, there, weight, model, reach) for model in models}
    apart = {m: np.linalg.norm(moved(fit[0], here) - there, axis=1) for m, fit in fits.items()}
    last = models[-1]
    kept = fits[last][1] + 1e-9
    sigma = max(float(np.sqrt(np.average(apart[last] ** 2, weights=kept) / 2)), 0.2)
    worth = max(float(weight.sum()) / _EACH, 4.0)
    costs = {
        m: float((weight * np.minimum((apart[m] / sigma) ** 2, 9)).sum()) / _EACH + _FREE[m] * np.log(worth)
        for m in models
    }
    model = min(models, key=lambda m: costs[m])
    matrix, kept = fits[model]
    if (kept > 0).sum() < _LEAST or not np.isfinite(matrix).all():
        return None
    deviation = _standard_error(here, apart[model], kept, model, size)
    return Laying(matrix, model, float((apart[model] < _NEAR).mean()), len(here), deviation)


def _standard_error(
    here: np.ndarray, apart: np.ndarray, weight: np.ndarray, model: str, size: tuple[int, int]
) -> float:
    """The mean standard error of the corners, as of an affine transform (of a similarity: less)."""
    height, width = size
    design = np.c_[here - here.mean(0), np.ones(len(here))]
    worth = weight / max(float(weight.max()), 1e-9)
    variance = float((worth * apart**2).sum() / max(float(worth.sum()), 1e-9)) / 2
    inverse = np.linalg.pinv((design * worth[:, None]).T @ design) * _EACH
    places = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    corners = np.c_[places - here.mean(0), np.ones(4)]
    spread = variance * np.einsum("ni,ij,nj->n", corners, inverse, corners)
    return float(np.sqrt(2 * spread * _FREE[model] / 6).mean())


def _robust(
    here: np.ndarray, there: np.ndarray, weight: np.ndarray, model: str, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit by least squares again and again, with Tukey's weights of a scale that shrinks to the residuals'."""
    matrix, scale, kept = _least_squares(here, there, weight, model), reach, weight
    for _ in range(15):
        apart = np.linalg.norm(moved(matrix, here) - there, axis=1)
        near = weight * (apart < 3 * scale) + 1e-9
        spread = float(np.sqrt(np.average(apart**2, weights=near) / 2))
        scale = max(min(0.8 * scale, reach), 1.5 * spread, 0.25)
        kept = np.square(np.clip(1 - (apart / (4 * scale)) ** 2, 0, None)) * weight
        if (kept > 0).sum() < _LEAST:
            break
        matrix = _least_squares(here, there, kept, model)
    return matrix, kept


def _least_squares(here: np.ndarray, there: np.ndarray, weight: np.ndarray, model: str) -> np.ndarray:
    """The transform ``(3, 3)`` that takes points to points with the least weighted squared error."""
    mine, theirs = (np.average(points, axis=0, weights=weight) for points in (here, there))
    scale = max(float(np.sqrt(np.average(np.square(here - mine).sum(1), weights=weight))), 1e-6)
    u, v = (here - mine) / scale, (there - theirs) / scale
    if model == "similarity":
        z, w = u[:, 0] + 1j * u[:, 1], v[:, 0] + 1j * v[:, 1]
        a = (weight * z.conj() * w).sum() / (weight * np.abs(z) ** 2).sum()
        matrix = np.array([[a.real, -a.imag, 0], [a.imag, a.real, 0], [0, 0, 1]])
    else:
        root = np.sqrt(weight)[:, None]
        two = np.linalg.lstsq(np.c_[u, np.ones(len(u))] * root, v * root, rcond=None)[0].T
        matrix = np.vstack([two, [0, 0, 1]])
        if model == "homography":
            matrix = _projective(u, v, weight, matrix)
    before = np.array([[1 / scale, 0, -mine[0] / scale], [0, 1 / scale, -mine[1] / scale], [0, 0, 1]])
    after = np.array([[scale, 0, theirs[0]], [0, scale, theirs[1]], [0, 0, 1]])
    matrix = after @ matrix @ before
    return matrix / matrix[2, 2]


def _projective(u: np.ndarray, v: np.ndarray, weight: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Some steps of Gauss and Newton from an affine transform."""
    zero, one = np.zeros(len(u)), np.ones(len(u))
    for _ in range(6):
        out = np.c_[u, one] @ matrix.T
        depth, at = out[:, 2], out[:, :2] / out[:, 2:]
        across = np.c_[u, one, zero, zero, zero, -at[:, :1] * u] / depth[:, None]
        down = np.c_[zero, zero, zero, u, one, -at[:, 1:] * u] / depth[:, None]
        slopes = np.stack([across, down], 1)
        weighted = slopes * weight[:, None, None]
        normal = np.einsum("nij,nik->jk", weighted, slopes) + 1e-9 * np.eye(8)
        step = np.linalg.solve(normal, np.einsum("nij,ni->j", weighted, v - at))
        matrix = matrix + np.append(step, 0).reshape(3, 3)
    return matrix
