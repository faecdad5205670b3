"""The one reader of frames' images for networks, and its one cache: bounded, and safe among threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from ..bands import BANDS, Band
from ..errors import CrossbandError, ImageFault
from ..frames import Frames
from ..io import Image, RemarkLog, image_size, read_image, read_labels
from .preprocess import Placement, Preprocess, label_places, place_labels

__all__ = ["FrameReader"]

Value = TypeVar("Value", np.ndarray, torch.Tensor)


class FrameReader:
    """Reads the images and label maps of some frames.

    What has been read is kept while there is memory for it.

    Nothing that is kept makes room for another: where every epoch reads all frames in a new order, no other
    rule has more hits. What is given back is shared and must not be written to.

    Args:
        frames: whose files are read.
        cache_mb: memory for what has been read; beyond it files are read again.
        preprocess: how :meth:`unit` makes a tensor of an image.

    Attributes:
        remarks: what is to be known of the images read so far.

    Example:
        >>> import tempfile
        >>> import PIL.Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     PIL.Image.new("RGB", (64, 48)).save(f"{folder}/a.png")
        ...     reader = FrameReader(Frames.make([{"frame": "a", "rgb": "a.png"}], folder), cache_mb=1)
        ...     reader.pixels(0, "rgb").shape, reader.pixels(0, "rgb") is reader.pixels(0, "rgb")
        ((48, 64, 3), True)
    """

    def __init__(self, frames: Frames, cache_mb: int = 0, preprocess: Preprocess | None = None) -> None:
        self.frames, self.preprocess = frames, preprocess or Preprocess()
        self._units, self._rigs = frames.units(), frames.rigs()
        self._places, self._label_places = Placement.of_frames(frames), label_places(frames)
        self.remarks = RemarkLog()
        self._kept = _Kept(cache_mb << 20)

    def path(self, row: int, column: str) -> Path:
        """Return the file of a frame in a column; the frame has one."""
        return self.frames.root / self.frames.table[column].iloc[row]

    def image(self, row: int, column: str) -> Image:
        """Read an image as the file holds it, with its units; not kept.

        An image of the second band of a rig is shown as the first camera would have seen it; then it is turned
        and cut, where the manifest says so.

        Args:
            row: the frame.
            column: a band, or a column of layers, which are read as color is.

        Raises:
            ImageFault: it cannot be read.
        """
        band = Band(column) if column in BANDS else Band.RGB
        image, rig = read_image(self.path(row, column), band, self._units[row]), self._rigs[row]
        self.remarks.add(self.path(row, column), image.remarks)
        warped, place = rig is not None and column == rig.second, self._places[row].get(band)
        if column not in BANDS or (not warped and place is None):
            return image
        try:
            pixels = rig(image.pixels) if rig is not None and warped else image.pixels
            return replace(image, pixels=pixels if place is None else place(pixels))
        except CrossbandError as error:
            raise ImageFault(self.path(row, column), str(error), parameter=error.parameter) from None

    def pixels(self, row: int, column: str) -> np.ndarray:
        """Read the pixels of a column as the file holds them.

        Raises:
            ImageFault: they cannot be read.
        """
        return self._kept.get((row, column, "pixels"), lambda: self.image(row, column).pixels)

    def unit(self, row: int, band: Band) -> torch.Tensor:
        """Read an image in [0, 1], float32 ``(1 or 3, H, W)``, of the size that networks read.

        Raises:
            ImageFault: it cannot be read.
        """
        key = (row, band.value, "unit")
        return self._kept.get(key, lambda: self.preprocess.unit(self.image(row, band.value), band))

    def labels(self, row: int) -> np.ndarray:
        """Read a label map, integers ``(H, W)``: turned and cut as the band it was drawn on is.

        Raises:
            ImageFault: it cannot be read, or nothing tells how it lies.
        """
        return self._kept.get((row, "labels", "labels"), lambda: self._labels(row))

    def _labels(self, row: int) -> np.ndarray:
        labels, said = read_labels(self.path(row, "labels")), self._label_places[row]
        places = self._places[row]
        bands = [band for band in self.frames.bands if not pd.isna(self.frames.table[band.value].iloc[row])]
        sizes = {band: image_size(self.path(row, band.value)) for band in bands} if places else {}
        try:
            return place_labels(labels, said, places, sizes)
        except CrossbandError as error:
            raise ImageFault(self.path(row, "labels"), str(error), parameter=error.parameter) from None


class _Kept:
    """Values by key, up to a number of bytes. A copy in another process starts empty."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._values: dict[object, np.ndarray | torch.Tensor] = {}
        self._lock = threading.Lock()

    def get(self, key: object, make: Callable[[], Value]) -> Value:
        found = self._values.get(key)
        if found is not None:
            return found  # type: ignore[return-value]  # a key is of one kind
        made = make()
        with self._lock:
            if key not in self._values and made.nbytes <= self._left:
                self._left -= made.nbytes
                self._values[key] = made
        return made

    def __reduce__(self) -> tuple[type[_Kept], tuple[int]]:
        return _Kept, (self._most,)
