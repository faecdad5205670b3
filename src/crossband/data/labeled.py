"""Labeled frames as segmentation reads them: all bands of a frame as one tensor, and its label map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..frames import Frames
from ..progress import note, track
from .preprocess import Preprocess
from .reader import FrameReader

__all__ = ["LabeledFrames"]


class LabeledFrames:
    """The frames that have all of some bands, and labels.

    Args:
        frames: the frames; those that lack a band or labels are left out, which is said.
        bands: what a tensor holds, in this order.
        preprocess: how each band is read.
        classes: the names of the classes.
        cache_mb: memory for decoded images; beyond it they are read again.

    Raises:
        CrossbandError: no frame has all of it.
    """

    def __init__(
        self,
        frames: Frames,
        bands: Iterable[str],
        preprocess: Preprocess,
        classes: Sequence[str],
        cache_mb: int = 0,
    ) -> None:
        self.bands = tuple(parse_band(band) for band in bands)
        wanted = [*(band.value for band in self.bands), "labels"]
        lacking = [column for column in wanted if not frames.has(column)]
        if lacking:
            raise CrossbandError(
                f"the frames of {frames.root} have no {', '.join(lacking)}; scan the folder again"
            )
        whole = frames.table[wanted].notna().all(axis=1).to_numpy(bool)
        if not whole.any():
            raise CrossbandError(f"no frames of {frames.root} have all of {', '.join(wanted)}")
        if not whole.all():
            note(f"{int((~whole).sum())} of {len(frames)} frames lack one of {', '.join(wanted)}")
        self.frames, self.preprocess, self.classes = frames.select(whole), preprocess, list(classes)
        self._reader = FrameReader(self.frames, cache_mb, preprocess)

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, row: int) -> tuple[torch.Tensor, np.ndarray]:
        """Return a frame's bands in [0, 1], float32 ``(C, H, W)``, and its labels ``(h, w)`` as stored.

        Raises:
            ImageFault: an image or the labels cannot be read.
        """
        parts = []
        for band in self.bands:
            pixels = self._reader.unit(row, band)
            parts.append(pixels.expand(3, -1, -1) if band is Band.RGB else pixels[:1])
        return torch.cat(parts), self._reader.labels(row)

    def sized_labels(self, labels: np.ndarray) -> torch.Tensor:
        """Return labels at the size of the images, by nearest neighbor, int64 ``(H, W)``."""
        wide = torch.from_numpy(labels.astype(np.int64))
        if tuple(labels.shape) == tuple(self.preprocess.size):
            return wide
        return F.interpolate(wide[None, None].double(), self.preprocess.size, mode="nearest-exact")[0, 0].long()

    def standardized(self, images: torch.Tensor) -> torch.Tensor:
        """Return what a network reads, of bands in [0, 1], ``(..., C, H, W)``."""
        return self.preprocess.standardized(images, self.bands)

    def class_counts(self) -> np.ndarray:
        """Return pixels of each class in each frame, int64 ``(n, classes)``.

        Raises:
            CrossbandError: a label beyond the last class that is not 255.
        """
        counts = np.zeros((len(self), 256), np.int64)
        for row in track(range(len(self)), len(self), "counting classes"):
            labels = self._reader.labels(row).reshape(-1)
            found = np.bincount(labels[labels < 256], minlength=256)
            beyond = labels[(labels >= len(self.classes)) & (labels != 255)]
            if beyond.size:
                path = self._reader.path(row, "labels")
                raise CrossbandError(
                    f"{path} has the label {int(beyond.max())} but the class list ends at "
                    f"{len(self.classes) - 1}; fix data.classes"
                )
            counts[row] = found
        return counts[:, : len(self.classes)]
