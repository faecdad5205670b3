"""One pass over all bands: decode, resize and forward overlap; what is stored is never computed again."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ..bands import Band, parse_band
from ..data.preprocess import Preprocess
from ..engines import IN_PROCESS, Engine
from ..errors import CrossbandError, ImageFault
from ..frames import Frames
from ..io.images import decode_image, read_bytes
from ..io.memo import FileMemo, file_state
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
from .descriptor.pace import at_pace, choose_pace
from .descriptor_cache import DescriptorStore, Rows, StoredRows

if TYPE_CHECKING:
    from .rerank import Reranking

__all__ = ["CONTENTS", "BandEmbedding", "Embedding", "content_digest", "embed"]

CONTENTS = "contents.sqlite"
"""The memo of files' content digests, so that a file is read once, however often it is described or indexed."""

_BLOCK = 32  # images for a worker of a cluster: a second or two of work, done again if it dies


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
    state: bytes | None = None  # of the file, before it was read


def embed(
    frames: Frames,
    descriptor: str | Descriptor = DEFAULT_DESCRIPTOR,
    bands: Iterable[Band | str] | None = None,
    *,
    store: str | Path | None = None,
    workers: int | None = None,
    required: Container[Band] | bool = True,
    reranking: Reranking | None = None,
    local_store: str | Path | None = None,
    options: Options = DEFAULT_OPTIONS,
    engine: Engine = IN_PROCESS,
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
        reranking: what will re-rank; its local features are made of the same reading of each image and kept
            in the same folder.
        local_store: another folder for them.
        options: how images are read and where weights lie.
        engine: who reads and describes: this process, or a cluster's workers, which send the vectors here.

    Raises:
        CrossbandError: no frames have the band, or none of a band's images can be used.
    """
    wanted = [parse_band(band) for band in bands] if bands is not None else list(frames.bands)
    jobs = list(_jobs(frames, wanted))
    descriptor = Descriptor.of(descriptor, options).for_frames(frames)
    reranking = reranking.for_frames(frames) if reranking is not None else None
    stored = [DescriptorStore(store, descriptor.fingerprint)]
    if reranking is not None:
        stored.append(reranking.store(local_store or store))
    lanes = _Lanes.for_device(descriptor.device, workers or engine.cores)
    gpu = descriptor.device != "cpu"
    computed = 0
    start = time.perf_counter()
    try:
        with ExitStack() as opened:
            memo = opened.enter_context(FileMemo.open(CONTENTS))
            done, left = _known(jobs, frames.root, stored, memo)
            pace = choose_pace(descriptor, len(left))
            worker = partial(_Describer, frames.root, descriptor, pace, stored, lanes, reranking)
            progress = opened.enter_context(Progress(len(left), f"embedding with {descriptor.name}"))
            for group in engine.map(worker, left, block=_BLOCK, gpu=gpu):
                for kept, rows in zip(stored, group.vectors, strict=True):
                    for key, row in zip(group.fresh, rows, strict=True):
                        if key not in kept:  # the same file may stand under two names
                            kept.add(key, row)
                for item in group.items:
                    if item.fault is None:
                        memo.keep(item.state, item.digest)
                computed += len(group.fresh)
                done += group.items
                progress.advance(len(group.items))
    finally:
        for kept in stored:
            kept.flush()  # stopped by hand or by an error, what was computed is kept
    seconds = time.perf_counter() - start
    _say_remarks(frames.root, done)
    faults = [item.fault for item in done if item.fault is not None]
    parts: list[dict[Band, BandEmbedding]] = [{} for _ in stored]
    for band in wanted:
        good = [item for item in done if item.job.band is band and item.fault is None]
        good.sort(key=lambda item: item.job.position)
        if good:
            for part, kept in zip(parts, stored, strict=True):
                part[band] = _part(band, good, kept)
        elif required if isinstance(required, bool) else band in required:
            first = next(item.fault for item in done if item.job.band is band and item.fault is not None)
            raise CrossbandError(
                f"no {band.value} image can be used: {first}", parameter=first.parameter if first else ""
            )
    local = None
    if reranking is not None:
        local = Embedding(reranking.descriptor, frames, parts[1], faults, computed, seconds)
    return Embedding(descriptor, frames, parts[0], faults, computed, seconds, local)


def _known(
    jobs: list[_Job], root: Path, stored: list[DescriptorStore], memo: FileMemo
) -> tuple[list[_Prepared], list[_Job]]:
    """The images of which the stores have all, told without reading them, and the others."""
    known, left = [], []
    empty = not all(len(kept) for kept in stored)
    for job in jobs:
        digest = None if empty else memo.find(file_state(root / job.path, job.units))
        if digest is not None and all(_key(digest, job) in kept for kept in stored):
            known.append(_Prepared(job, digest, _key(digest, job)))
        else:
            left.append(job)
    return known, left


def _key(digest: str, job: _Job) -> str:
    return f"{digest}-{job.band.value}"


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
    def for_device(cls, device: str, cores: int) -> _Lanes:
        """One pass at a time with large batches on an accelerator. On a CPU, one pass per core with two images
        each: their maps stay in the cache, and no core waits for another (docs/decisions.md)."""
        return cls(cores, cores, 2) if device == "cpu" else cls(cores, 1, 64)


@dataclass(frozen=True)
class _Group:
    """Images that were looked at together.

    Attributes:
        items: what became of each.
        fresh: the keys of those that were described now; ``vectors`` theirs, for each store.
    """

    items: list[_Prepared]
    fresh: list[str]
    vectors: list[np.ndarray]


@dataclass(frozen=True)
class _Describer:
    """Reads and describes images, in order: reading runs ahead of the encoder, and nothing runs more than a few
    batches ahead of what is taken. Sent to another process, it knows what the stores held at that moment."""

    root: Path
    descriptor: Descriptor
    pace: str
    stored: list[DescriptorStore]
    lanes: _Lanes
    reranking: Reranking | None

    @property
    def ready(self) -> Descriptor:
        """The descriptor, with its network as the pace runs it."""
        return at_pace(self.descriptor, self.pace)

    def __call__(self, jobs: Iterable[_Job]) -> Iterator[_Group]:
        forwards, preprocess = self.lanes.forwards, self.ready.preprocess
        with threads_per_pass(1 if forwards > 1 else None), ThreadPoolExecutor(forwards) as pool:
            waiting: deque[Future[_Group]] = deque()
            prepared = _prepare(jobs, self.root, preprocess, self.stored, self.lanes)
            for group in _groups(prepared, self.lanes.batch):
                waiting.append(pool.submit(self._forward, group))
                if len(waiting) > 2 * forwards:
                    yield waiting.popleft().result()
            for ready in waiting:
                yield ready.result()

    def _forward(self, group: list[_Prepared]) -> _Group:
        fresh = [item for item in group if item.tensor is not None]
        keys, items = [item.key for item in fresh], [replace(item, tensor=None) for item in group]
        if not fresh:
            return _Group(items, keys, [np.empty((0, 0), np.float32) for _ in self.stored])
        images = torch.stack([item.tensor for item in fresh if item.tensor is not None])
        if self.reranking is None:
            return _Group(items, keys, [self.ready.pooled(images).numpy()])
        found = self.reranking.pooled(self.ready, images)
        return _Group(items, keys, [vectors.numpy() for vectors in found])


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
    jobs: Iterable[_Job], root: Path, preprocess: Preprocess, stored: list[DescriptorStore], lanes: _Lanes
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
        state = file_state(path, job.units)
        data = read_bytes(path)
        digest = content_digest(data, job.units)
        key = _key(digest, job)
        if all(key in kept for kept in stored):
            return _Prepared(job, digest, key, state=state)
        image = decode_image(data, path, job.band, job.units, least=preprocess.least(job.band))
        return _Prepared(job, digest, key, preprocess(image, job.band), None, image.remarks, state)
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
