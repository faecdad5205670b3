"""Which parts of an image make it near to another: saliency-based similarity maps."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ..bands import Band
from ..errors import CrossbandError
from ._occlusion.local import LocalPasses
from .descriptor.descriptor import Descriptor, Finish
from .embed import threads_per_pass

__all__ = ["DEFAULT_MASKS", "Masks", "SimilarityMap", "similarity_map"]


@dataclass(frozen=True)
class Masks:
    """Square windows that slide over an image, each filled with the image's mean color.

    Attributes:
        window: side in pixels.
        stride: pixels from one window to the next; the last one ends with the image.
    """

    window: int = 40
    stride: int = 16

    def corners(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the top left corners, (row, column), over an image of ``size`` (height, width).

        Raises:
            CrossbandError: a window that does not fit, or no step.

        Example:
            >>> Masks(4, 3).corners((4, 10))
            [(0, 0), (0, 3), (0, 6)]
        """
        if not 0 < self.window <= min(size) or self.stride < 1:
            raise CrossbandError(
                f"masks of {self.window} pixels every {self.stride} do not fit an image of {size[1]}x{size[0]};"
                " choose a window no larger than the image and a stride of 1 or more"
            )
        rows, columns = (
            sorted({*range(0, side - self.window + 1, self.stride), side - self.window}) for side in size
        )
        return [(y, x) for y in rows for x in columns]

    def apply(self, image: torch.Tensor, corner: tuple[int, int]) -> torch.Tensor:
        """Return a copy of ``image`` ``(3, H, W)`` with one window filled."""
        y, x = corner
        masked = image.clone()
        masked[:, y : y + self.window, x : x + self.window] = image.mean((1, 2), keepdim=True)
        return masked


DEFAULT_MASKS = Masks()


@dataclass(frozen=True)
class SimilarityMap:
    """How much nearer each part of an image brings it to a reference.

    Attributes:
        values: float32 ``(H, W)``, not negative: the mean increase of the distance over the masks that cover a
            pixel.
        distance: between the whole image and the reference.
    """

    values: np.ndarray
    distance: float

    def peak(self) -> tuple[int, int]:
        """Return the (row, column) of the largest value."""
        row, column = np.unravel_index(int(self.values.argmax()), self.values.shape)
        return int(row), int(column)


def similarity_map(
    descriptor: Descriptor,
    image: torch.Tensor,
    band: Band,
    reference: np.ndarray,
    finish: Finish,
    masks: Masks = DEFAULT_MASKS,
    *,
    batch: int = 8,
    workers: int | None = None,
) -> SimilarityMap:
    """Compute the saliency-based similarity map of an image to a reference.

    Dong, Collins and Hoogs, "Explainability for Content-Based Image Retrieval", CVPR Workshops 2019; figure 6
    of Pendota and Channappayya. A part whose masking moves the image away from the reference has brought it
    near: with ``d_i`` the distance under mask i and ``d`` without, the value of a pixel is the mean of
    ``max(d_i - d, 0)`` over the masks that cover it.

    Args:
        descriptor: what makes the vectors.
        image: as ``descriptor.preprocess`` gives it, float32 ``(3, H, W)``.
        band: the image's.
        reference: the finished vector ``(k,)`` of the other image.
        finish: what finishes the image's vectors, with the means of the sets at hand.
        masks: what is hidden.
        batch: masked images per pass; 1 with ``workers=1`` is one mask at a time, only slower.
        workers: passes at once on a CPU; one per core by default.

    Raises:
        CrossbandError: masks that do not fit.

    Example:
        >>> descriptor = Descriptor.load("hog:flat")
        >>> image = torch.zeros(3, 64, 64); image[:, 20:30, 40:50] = 1
        >>> reference = descriptor.pooled(image[None]).numpy()[0]
        >>> found = similarity_map(descriptor, image, Band.RGB, reference, Finish(), Masks(16, 8))
        >>> 16 <= found.peak()[0] < 32 and 36 <= found.peak()[1] < 56
        True
    """
    size = (int(image.shape[-2]), int(image.shape[-1]))
    corners = masks.corners(size)
    whole = finish(descriptor.pooled(image[None]).numpy(), band)[0]
    distance = float(np.linalg.norm(whole - reference))
    distances = _masked_distances(descriptor, image, band, reference, finish, masks, corners, batch, workers)
    total, count = np.zeros(size), np.zeros(size)
    for (y, x), found in zip(corners, np.maximum(distances - distance, 0), strict=True):
        total[y : y + masks.window, x : x + masks.window] += found
        count[y : y + masks.window, x : x + masks.window] += 1
    return SimilarityMap((total / np.maximum(count, 1)).astype(np.float32), distance)


def _masked_distances(
    descriptor: Descriptor,
    image: torch.Tensor,
    band: Band,
    reference: np.ndarray,
    finish: Finish,
    masks: Masks,
    corners: list[tuple[int, int]],
    batch: int,
    workers: int | None,
) -> np.ndarray:
    """The distance under each mask, in order."""
    lanes = (workers or os.cpu_count() or 1) if descriptor.device == "cpu" else 1
    image = image.to(descriptor.device)
    window = (masks.window, masks.window)
    filled = image.mean((1, 2)).reshape(1, -1, 1, 1)
    distances = np.empty(len(corners))
    with (
        threads_per_pass(1 if lanes > 1 else None),
        LocalPasses(descriptor.encoder, descriptor.layer, image, window, corners) as passes,
        ThreadPoolExecutor(lanes) as pool,
    ):

        def measure(group: list[int]) -> None:
            with torch.inference_mode():
                maps = passes(filled, [corners[position] for position in group])
                vectors = descriptor.pooling(maps).cpu().numpy()
            distances[group] = np.linalg.norm(finish(vectors, band) - reference, axis=1)

        list(pool.map(measure, passes.batches(corners, batch)))
    return distances
