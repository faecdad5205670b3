"""What an object looks like, as a vector that is alike in a color photograph and in a thermal frame: by the
packaged network of the task ``objects``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ..checkpoints import read_metadata
from ..data.scenes import resized, thermal_input
from ..devices import choose_device
from ..errors import MissingWeightsError
from ..models.packaged import packaged_path
from ..weights import file_digest

if TYPE_CHECKING:
    from .tasks.objects import ObjectModel, ObjectNetwork

__all__ = [
    "ObjectDescriptor",
    "View",
    "crop_around",
    "crop_window",
    "load_object_descriptor",
    "read_object_network",
    "thermal_crops",
]

MARGIN = 0.15
"""Of a box's longer side, that a crop shows more on each side."""

_BATCH = 32


class View(StrEnum):
    """How much a crop shows of what is around its object: next to nothing, its surroundings, or its place."""

    BARE = "bare"
    AROUND = "around"
    PLACE = "place"


class _Network(Protocol):
    """Crops ``(N, 3, s, s)`` in [0, 1] to vectors ``(N, d)``."""

    def __call__(self, crops: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class ObjectDescriptor:
    """A network from crops to vectors.

    Attributes:
        network: crops in [0, 1] to vectors; both bands go through it.
        size: side of a crop, pixels.
        margin: of a box's longer side, that a crop shows more on each side.
        digest: of its weights.
        device: where it runs.
    """

    network: _Network
    size: int
    margin: float
    digest: str
    device: str

    def shown(self, view: View) -> float:
        """Return how much of a box's longer side a crop shows more on each side."""
        return {View.BARE: MARGIN, View.AROUND: self.margin, View.PLACE: 2 * self.margin}[view]

    def __call__(self, crops: torch.Tensor) -> np.ndarray:
        """Return unit vectors, float32 ``(n, d)``, of crops ``(n, 3, size, size)``."""
        with torch.inference_mode():
            parts = [self.network(part.to(self.device)).cpu().numpy() for part in crops.split(_BATCH)]
        found = np.concatenate(parts).astype(np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def load_object_descriptor(device: str = "cpu") -> ObjectDescriptor:
    """Load the packaged descriptor of objects."""
    where, path = choose_device(device), packaged_path("objects")
    if path is None:
        raise MissingWeightsError("no network for objects comes with this package; install it again")
    network, model = read_object_network(path, where)
    return ObjectDescriptor(network, model.size, model.margin, file_digest(path), where)


def read_object_network(path: Path, device: str = "cpu") -> tuple[ObjectNetwork, ObjectModel]:
    """Read a checkpoint of the task ``objects``: its network, in evaluation, and how it is built."""
    from .networks import load_checkpoint
    from .tasks.objects import ObjectModel, build_object_network

    def build(metadata: dict[str, Any]) -> ObjectNetwork:
        return build_object_network(ObjectModel(**metadata["recipe"]["model"]), pretrained=False)

    network, _ = load_checkpoint(Path(path), "objects", build, device)
    return network, ObjectModel(**read_metadata(path)["recipe"]["model"])


def crop_around(image: torch.Tensor, box: Sequence[float], size: int, margin: float = MARGIN) -> torch.Tensor:
    """Crop the square around a box, ``(C, size, size)`` of an image ``(C, H, W)``.

    What lies beyond the image is as bright as the rest is on average.

    Example:
        >>> crop_around(torch.zeros(3, 40, 60), (10, 10, 30, 20), 16).shape
        torch.Size([3, 16, 16])
    """
    left, top, right, bottom = crop_window(image.shape, box, margin)
    low, high = max(top, 0), min(bottom, image.shape[-2])
    near, far = max(left, 0), min(right, image.shape[-1])
    part = image[:, low:high, near:far]
    if part.shape[-2:] == (bottom - top, right - left):
        return resized(part, (size, size))
    found = part.mean((1, 2))[:, None, None].repeat(1, size, size)
    rows, columns = (
        _place(low - top, high - top, bottom - top, size),
        _place(near - left, far - left, right - left, size),
    )
    found[:, rows, columns] = resized(part, (rows.stop - rows.start, columns.stop - columns.start))
    return found


def _place(first: int, last: int, whole: int, size: int) -> slice:
    """Where pixels ``first`` to ``last`` of ``whole`` come to lie among ``size``; at least one."""
    start = min(round(first * size / whole), size - 1)
    return slice(start, max(round(last * size / whole), start + 1))


def crop_window(
    shape: Sequence[int], box: Sequence[float], margin: float = MARGIN
) -> tuple[int, int, int, int]:
    """Return what :func:`crop_around` shows: left, top, right, bottom; some may lie beyond the image.

    They are whole pixels, and at least two a side are inside of it.

    Args:
        shape: of the image, its last two axes.
        box: left, top, right, bottom.
        margin: of the box's longer side, more on each side.

    Example:
        >>> crop_window((40, 60), (10, 10, 30, 20), 0.5)
        (0, -5, 41, 36)
    """
    height, width = shape[-2:]
    x0, y0, x1, y1 = (float(v) for v in box[:4])
    side = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    low_x, low_y = min(math.floor(left), width - 2), min(math.floor(top), height - 2)
    high_x, high_y = math.floor(left + side) + 1, math.floor(top + side) + 1
    return low_x, low_y, max(high_x, low_x + 2, 2), max(high_y, low_y + 2, 2)


def thermal_crops(
    pixels: np.ndarray, units: str, boxes: np.ndarray, size: int, margin: float = MARGIN
) -> torch.Tensor:
    """Crop objects out of a thermal image ``(H, W)``: ``(n, 3, size, size)``, its median at 0.5."""
    image = thermal_scaled(thermal_input(pixels, units))
    if not len(boxes):
        return torch.zeros(0, 3, size, size)
    return torch.stack([crop_around(image, box, size, margin) for box in boxes])


def thermal_scaled(scaled: torch.Tensor) -> torch.Tensor:
    """Return what a descriptor reads, ``(3, H, W)`` in [0, 1], of :func:`..data.scenes.thermal_input`."""
    return (scaled / 8 + 0.5).clamp(0, 1).expand(3, -1, -1)
