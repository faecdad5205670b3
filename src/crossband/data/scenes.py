"""Aligned layers of a frame as training reads them: color, temperature, classes, objects, boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from ..bands import Units, to_kelvin
from ..errors import CrossbandError
from ..frames import Frames
from ..io.boxes import Boxes, read_boxes
from .reader import FrameReader

__all__ = [
    "KELVIN_A_UNIT",
    "Crop",
    "Scenes",
    "class_table",
    "means_by_object",
    "middle_of",
    "resized",
    "sides_of",
    "thermal_input",
    "thermal_levels",
    "zoomed",
]

KELVIN_A_UNIT = 12.0
"""Kelvin of a unit of :func:`thermal_input`."""


class Scenes:
    """The layers of some frames, kept as the files hold them.

    Args:
        frames: what is read.
        cache_mb: memory for decoded layers; beyond it they are read again.
    """

    def __init__(self, frames: Frames, cache_mb: int = 0) -> None:
        self.frames = frames
        self._reader = FrameReader(frames, cache_mb)
        self._units = frames.units()
        self._levels: dict[tuple[int, Units], tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def need(self, *columns: str) -> None:
        """Check that the frames have all of some columns.

        Raises:
            CrossbandError: one is missing.
        """
        lacking = [column for column in columns if not self.frames.has(column)]
        if lacking:
            raise CrossbandError(
                f"the frames of {self.frames.root} have no {', '.join(lacking)}; the simulated "
                "city's preset uav has what this task needs"
            )

    def pixels(self, row: int, column: str) -> np.ndarray:
        """Return a layer as the file holds it.

        Raises:
            ImageFault: it cannot be read.
        """
        return self._reader.pixels(row, column)

    def color(self, row: int) -> torch.Tensor:
        """Return the color image, float32 ``(3, H, W)`` in [0, 1]."""
        pixels = self.pixels(row, "rgb")
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, 2)
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
        return torch.from_numpy(pixels[..., :3].astype(np.float32) / top).permute(2, 0, 1).contiguous()

    def kelvin(self, row: int) -> torch.Tensor:
        """Return the temperatures, float32 ``(1, H, W)``, kelvin.

        Raises:
            CrossbandError: the pixels are counts.
        """
        return torch.from_numpy(to_kelvin(self.pixels(row, "tir"), self._units[row] or "counts"))[None]

    def thermal(self, row: int, units: Units | None = None) -> torch.Tensor:
        """Return what networks read of the thermal image, ``(1, H, W)``; see :func:`thermal_input`.

        Args:
            row: the frame.
            units: what its pixels are taken for; the frame's own without.
        """
        pixels, taken = self.pixels(row, "tir"), Units(units or self._units[row] or "counts")
        if (row, taken) not in self._levels:
            self._levels[row, taken] = thermal_levels(pixels, taken)
        return thermal_input(pixels, taken, self._levels[row, taken])

    def ambient(self, row: int) -> float:
        """Return the median temperature of the frame, kelvin."""
        return float(self.kelvin(row).median())

    def integers(self, row: int, column: str, table: np.ndarray | None = None) -> torch.Tensor:
        """Return a layer of labels, int64 ``(H, W)``, looked up in a table if one is given."""
        pixels = self.pixels(row, column)
        return torch.from_numpy((pixels if table is None else table[pixels]).astype(np.int64))

    @property
    def boxes(self) -> list[np.ndarray]:
        """Of each frame float32 ``(n, 6)``: left, top, right, bottom in pixels, class, instance (or -1)."""
        return self._annotated.rows

    @property
    def crowds(self) -> list[np.ndarray]:
        """As ``boxes``: where nothing of a class is asked for, and nothing wrong."""
        return self._annotated.crowds

    @cached_property
    def _annotated(self) -> Boxes:
        return read_boxes(self.frames)


def thermal_levels(pixels: np.ndarray, units: Units | str) -> tuple[float, float]:
    """Return what is 0 and what is a unit in :func:`thermal_input`, in counts or kelvin."""
    if Units(units) is Units.COUNTS:
        values = pixels.astype(np.float32)
        finite = values[np.isfinite(values)]
        low, middle, high = np.percentile(finite, (1, 50, 99)) if finite.size else (0.0, 0.0, 1.0)
        return float(middle), max(float(high - low) / 4, 1e-6)
    values = to_kelvin(pixels, units)
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0, KELVIN_A_UNIT


def thermal_input(
    pixels: np.ndarray, units: Units | str, levels: tuple[float, float] | None = None
) -> torch.Tensor:
    """Scale a thermal image as the networks read it, float32 ``(1, H, W)``.

    The median is about 0, and a unit is 12 K.

    Counts have no kelvin: there a unit is a quarter of the range between the 1st and the 99th percentile.
    Pixels that are no number count as the median.

    Args:
        pixels: ``(H, W)``.
        units: of them.
        levels: of :func:`thermal_levels`, where they are known already.

    Example:
        >>> thermal_input(np.array([[29000, 29000, 30200]], np.uint16), "centikelvin")
        tensor([[[0., 0., 1.]]])
    """
    middle, step = thermal_levels(pixels, units) if levels is None else levels
    values = pixels.astype(np.float32) if Units(units) is Units.COUNTS else to_kelvin(pixels, units)
    scaled = np.clip((values - np.float32(middle)) / np.float32(step), -4, 4)
    return torch.from_numpy(np.nan_to_num(scaled.astype(np.float32), nan=0.0))[None]


@dataclass(frozen=True)
class Crop:
    """A part of a frame at another scale, perhaps mirrored and turned by quarters.

    The crop is the same for all layers.

    Attributes:
        left, top: pixels of the frame.
        side: pixels of the frame, in both directions.
        size: pixels of the result, in both directions.
        turns: quarters counterclockwise.
        mirrored: left and right exchanged.
    """

    left: int
    top: int
    side: int
    size: int
    turns: int = 0
    mirrored: bool = False

    @classmethod
    def draw(
        cls,
        shape: Sequence[int],
        size: int,
        scales: tuple[float, float],
        generator: torch.Generator,
        around: tuple[float, float] | None = None,
        turns: bool = True,
    ) -> Crop:
        """Draw a random crop.

        Args:
            shape: of the frame, its last two axes.
            size: of the result.
            scales: least and most pixels of the result for one of the frame.
            generator: of the random numbers.
            around: (column, row) that lies in it; anywhere without.
            turns: whether it may be turned; what an oblique camera sees has an upper side.
        """
        height, width = shape[-2:]
        u = torch.rand(5, generator=generator).tolist()
        scale = scales[0] * (scales[1] / scales[0]) ** u[0]
        side = max(8, min(round(size / scale), height, width))
        left, top = u[1] * (width - side), u[2] * (height - side)
        if around is not None:
            left = min(max(around[0] - side * (0.25 + 0.5 * u[1]), 0), width - side)
            top = min(max(around[1] - side * (0.25 + 0.5 * u[2]), 0), height - side)
        return cls(int(left), int(top), side, size, int(u[3] * 4) if turns else 0, u[4] < 0.5)

    def __call__(self, layer: torch.Tensor) -> torch.Tensor:
        """``(..., H, W)`` to ``(..., size, size)``; integers by nearest neighbor, others bilinearly."""
        part = layer[..., self.top : self.top + self.side, self.left : self.left + self.side]
        part = torch.rot90(part, self.turns, (-2, -1))
        return resized(part.flip(-1) if self.mirrored else part, (self.size, self.size)).contiguous()


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """Return widths and heights ``(..., 2)`` of boxes ``(..., 4 or more)``: left, top, right, bottom.

    Example:
        >>> sides_of(np.array([[2, 3, 12, 8]])).tolist()
        [[10, 5]]
    """
    return boxes[..., 2:4] - boxes[..., :2]


def middle_of(box: np.ndarray) -> tuple[float, float]:
    """Column and row of the middle of a box: left, top, right, bottom.

    Example:
        >>> middle_of(np.array([2, 3, 12, 8]))
        (7.0, 5.5)
    """
    return float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2


def resized(layer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize ``(..., H, W)`` to ``(..., *size)``.

    Integers by nearest neighbor, others bilinearly (antialiased).
    """
    if tuple(layer.shape[-2:]) == tuple(size):
        return layer
    flat = layer.reshape(1, -1, *layer.shape[-2:])
    if layer.is_floating_point():
        flat = F.interpolate(flat, size, mode="bilinear", align_corners=False, antialias=True)
    else:
        flat = F.interpolate(flat.double(), size, mode="nearest-exact").to(layer.dtype)
    return flat.reshape(*layer.shape[:-2], *size)


def zoomed(layer: torch.Tensor, zoom: float) -> torch.Tensor:
    """Scale both sides of ``(..., H, W)`` by a factor; see :func:`resized`."""
    height, width = layer.shape[-2:]
    return resized(layer, (max(round(height * zoom), 1), max(round(width * zoom), 1)))


def means_by_object(kelvin: torch.Tensor, *layers: torch.Tensor) -> torch.Tensor:
    """Return each pixel's object's mean temperature.

    Objects are pixels of equal values in all integer layers.

    Args:
        kelvin: ``(1, H, W)``.
        layers: int64 ``(H, W)``.

    Example:
        >>> means_by_object(torch.tensor([[[280.0, 290.0, 300.0]]]), torch.tensor([[4, 4, 7]]))
        tensor([[[285., 285., 300.]]])
    """
    code = torch.zeros_like(layers[0])
    for layer in layers:
        code = code * (int(layer.max()) + 1) + layer
    _, index = torch.unique(code, return_inverse=True)
    index = index.reshape(-1)
    count = torch.bincount(index).clamp(min=1)
    total = torch.bincount(index, kelvin.reshape(-1).double())
    return (total / count)[index].reshape(kelvin.shape).to(kelvin.dtype)


def class_table(names: Mapping[str, int], groups: Mapping[str, int], other: int) -> np.ndarray:
    """Return a lookup table of 256 from class numbers to group numbers, uint8.

    Classes of no group become ``other``.

    Example:
        >>> class_table({"road": 1, "curb": 10}, {"road": 0}, 5)[[1, 10, 77]].tolist()
        [0, 5, 5]
    """
    table = np.full(256, other, np.uint8)
    for name, number in names.items():
        if 0 <= number < 256 and name in groups:
            table[number] = groups[name]
    return table
