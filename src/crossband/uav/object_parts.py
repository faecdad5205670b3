"""The parts of an object that tell it from others of its kind: where they are, their detector, their branch.

Wang et al., "Vehicle Re-identification in Aerial Imagery: Dataset and Approach", ICCV 2019: people marked the
parts by which they tell a vehicle, YOLO learned to find them, and the last map, weighted more inside their
boxes, is pooled to a vector of its own beside that of the whole vehicle. The detector here is
:class:`crossband.models.center_detector.CenterDetector`, which learns in the same run; weights are by the true
boxes while training and by its detections afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import find_objects, label
from torch import nn

from ..data.scenes import Scenes
from ..errors import CrossbandError
from ..models.center_detector import CenterDetector
from .object_descriptor import MARGIN, crop_window

__all__ = ["MOST", "PartBranch", "PartReader", "part_weights", "parts_in_crop", "temperature_parts"]

MOST = 12
"""Parts of a crop, at most."""

_LEAST_PIXELS = 4  # of a part that is found by temperature


class PartReader:
    """Where the parts of objects are in some frames.

    Args:
        scenes: the frames.
        source: ``column``: boxes in the files of a column ``parts``, read as those of ``boxes`` are, each of
            the object whose box holds its middle; ``temperature``: see :func:`temperature_parts`, which needs
            ``instances``.
        kelvin: of ``temperature``.

    Raises:
        CrossbandError: the frames lack what this source needs.
    """

    def __init__(
        self, scenes: Scenes, source: Literal["column", "temperature"] = "column", kelvin: float = 3.0
    ) -> None:
        self.scenes, self.kelvin = scenes, kelvin
        self._rows: list[np.ndarray] | None = None
        if source == "column":
            from ..io.boxes import read_boxes

            self._rows = read_boxes(scenes.frames, column="parts").rows
        else:
            scenes.need("tir", "instances")
            if "counts" in {units or "counts" for units in scenes.frames.units()}:
                raise CrossbandError(
                    "model.parts.source temperature needs thermal images in kelvin; these have counts",
                    parameter="model.parts.source",
                )

    @staticmethod
    def possible(scenes: Scenes, source: str) -> bool:
        """Return whether frames have what a source needs."""
        if source == "column":
            return scenes.frames.has("parts")
        return scenes.frames.has("instances") and None not in scenes.frames.units()

    def __call__(self, row: int, number: int) -> np.ndarray:
        """Return the boxes of an object's parts, float32 ``(n, 4)``, pixels of the frame."""
        box = self.scenes.boxes[row][number]
        if self._rows is None:
            kelvin = self.scenes.kelvin(row)[0].numpy()
            own = self.scenes.pixels(row, "instances") == int(box[5])
            return temperature_parts(kelvin, own, self.kelvin)
        parts = self._rows[row][:, :4]
        middle = (parts[:, :2] + parts[:, 2:]) / 2
        return parts[((middle >= box[:2]) & (middle <= box[2:4])).all(1)]


def temperature_parts(kelvin: np.ndarray, own: np.ndarray, least: float) -> np.ndarray:
    """Find the parts of an object that are warmer or colder than it is: hoods, exhausts, glass.

    Args:
        kelvin: ``(H, W)``.
        own: ``(H, W)`` bool, the object's pixels.
        least: kelvin from the object's median, at least.

    Returns:
        boxes, float32 ``(n, 4)``, the largest first; regions of less than four pixels are left out.

    Example:
        >>> kelvin = np.full((6, 9), 290.0)
        >>> kelvin[2:4, 1:3] = 300
        >>> temperature_parts(kelvin, np.ones((6, 9), bool), 3.0).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    if not own.any():
        return np.zeros((0, 4), np.float32)
    off = np.where(own, kelvin - np.median(kelvin[own]), 0)
    found: list[tuple[int, list[int]]] = []
    for differing in (off >= least, off <= -least):
        regions, _ = label(differing)
        for region, place in enumerate(find_objects(regions), 1):
            pixels = int((regions[place] == region).sum())
            if pixels >= _LEAST_PIXELS:
                rows, columns = place
                found.append((pixels, [columns.start, rows.start, columns.stop, rows.stop]))
    found.sort(key=lambda part: -part[0])
    return np.array([box for _, box in found], np.float32).reshape(-1, 4)


def parts_in_crop(
    parts: np.ndarray, shape: Sequence[int], box: Sequence[float], size: int, margin: float = MARGIN
) -> torch.Tensor:
    """Return parts in pixels of an object's crop, float32 ``(MOST, 4)``.

    Where there are fewer, rows of zeros follow.

    Args:
        parts: ``(n, 4)``, pixels of the frame.
        shape: of the frame, its last two axes.
        box: of the object.
        size: side of the crop.
        margin: of :func:`.crop_around`.

    Example:
        >>> parts_in_crop(np.array([[10, 10, 20, 20]]), (40, 60), (10, 10, 30, 30), 40, 0.0)[0].round()
        tensor([ 0.,  0., 19., 19.])
    """
    left, top, right, bottom = crop_window(shape, box, margin)
    scale = np.array([size / (right - left), size / (bottom - top)] * 2)
    moved = ((np.asarray(parts, float) - [left, top, left, top]) * scale).clip(0, size)
    kept = moved[(moved[:, 2:] - moved[:, :2] >= 1).all(1)][:MOST]
    padded = torch.zeros(MOST, 4)
    padded[: len(kept)] = torch.from_numpy(kept.astype(np.float32))
    return padded


def part_weights(parts: torch.Tensor, side: int, shape: tuple[int, int], weight: float) -> torch.Tensor:
    """Return the weight of each cell of a map, ``(N, 1, h, w)``.

    It goes from 1 outside of all parts to ``weight`` inside one, by the share of the cell that they cover.

    Args:
        parts: ``(N, n, 4)``, pixels of the crop; boxes without an area cover nothing.
        side: of the crop.
        shape: (h, w).
        weight: inside a part.

    Example:
        >>> part_weights(torch.tensor([[[0.0, 0.0, 4.0, 8.0]]]), 8, (2, 2), 3.0)[0, 0]
        tensor([[3., 1.],
                [3., 1.]])
    """
    at = torch.arange(side, device=parts.device) + 0.5
    across = (at >= parts[..., 0:1]) & (at < parts[..., 2:3])
    down = (at >= parts[..., 1:2]) & (at < parts[..., 3:4])
    covered = (down[..., :, None] & across[..., None, :]).any(1)[:, None]
    return 1 + (weight - 1) * F.adaptive_avg_pool2d(covered.float(), shape)


class PartBranch(nn.Module):
    """Maps to a second vector, in which the parts weigh more.

    Args:
        detector: of one class, reading crops as :meth:`seen` gives them.
        neck: of its vector.
        weight: inside a part.
        least: score of a part, at least.
    """

    def __init__(self, detector: CenterDetector, neck: nn.Module, weight: float, least: float) -> None:
        super().__init__()
        self.detector, self.neck = detector.requires_grad_(True), neck
        self.weight, self.least = weight, least

    @staticmethod
    def seen(crops: torch.Tensor) -> torch.Tensor:
        """Return what the detector reads of crops ``(N, 3, s, s)`` of either band: ``(N, 1, s, s)``."""
        return (crops.mean(1, keepdim=True) - 0.5) * 4

    def detect(self, crops: torch.Tensor, least: float | None = None) -> list[torch.Tensor]:
        """Find parts in crops: of each ``(n, 5)``, left, top, right, bottom and score."""
        found = self.detector.detect(self.seen(crops), self.least if least is None else least, most=MOST)
        return [boxes[:, :5] for boxes in found]

    def forward(
        self, maps: torch.Tensor, crops: torch.Tensor, parts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Pool maps ``(N, C, h, w)`` of crops ``(N, 3, s, s)``: ``(N, C)``; parts not given are detected."""
        if parts is None:
            found = [boxes[:, :4] for boxes in self.detect(crops)]
            parts = torch.stack([F.pad(boxes, (0, 0, 0, MOST - len(boxes))) for boxes in found])
        weights = part_weights(parts, crops.shape[-1], tuple(maps.shape[-2:]), self.weight)  # type: ignore[arg-type]
        return (maps * weights).sum((-2, -1)) / weights.sum((-2, -1))
