"""One pass over all bands: decode, resize and forward overlap; what is stored is never computed again."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ..bands import Band, parse_band
from ..data.preprocess import Preprocess
from ..errors import CrossbandError, ImageFault
from ..frames import Frames
from ..io.images import decode_image, read_bytes
from ..io.remarks import Remark, RemarkLog
from ..progress import Progress
from .descriptor.descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    Descriptor,
    Finish,
    FinishedRows,
    Options,
    unit_length,
)
from .descriptor_cache import DescriptorStore, Rows, StoredRows

if TYPE_CHECKING:
    from .rerank import SecondLook

__all__ = ["BandEmbedding", "Embedding", "embed"]


@dataclass(frozen=True)
class BandEmbedding:
    """The pooled vectors of one band.

    Attributes:
        band: the band.
        positions: int64 ``(n,)``: the row of each vector's frame in the Frames that were embedded.
        pooled: ``(n, d)``, not yet finished.
        digests: the content hash of each image.
    """

    band: Band
    positions: np.ndarray
    pooled: StoredRows
    digests: list[str]

    def mean(self) -> np.ndarray:
        """Compute the mean of the unit-length vectors, float32 ``(d,)``, in bounded memory."""
        return mean_vector(self.pooled)


@dataclass(frozen=True)
class Embedding:
    """What :func:`embed` gives.

    Attributes:
        descriptor: what made it.
        frames: the frames that were embedded.
        bands: the vectors of each band.
        faults: the images that were left out, each with its reason.
        computed: images that went through the encoder now; the others were in the store.
        seconds: how long that took.
        local: the same images' local features, flattened, where a re-ranker asked for them.
    """

    descriptor: Descriptor
    frames: Frames
    bands: dict[Band, BandEmbedding]
    faults: list[ImageFault]
    computed: int
    seconds: float
    local: Embedding | None = None

    @property
    def images_per_s(self) -> float | None:
        """The rate of the pass, or ``None`` when everything was stored already."""
        return self.computed / self.seconds if self.computed else None

    def means(self) -> dict[Band, np.ndarray]:
        """Return the mean of each band of these frames."""
        return {band: part.mean() for band, part in self.bands.items()}

    def rows(self, band: Band | str, finish: Finish | None = None) -> FinishedRows:
        """Return the final vectors of a band; by default centered by the mean of these frames."""
        part = self.bands[parse_band(band)]
        if finish is None:
            finish = self.descriptor.finish(self.means() if self.descriptor.center else None)
        return FinishedRows(part.pooled, finish, part.band)


@dataclass(frozen=True, slots=True)  # there are millions of them
class _Job:
    position: int
    band: Band
    path: str  # below the frames' root
    units: str | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One image, read: its key, and its tensor unless the store has its vector already."""

    job: _Job
    digest: str = ""
    key: str = ""
    tensor: torch.Tensor | None = None
    fault: ImageFault | None = None
    remarks: tuple[Remark, ...] = ()


def embed(
    frames: Frames,
    descriptor: str | Descriptor = DEFAULT_DESCRIPTOR,
    bands: Iterable[Band | str] | None = None,
    *,
    store: str | Path | None = None,
    workers: int | None = None,
    required: Container[Band] | bool = True,
    look: SecondLook | None = None,
    local_store: str | Path | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> Embedding:
    """Describe every image of some bands, once.

    Images that cannot be used are left out and listed; the run goes on. Killed and started again, it
    continues where the store ends.

    Args:
        frames: what to embed.
        descriptor: how; a name is loaded with ``options``.
        bands: which bands; all of the frames' by default.
        store: the folder of the descriptor store, in the user's cache where ``None``; it may serve any number
            of descriptors and sets.
        workers: threads that read, and on a CPU as many that run the encoder; one for each core by default.
        required: whether a band without one usable image is an error, or the bands of which it is one;
            otherwise such a band is left out.
        look: what will re-rank; its local features are made of the same reading of each image and kept in the
            same folder.
        local_store: another folder for them.
        options: how images are read and where weights lie.

    Raises:
        CrossbandError: no frames have the band, or none of a band's images can be used.
    """
    wanted = [parse_band(band) for band in bands] if bands is not None else list(frames.bands)
    jobs = list(_jobs(frames, wanted))
    descriptor = Descriptor.of(descriptor, options).for_frames(frames)
    look = look.for_frames(frames) if look is not None else None
    stored = [DescriptorStore(store, descriptor.fingerprint)]
    if look is not None:
        stored.append(look.store(local_store or store))
    lanes = _Lanes.for_device(descriptor.device, workers)
    done: list[_Prepared] = []
    computed = 0
    start = time.perf_counter()
    try:
        with Progress(len(jobs), f"embedding with {descriptor.name}") as progress:
            for group, vectors in _described(jobs, frames.root, descriptor, stored, lanes, look):
                fresh = [item.key for item in group if item.tensor is not None]
                for kept, rows in zip(stored, vectors, strict=True):
                    for key, row in zip(fresh, rows, strict=True):
                        if key not in kept:  # the same file may stand under two names
                            kept.add(key, row)
                computed += len(fresh)
                done += [replace(item, tensor=None) for item in group]
                progress.advance(len(group))
    finally:
        for kept in stored:
            kept.flush()  # stopped by hand or by an error, what was computed is kept
    seconds = time.perf_counter() - start
    _say_remarks(frames.root, done)
    faults = [item.fault for item in done if item.fault is not None]
    parts: list[dict[Band, BandEmbedding]] = [{} for _ in stored]
    for band in wanted:
        good = [item for item in done if item.job.band is band and item.fault is None]
        if good:
            for part, kept in zip(parts, stored, strict=True):
                part[band] = _part(band, good, kept)
        elif required if isinstance(required, bool) else band in required:
            first = next(item.fault for item in done if item.job.band is band)
            raise CrossbandError(
                f"no {band.value} image can be used: {first}", parameter=first.parameter if first else ""
            )
    local = None
    if look is not None:
        local = Embedding(look.descriptor, frames, parts[1], faults, computed, seconds)
    return Embedding(descriptor, frames, parts[0], faults, computed, seconds, local)


def _say_remarks(root: Path, done: list[_Prepared]) -> None:
    """What is to be known of the images that were read now, a line a kind."""
    log = RemarkLog()
    for item in done:
        log.add(root / item.job.path, item.remarks)
    log.say()


@dataclass(frozen=True)
class _Lanes:
    """How the work is spread.

    Attributes:
        readers: threads that read and preprocess.
        forwards: threads that run the encoder.
        batch: images per forward pass.
    """

    readers: int
    forwards: int
    batch: int

    @classmethod
    def for_device(cls, device: str, workers: int | None) -> _Lanes:
        """One pass at a time with large batches on an accelerator. On a CPU, one pass per core with two images
        each: their maps stay in the cache, and no core waits for another (docs/decisions.md)."""
        cores = workers or os.cpu_count() or 1
        return cls(cores, cores, 2) if device == "cpu" else cls(cores, 1, 64)


def _described(
    jobs: list[_Job],
    root: Path,
    descriptor: Descriptor,
    stored: list[DescriptorStore],
    lanes: _Lanes,
    look: SecondLook | None,
) -> Iterator[tuple[list[_Prepared], list[np.ndarray]]]:
    """Groups of images in order, each with the vectors of those that were not stored, for each store; reading
    runs ahead of the encoder, and nothing runs more than a few batches ahead of what is taken."""

    def forward(group: list[_Prepared]) -> list[np.ndarray]:
        fresh = [item.tensor for item in group if item.tensor is not None]
        if not fresh:
            return [np.empty((0, 0), np.float32) for _ in stored]
        images = torch.stack(fresh)
        found = [descriptor.pooled(images)] if look is None else look.pooled(descriptor, images)
        return [vectors.numpy() for vectors in found]

    with threads_per_pass(1 if lanes.forwards > 1 else None), ThreadPoolExecutor(lanes.forwards) as pool:
        waiting: deque[tuple[list[_Prepared], Future[list[np.ndarray]]]] = deque()
        for group in _groups(_prepare(jobs, root, descriptor.preprocess, stored, lanes), lanes.batch):
            waiting.append((group, pool.submit(forward, group)))
            if len(waiting) > 2 * lanes.forwards:
                ready, vectors = waiting.popleft()
                yield ready, vectors.result()
        for ready, vectors in waiting:
            yield ready, vectors.result()


@contextmanager
def threads_per_pass(n: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def mean_vector(rows: Rows, height: int = 256) -> np.ndarray:
    """Compute the mean of rows scaled to unit length, float32 ``(d,)``."""
    n, d = rows.shape
    total = np.zeros(d)
    for start in range(0, n, height):
        total += unit_length(rows.rows(start, min(start + height, n))).sum(0, dtype=np.float64)
    return (total / max(n, 1)).astype(np.float32)


def _jobs(frames: Frames, bands: list[Band]) -> Iterator[_Job]:
    units = frames.units()
    for band in bands:
        frames.paths(band)  # refused where there is no such band
        for position, path in enumerate(frames.table[band.value]):
            if not pd.isna(path):
                yield _Job(position, band, path, units[position])


def _prepare(
    jobs: list[_Job], root: Path, preprocess: Preprocess, stored: list[DescriptorStore], lanes: _Lanes
) -> Iterator[_Prepared]:
    """Read and preprocess ahead of the encoder, in order."""
    with ThreadPoolExecutor(lanes.readers) as pool:
        waiting: deque[Future[_Prepared]] = deque()
        for job in jobs:
            waiting.append(pool.submit(_read, job, root / job.path, preprocess, stored))
            if len(waiting) > 2 * lanes.batch * lanes.forwards:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(job: _Job, path: Path, preprocess: Preprocess, stored: list[DescriptorStore]) -> _Prepared:
    try:
        data = read_bytes(path)
        digest = content_digest(data, job.units)
        key = f"{digest}-{job.band.value}"
        if all(key in kept for kept in stored):
            return _Prepared(job, digest, key)
        image = decode_image(data, path, job.band, job.units)
        return _Prepared(job, digest, key, preprocess(image, job.band), remarks=image.remarks)
    except ImageFault as fault:
        return _Prepared(job, fault=fault)
    except CrossbandError as error:
        return _Prepared(job, fault=ImageFault(path, str(error), parameter=error.parameter))


def content_digest(data: bytes, units: str | None) -> str:
    """Return the digest, in hex, of an image file's content and how its pixels are read."""
    return hashlib.blake2b(data, digest_size=16, person=(units or "").encode()).hexdigest()


def _groups(items: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    """Groups with at most ``size`` images to compute, and a bounded number that need nothing."""
    group: list[_Prepared] = []
    fresh = 0
    for item in items:
        group.append(item)
        fresh += item.tensor is not None
        if fresh == size or len(group) == 64:
            yield group
            group, fresh = [], 0
    if group:
        yield group


def _part(band: Band, good: list[_Prepared], stored: DescriptorStore) -> BandEmbedding:
    return BandEmbedding(
        band,
        np.array([item.job.position for item in good], np.int64),
        stored.select([item.key for item in good]),
        [item.digest for item in good],
    )
