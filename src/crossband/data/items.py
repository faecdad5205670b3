"""Images as training reads them: one item is a frame in a band."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..bands import BANDS, Band, Normalization, parse_band
from ..datasets import open_frames, scan
from ..datasets.check import usable_frames
from ..errors import CrossbandError, ImageFault
from ..frames import Frames
from ..io import RemarkLog
from .parts import Part, Splits, queries_of
from .preprocess import Preprocess, Statistics, measure_statistics
from .reader import FrameReader
from .transforms import Photometry, ViewShift

__all__ = ["FrameItems", "Items", "check_apart", "is_here", "make_preprocess", "part_frames", "usable_part"]


_PATHS = ("rgb", "nir", "tir", "labels", "boxes", "parts", "semantic", "instances", "depth", "temperature")
_NAMES = ("frame", "sequence", "day", "place", "identity")  # of two cities the same name is not the same thing


def part_frames(part: Part, root: Path) -> Frames:
    """Return the frames of a part of a recipe, simulating them where they are missing.

    Of several folders the names and paths are relative to ``root``.

    Raises:
        CrossbandError: no such frames, or none that match the filter.
    """
    if part.also:
        return _joined([part.model_copy(update={"also": []}), *part.also], root)
    path = root / part.frames
    if part.simulate is not None and not (path / "frames.parquet").is_file():
        from ..simulation import simulate

        s = part.simulate
        simulate(s.preset, s.frames, s.size, s.seed, path)
    if part.kind is not None:
        frames = scan(path, kind=part.kind)
    elif path.exists():
        frames = open_frames(path)
    else:
        raise CrossbandError(f"no frames at {path}; give the folder above {part.frames}", parameter="data_root")
    for conditions, wanted in ((part.where, True), (part.leave_out, False)):
        for column, values in conditions.items():
            if column not in frames.table:
                raise CrossbandError(f"{path} has no column {column!r}, which the recipe asks for")
            frames = frames.select(frames.table[column].isin(values).to_numpy(bool) == wanted)
    if not len(frames):
        raise CrossbandError(f"no frames of {path} match the recipe's filter {part.where}")
    frames = frames.every(part.every)
    return frames if part.rig is None else frames.with_rig(root / part.rig)


def usable_part(part: Part, root: Path) -> Frames:
    """Return the frames of a part, without images that cannot be read, which are said.

    A run that is to last for days does not stop at one, nor at its end.
    """
    return usable_frames(part_frames(part, root))


def _joined(parts: Iterable[Part], root: Path) -> Frames:
    tables = []
    for part in parts:
        frames = part_frames(part, root)
        folder = Path(os.path.relpath(frames.root, root))
        table = frames.table.copy()
        for column in (*_PATHS, *_NAMES):
            before = folder.as_posix() if column in _PATHS else part.frames
            if column in table:
                table[column] = [name if pd.isna(name) else f"{before}/{name}" for name in table[column]]
        tables.append(table)
    return Frames.make(pd.concat(tables, ignore_index=True), root)


def is_here(part: Part, root: Path) -> bool:
    """Return whether a part's frames are there.

    Nothing is simulated; a half-finished simulation does not count.
    """
    path = root / part.frames
    return (path / "frames.parquet").is_file() if part.simulate is not None else path.exists()


def make_preprocess(
    size: tuple[int, int],
    normalization: Mapping[str, str],
    expected: Statistics,
    measured_on: Frames | None = None,
) -> Preprocess:
    """Make the preprocessing of a recipe's images.

    Args:
        size: (height, width) in pixels.
        normalization: a normalization's name, a band; the others keep their defaults.
        expected: what the encoder's weights expect their input to be standardized by.
        measured_on: frames whose own statistics, in the bands that they have, take the place of ``expected``.
    """
    given = {parse_band(band): Normalization.parse(name) for band, name in normalization.items()}
    preprocess = Preprocess(size, dict.fromkeys(BANDS, expected), {**Preprocess().normalization, **given})
    if measured_on is None:
        return preprocess
    measured = measure_statistics(measured_on, preprocess)
    return replace(preprocess, statistics={**preprocess.statistics, **measured})


def check_apart(data: Splits, root: Path, bands: Iterable[str]) -> None:
    """Check that no query of val is a query of a test set that is here.

    Args:
        data: the recipe's.
        root: the folder that the recipe's frames are relative to.
        bands: the bands of a query.

    Raises:
        CrossbandError: one is; a checkpoint would be selected on test.
    """
    bands = list(bands)
    mine = _image_paths(part_frames(queries_of(data.val), root), bands)
    tests = [queries_of(test) for test in data.test.values()]
    for test in [part_frames(test, root) for test in tests if is_here(test, root)]:
        shared = mine & _image_paths(test, bands)
        if shared:
            raise CrossbandError(
                f"checkpoints are selected on val, never on test; {min(shared).name} is a query of both"
            )


def _image_paths(frames: Frames, bands: Iterable[str]) -> set[Path]:
    known = [parse_band(band) for band in bands if parse_band(band) in frames.bands]
    return {path.resolve() for band in known for path in frames.paths(band) if path is not None}


class Items:
    """The images of some frames in some bands.

    Args:
        frames: the frames.
        bands: the bands; a frame that lacks one has no item of it.
        preprocess: how an image becomes a tensor.
        cache_mb: memory for decoded images; beyond it they are read again.

    Attributes:
        rows: int64 ``(n,)``, each item's frame.
        bands: the band of each item.

    Raises:
        CrossbandError: no frames have any of the bands.
    """

    def __init__(self, frames: Frames, bands: Iterable[str], preprocess: Preprocess, cache_mb: int = 0) -> None:
        self.frames, self.preprocess = frames, preprocess
        found: list[tuple[int, Band]] = []
        for band in (parse_band(name) for name in dict.fromkeys(bands)):
            found += [(row, band) for row, path in enumerate(frames.paths(band)) if path is not None]
        self.rows = np.array([row for row, _ in found], np.int64)
        self.bands = [band for _, band in found]
        self._reader = FrameReader(frames, cache_mb, preprocess)

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, item: int) -> str:
        """Return frame and band of an item."""
        return f"{self.frames.names[self.rows[item]]} ({self.bands[item].value})"

    def of_bands(self, bands: Iterable[str]) -> np.ndarray:
        """Return the items of some bands, int64."""
        wanted = {parse_band(band) for band in bands}
        return np.array([i for i, band in enumerate(self.bands) if band in wanted], np.int64)

    @property
    def remarks(self) -> RemarkLog:
        """Return what is to be known of the images read so far."""
        return self._reader.remarks

    def near_frames(self, items: np.ndarray) -> Frames:
        """Return the frames of some items, one row per item; names may repeat."""
        return Frames(self.frames.table.iloc[self.rows[items]].reset_index(drop=True), self.frames.root)

    def unit(self, item: int) -> torch.Tensor:
        """Return the image in [0, 1], float32 ``(1 or 3, H, W)``.

        Raises:
            ImageFault: it cannot be read.
        """
        return self._reader.unit(int(self.rows[item]), self.bands[item])

    def standardized(self, pixels: torch.Tensor, band: Band) -> torch.Tensor:
        """Return what a network reads, float32 ``(3, H, W)``, of an image in [0, 1]."""
        statistics = self.preprocess.statistics[band]
        mean, std = torch.tensor(statistics.mean)[:, None, None], torch.tensor(statistics.std)[:, None, None]
        return (pixels - mean) / std

    def tensor(self, item: int) -> torch.Tensor:
        """Return the item as a network reads it."""
        return self.standardized(self.unit(item), self.bands[item])

    def augmented(
        self, item: int, view: ViewShift, light: Photometry, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the item, augmented, as a network reads it."""
        band = self.bands[item]
        return self.standardized(light(view(self.unit(item), generator), band, generator), band)

    def batch(self, items: np.ndarray, readers: int = 2) -> torch.Tensor:
        """Return several items, read by threads, float32 ``(n, 3, H, W)``."""
        with ThreadPoolExecutor(readers) as pool:
            return torch.stack(list(pool.map(self.tensor, items.tolist())))


class FrameItems:
    """The images of some frames, all bands of a frame together; an item is a frame.

    A band that a frame lacks, or whose image cannot be read, is absent: its pixels are zeros and nothing that
    is computed from them counts.

    Args:
        frames: the frames.
        bands: the bands, in the order of the tensors.
        preprocess: how an image becomes a tensor.
        cache_mb: memory for decoded images; beyond it they are read again.

    Attributes:
        listed: which frame names an image of which band, boolean ``(n, m)``.
        faults: what could not be read so far, (frame, band) -> why; what another process read is not here.

    Raises:
        CrossbandError: no frames have any of the bands.
    """

    def __init__(self, frames: Frames, bands: Iterable[str], preprocess: Preprocess, cache_mb: int = 0) -> None:
        self.frames, self.preprocess = frames, preprocess
        self.bands = [parse_band(band) for band in bands]
        known = [band.value for band in self.bands if band in frames.bands]
        if not known:
            wanted, have = (", ".join(b.value for b in part) for part in (self.bands, frames.bands))
            raise CrossbandError(f"no frames have any of the bands {wanted}; these frames have {have}")
        self._images = Items(frames, known, preprocess, cache_mb)
        self._item = np.full((len(frames), len(self.bands)), -1)
        columns = [self.bands.index(band) for band in self._images.bands]
        self._item[self._images.rows, columns] = np.arange(len(self._images))
        self.listed = self._item >= 0
        self.faults: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def remarks(self) -> RemarkLog:
        """Return what is to be known of the images read so far."""
        return self._images.remarks

    def units(self, row: int) -> list[torch.Tensor | None]:
        """Return the images of a frame in [0, 1], each float32 ``(1 or 3, H, W)``, ``None`` where absent."""
        return [self._unit(row, column) for column in range(len(self.bands))]

    def tensor(
        self,
        row: int,
        geometry: Sequence[Geometry] = (),
        light: Photometry | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a frame as a network of streams reads it, and which bands are there.

        The images are float32 ``(m, 3, H, W)``, the flags boolean ``(m,)``.

        Args:
            row: the frame.
            geometry: what moves pixels, each once for all bands of the frame.
            light: what changes their values, drawn anew for each band.
            generator: of the random numbers of both.
        """
        units = self.units(row)
        present = torch.tensor([unit is not None for unit in units])
        stack = torch.zeros(len(units), 3, *self.preprocess.size)
        there = [unit for unit in units if unit is not None]
        if there and geometry and generator is not None:
            widths = [len(unit) for unit in there]
            moved = torch.cat(there)
            for transform in geometry:
                moved = transform(moved, generator)
            there = list(moved.split(widths))
        left = iter(there)
        for column, band in enumerate(self.bands):
            if present[column]:
                unit = next(left)
                if light is not None and generator is not None:
                    unit = light(unit, band, generator)
                stack[column] = self._images.standardized(unit, band)
        return stack, present

    def batch(self, rows: np.ndarray, readers: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        """Return several frames, read by threads: ``(n, m, 3, H, W)`` and ``(n, m)``."""
        with ThreadPoolExecutor(readers) as pool:
            found = list(pool.map(self.tensor, rows.tolist()))
        return torch.stack([images for images, _ in found]), torch.stack([present for _, present in found])

    def _unit(self, row: int, column: int) -> torch.Tensor | None:
        item = int(self._item[row, column])
        if item < 0:
            return None
        try:
            return self._images.unit(item)
        except ImageFault as fault:
            key = (self.frames.names[row], self.bands[column].value)
            self.faults.setdefault(key, str(fault))
            return None


Geometry = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
