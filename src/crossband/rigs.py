"""The transform between two cameras that are mounted together, and an image of the one as the other saw it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .bands import Band, parse_band
from .errors import CrossbandError

__all__ = ["RigTransform"]

_LONGEST = 1 << 15  # pixels of a side
_SHRINK = 1.5  # pixels of the second image a pixel of the first from which on it is shrunk before it is warped
_FEW = 1 << 16  # pixels that tell what fills the rest


@dataclass(frozen=True)
class RigTransform:
    """From pixels of one band's camera to pixels of another's.

    Attributes:
        matrix: 3x3, row by row: from (column, row) of the first band to (column, row) of the second.
        first: the band whose view counts.
        first_size: (height, width) of its images.
        second: the band whose images are warped.
        second_size: (height, width) of its images.

    Example:
        >>> half = ((0.5, 0, -0.25), (0, 0.5, -0.25), (0, 0, 1))
        >>> rig = RigTransform(half, Band.RGB, (4, 4), Band.TIR, (2, 2))
        >>> rig(np.array([[10, 20], [30, 40]], np.uint8))[0].tolist()
        [10, 12, 18, 20]
    """

    matrix: tuple[tuple[float, float, float], ...]
    first: Band
    first_size: tuple[int, int]
    second: Band
    second_size: tuple[int, int]

    @classmethod
    def parse(cls, said: str | Mapping[str, Any]) -> RigTransform:
        """Make it from JSON, or from what JSON gave; ``rig.json`` holds all of it.

        Raises:
            CrossbandError: it is no rig.
        """
        return _parsed(said) if isinstance(said, str) else _made(said)

    @classmethod
    def read(cls, path: str | Path) -> RigTransform:
        """Read the transform of a ``rig.json``.

        Raises:
            CrossbandError: no such file, or no rig.
        """
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            reason = f"there is no {path}"
        except (OSError, ValueError, CrossbandError) as error:
            reason = f"{path} is no rig ({error})"
        raise CrossbandError(
            f"{reason}; fit_rig, or crossband align on a folder of pairs, makes one", parameter="rig"
        )

    def to_json(self) -> dict[str, object]:
        """Return a plain mapping, as in ``rig.json``."""
        return {
            "matrix": [list(row) for row in self.matrix],
            "first": {"band": self.first.value, "size": list(self.first_size)},
            "second": {"band": self.second.value, "size": list(self.second_size)},
        }

    @property
    def text(self) -> str:
        """What the column ``rig`` of a manifest holds."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    def __call__(self, pixels: np.ndarray, unknown: float | None = None) -> np.ndarray:
        """Show an image of the second band, ``(H, W[, C])``, as the first camera would have seen it.

        Bilinear; an image that gets smaller is shrunk first, so that nothing flickers.

        Args:
            pixels: of any type; the result has the same.
            unknown: what fills what the second camera did not see; each channel's median by default.

        Raises:
            CrossbandError: images of another size than the rig's.
        """
        import torch
        import torch.nn.functional as F

        self._check_size(pixels)
        whole = np.atleast_3d(pixels)
        image = torch.from_numpy(whole.astype(np.float32)).permute(2, 0, 1)[None]
        matrix = np.array(self.matrix)
        if (factor := self._shrinks()) > _SHRINK:
            size = [max(1, round(side / factor)) for side in self.second_size]
            image = F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
            sy, sx = (small / side for small, side in zip(size, self.second_size, strict=True))
            matrix = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]]) @ matrix
        grid, inside = _grid(matrix, self.first_size, (image.shape[2], image.shape[3]))
        warped = F.grid_sample(image, torch.from_numpy(grid)[None], padding_mode="border", align_corners=False)
        found = warped[0].permute(1, 2, 0).numpy()
        found[~inside] = _usual(whole) if unknown is None else unknown
        if pixels.dtype.kind == "u":
            found = np.rint(found)
        return found.reshape(*self.first_size, *pixels.shape[2:]).astype(pixels.dtype)

    def _check_size(self, pixels: np.ndarray) -> None:
        if pixels.shape[:2] != self.second_size:
            height, width = self.second_size
            raise CrossbandError(
                f"this rig is of {self.second.value} images of {width}x{height}, not of images of "
                f"{pixels.shape[1]}x{pixels.shape[0]}; crossband align makes one for these",
                parameter="rig",
            )

    def _shrinks(self) -> float:
        """Pixels of the second image a pixel of the first, at its center."""
        m = np.array(self.matrix)
        center = np.array([(self.first_size[1] - 1) / 2, (self.first_size[0] - 1) / 2, 1.0])
        return float(abs(np.linalg.det(m) / (m @ center)[2] ** 3)) ** 0.5


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> RigTransform:
    try:
        return _made(json.loads(text))
    except (ValueError, RecursionError):
        raise CrossbandError("no JSON", parameter="rig") from None


def _made(said: Any) -> RigTransform:
    try:
        matrix = np.array(said["matrix"], float)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise ValueError("its matrix is no transform")
        sides = []
        for name in ("first", "second"):
            size = int(said[name]["size"][0]), int(said[name]["size"][1])
            if not all(1 <= side <= _LONGEST for side in size):
                raise ValueError("its sizes are no images'")
            sides.append((parse_band(said[name]["band"]), size))
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise CrossbandError(f"it lacks something, or {error}"[:120], parameter="rig") from None
    (first, first_size), (second, second_size) = sides
    if first is second:
        raise CrossbandError("its two bands are one", parameter="rig")
    a, b, c = matrix.tolist()
    return RigTransform((tuple(a), tuple(b), tuple(c)), first, first_size, second, second_size)


def _grid(matrix: np.ndarray, size: tuple[int, int], other: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of an image of ``size`` lies in another, as torch wants it, and whether it is in it."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y, w = (row[0] * columns + row[1] * rows + row[2] for row in matrix)
    ahead = w * np.sign(matrix[2, 2] or 1.0) > 1e-9
    w = np.where(ahead, w, 1.0)
    grid = np.stack([(2 * x / w + 1) / other[1] - 1, (2 * y / w + 1) / other[0] - 1], -1)
    inside = ahead & (np.abs(grid) <= 1).all(-1)
    return np.where(inside[..., None], grid, 0).astype(np.float32), inside


def _usual(pixels: np.ndarray) -> np.ndarray:
    """The median of each channel of ``(H, W, C)``, of some pixels."""
    step = max(1, int((pixels.shape[0] * pixels.shape[1] / _FEW) ** 0.5))
    some = pixels[::step, ::step].reshape(-1, pixels.shape[2]).astype(np.float32)
    known = np.nanmedian(np.where(np.isfinite(some), some, np.nan), axis=0) if some.size else np.zeros(1)
    return np.nan_to_num(known)
