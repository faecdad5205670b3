"""A gallery: descriptors kept on disk to be searched, with the model that made them.

A gallery is a folder: ``descriptor.safetensors`` (encoder, weights' hash, layer, pooling, preprocessing,
axes and the means of every band), ``gallery.json`` and the rows (:mod:`.gallery_store`). A query is
described by what lies in the folder, so it can never be described differently from the gallery.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ... import __version__
from ...bands import Band, Normalization, parse_band
from ...datasets import images_by_stem, open_frames
from ...errors import CrossbandError, DamagedFileError, ImageFault, unknown_name
from ...frames import Frames
from ...io import as_image, read_bytes
from ...progress import Progress, note, track
from ...results import Result
from ..descriptor.descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    Descriptor,
    Finish,
    Options,
    descriptor_account,
    read_descriptor,
)
from ..descriptor_cache import ArrayRows, Rows
from ..embed import BandEmbedding, Embedding, content_digest, embed, mean_vector
from ..search import DEFAULT_MEMORY, exact_search
from ..search_result import SearchResult, as_images
from .lance import METADATA, GalleryStore, LanceStore, row_schema

try:
    import fcntl
except ImportError:  # not on Windows: two runs on one gallery are then the user's own care
    fcntl = None  # type: ignore[assignment]

__all__ = ["Added", "Gallery", "Match", "index", "search"]

_FORMAT = "crossband-gallery-1"
_BATCH = 1000
_BATCH_BYTES = 128 << 20  # of pooled vectors: flattened maps are added in smaller batches
_EXACT_UP_TO = 1_000_000
_STREAM_BYTES = 8 << 20  # of vectors at a time: the store reads many such batches ahead
_ROW_BYTES = 512  # what a row takes in memory besides its vector
_DTYPES = ("float32", "int8")


@dataclass(frozen=True)
class Match:
    """One item found.

    Attributes:
        rank: 1 is best.
        frame: the frame's name; ``band`` and ``path`` of its image.
        distance: Euclidean, between final vectors.
        metadata: what the manifest said of the frame, without what it left empty.
    """

    rank: int
    frame: str
    band: str
    path: str
    distance: float
    metadata: dict[str, object]

    def to_dict(self) -> dict[str, object]:
        """A flat record for JSON."""
        known = {"rank": self.rank, "frame": self.frame, "band": self.band, "path": self.path}
        return {**known, "distance": self.distance, **self.metadata}


@dataclass(frozen=True, repr=False)
class Added(Result):
    """What an addition did.

    Attributes:
        added: rows that are new, replaced or only told anew (another path or metadata); ``unchanged`` were
            there already.
        faults: images left out, with their reasons.
    """

    added: int
    unchanged: int
    faults: list[ImageFault]


class Gallery:
    """A gallery on disk; make one with :meth:`create`, open one with :meth:`open`.

    Attributes:
        folder: where it lies.
        descriptor: what its rows were made with, band means included.
        rows: its rows.
    """

    def __init__(self, folder: Path, descriptor: Descriptor, rows: GalleryStore, scale: float) -> None:
        self.folder, self.descriptor, self.rows = folder, descriptor, rows
        self._scale = scale  # 0 for float32 rows; else int8 = round(scale * number)
        self._memory: tuple[object, pa.Table, Rows] | None = None

    @classmethod
    def create(
        cls, folder: str | Path, descriptor: Descriptor, sample: np.ndarray, dtype: str = "float32"
    ) -> Gallery:
        """An empty gallery for a descriptor whose means are already those of the sets to be searched.

        Args:
            folder: must not hold a gallery.
            descriptor: with its means.
            sample: some final vectors ``(n, k)``, which tell the size and the range of int8 numbers.
            dtype: ``float32``, or ``int8`` for a quarter of the disk.

        Raises:
            CrossbandError: the folder is taken or cannot be written, or an unknown dtype.
        """
        folder = Path(folder)
        _check_dtype(dtype)
        scale = 127 / max(float(np.quantile(np.abs(sample), 0.9999)), 1e-12) if dtype == "int8" else 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone_in(folder):
                if (folder / "gallery.json").exists():
                    raise CrossbandError(
                        f"{folder} holds a gallery already; choose another folder", parameter="gallery"
                    )
                if (folder / "rows.lance").exists():  # of a creation that was interrupted
                    shutil.rmtree(folder / "rows.lance")
                descriptor.save(folder / "descriptor.safetensors")
                rows = LanceStore(folder / "rows.lance", row_schema(sample.shape[1], dtype))
                account = {"format": _FORMAT, "crossband": __version__, "dtype": dtype, "scale": scale}
                partial = folder / f".gallery.json.{os.getpid()}"
                partial.write_text(json.dumps(account))
                partial.replace(folder / "gallery.json")
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {folder} ({error.strerror})") from None
        return cls(folder, descriptor, rows, scale)

    @classmethod
    def open(cls, folder: str | Path, options: Options = DEFAULT_OPTIONS) -> Gallery:
        """Open a gallery; of the options, only weights and device count: the rest is the gallery's own.

        Raises:
            CrossbandError: no gallery, a damaged one, or weights other than those that made it.
        """
        folder, account = Path(folder), read_account(folder)
        rows = Gallery.open_rows(folder)
        descriptor = read_descriptor(folder / "descriptor.safetensors", options)
        if descriptor.axes is not None:
            size = descriptor.axes.shape[1]
        else:
            size = len(next(iter((descriptor.means or {}).values()), np.empty(rows.size)))
        if size != rows.size:
            raise CrossbandError(
                f"{folder / 'descriptor.safetensors'} makes vectors of {size} numbers, the gallery's rows have "
                f"{rows.size}; one of them is of another gallery"
            )
        return cls(folder, descriptor, rows, float(account["scale"]))

    @staticmethod
    def open_rows(folder: str | Path) -> GalleryStore:
        """The rows of a gallery alone, for work that needs no model.

        Raises:
            CrossbandError: no gallery there, or a damaged one.
        """
        account, rows = read_account(folder), LanceStore(Path(folder) / "rows.lance")
        if rows.dtype != account["dtype"]:
            raise CrossbandError(
                f"{Path(folder) / 'gallery.json'} says {account['dtype']}, the rows are {rows.dtype}; "
                "one of them is of another gallery"
            )
        return rows

    @staticmethod
    def info(folder: str | Path) -> dict[str, object]:
        """What a gallery holds and what made it; no model is loaded."""
        account, rows = read_account(folder), Gallery.open_rows(folder)
        made_by = descriptor_account(Path(folder) / "descriptor.safetensors")
        bands = {band.value: rows.count(f"band = '{band.value}'") for band in Band}
        return {
            "items": rows.count(),
            "bands": {band: n for band, n in bands.items() if n},
            "model": made_by["name"],
            "encoder": made_by["encoder"],
            "layer": made_by["layer"],
            "pooling": made_by["pooling"],
            "center": made_by["center"],
            "weights": made_by["weights"],
            "preprocess": made_by["preprocess"],
            "dtype": account["dtype"],
            "crossband": account["crossband"],
        }

    def bands(self, among: list[Band]) -> list[Band]:
        """Those of some bands that the gallery keeps; all of them while it is empty."""
        kept = [band for band in among if self.rows.count(f"band = '{band.value}'")]
        return kept or among

    def __len__(self) -> int:
        return self.rows.count()

    def add(self, frames: Frames, bands: list[Band], *, store: str | Path, workers: int | None = None) -> Added:
        """Add the images of frames, or replace those whose content changed, in batches that are each all
        or nothing; where only the path or the metadata changed, the vector stays and nothing is computed.
        Several processes may add at once.

        Args:
            frames: what to add.
            bands: which of their bands.
            store: the folder of the descriptor store, where a killed run continues.
        """
        known = self.rows.read(["key", "digest"])
        there = dict(zip(known["key"].to_pylist(), known["digest"].to_pylist(), strict=True))
        added, unchanged, faults = 0, 0, []
        for band in bands:
            fresh, told = _changes(frames, band, there)
            unchanged += int(frames.table[band.value].notna().sum()) - len(fresh) - len(told)
            if told:
                added += self._tell(frames.select(np.array(list(told), int)), band, list(told.values()))
            if fresh:
                part = frames.select(np.array(fresh, int))
                embedding = embed(part, self.descriptor, [band], store=store, workers=workers, required=False)
                faults += embedding.faults
                if band in embedding.bands:
                    added += self._add_rows(part, embedding.bands[band])
        return Added(added, unchanged, faults)

    def _add_rows(self, frames: Frames, part: BandEmbedding) -> int:
        n = len(part.positions)
        with Progress(n, "adding", "rows") as progress:
            step = _rows_at_once(part.pooled.shape[1])
            for start in range(0, n, step):
                chosen = np.arange(start, min(start + step, n))
                self.rows.upsert(self._table(frames, part, chosen))
                progress.advance(len(chosen))
        return n

    def _tell(self, frames: Frames, band: Band, contents: list[str]) -> int:
        """Set path and metadata of rows whose images are as they were."""
        for start in range(0, len(frames), _BATCH):
            stop = min(start + _BATCH, len(frames))
            some = frames.select(slice(start, stop))
            self.rows.update(_known_columns(some, band, contents[start:stop]))
        return len(frames)

    def delete(self, where: str) -> int:
        """Delete the rows that fulfil a condition on the metadata; gives their number."""
        return self.rows.delete(where)

    def describe(
        self, image: Any, band: Band | str, units: str | None = None, finish: Finish | None = None
    ) -> np.ndarray:
        """The final vector ``(k,)`` of one image, made as the gallery's own; see :func:`crossband.io.as_image`.

        Raises:
            ImageFault: the image cannot be used.
            CrossbandError: the gallery centers its bands and knows no mean of this one.
        """
        band = parse_band(band)
        tensor = self.descriptor.preprocess(as_image(image, band, units), band)
        pooled = _as_stored(self.descriptor.pooled(tensor[None]).numpy())
        return (finish or self.descriptor.finish(None))(pooled, band)[0]

    def calibrated(self, band: Band | str, images: Frames, *, store: str | Path | None = None) -> Finish:
        """What finishes vectors of a band that the gallery has no mean of, learned from some images of it.

        Args:
            band: the band.
            images: frames that have it; images that cannot be used are left out, with a note.
            store: the folder of the descriptor store; without it, a temporary one.
        """
        band = parse_band(band)
        with contextlib.ExitStack() as stack:
            work = store if store is not None else stack.enter_context(tempfile.TemporaryDirectory())
            embedding = embed(images, self.descriptor, [band], store=work)
            for fault in embedding.faults:
                note(f"left out of the calibration: {fault}")
            return self.descriptor.finish({band: mean_vector(embedding.bands[band].pooled)})

    def search(
        self,
        images: Any,
        k: int = 10,
        *,
        band: Band | str = "rgb",
        where: str | None = None,
        units: str | None = None,
        finish: Finish | None = None,
        max_memory: int = DEFAULT_MEMORY,
    ) -> SearchResult:
        """Search by one image or many; the network stays loaded for the next search.

        Args:
            images: a path, an array ``(H, W)`` or ``(H, W, 3)``, a PIL image, or a sequence of these.
            k: how many matches of each.
            band: of the images.
            where: an SQL condition on the metadata, as in ``camera = 'north'``.
            units: of thermal pixels.
            finish: of :meth:`calibrated`, for a band that the gallery has no mean of.
            max_memory: bytes that the gallery may take in memory.

        Raises:
            ImageFault: an image cannot be used.
            CrossbandError: as :meth:`nearest`.
        """
        asked = as_images(images)
        names = [str(one) if isinstance(one, str | Path) else f"image {n}" for n, one in enumerate(asked, 1)]
        shown = [one if isinstance(one, str | Path) else as_image(one, band, units) for one in asked]
        found = []
        for one in track(shown, len(shown), "searching", "images"):
            vector = self.describe(one, band, units, finish)
            found.append(self.nearest(vector, k, where, max_memory=max_memory))
        return SearchResult(names, parse_band(band).value, found, shown)

    def nearest(
        self,
        vector: np.ndarray,
        k: int = 10,
        where: str | None = None,
        exact: bool | None = None,
        max_memory: int = DEFAULT_MEMORY,
    ) -> list[Match]:
        """The ``k`` items nearest to a final vector, nearest first.

        Exact, from memory where the gallery fits into ``max_memory`` and from disk, some rows at a time, where
        it does not. An index that was built (``crossband gallery optimize``) serves galleries that do
        not fit or have more than a million rows; its candidates are measured again.

        Args:
            vector: ``(k,)``, as :meth:`describe` gives it.
            k: how many.
            where: an SQL condition on the metadata, as in ``camera = 'north'``; it filters before the search.
            exact: choose by hand.
            max_memory: bytes that the gallery may take in memory.

        Raises:
            CrossbandError: an empty gallery, a condition that cannot be read, or one nothing fulfils.
        """
        if k < 1:
            raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
        if len(vector) != self.rows.size:
            raise CrossbandError(f"a query of {len(vector)} numbers; the gallery's have {self.rows.size}")
        if exact is False and self._scale:
            raise CrossbandError("a gallery of int8 rows has no index; leave exact out, or keep float32 rows")
        if not (n := self.rows.count()):
            raise CrossbandError(f"nothing to search in {self.folder}: it is empty; crossband index fills it")
        if where is not None and not self.rows.count(where):
            raise CrossbandError(
                f"nothing to search in {self.folder}: no item fulfils {where!r}; choose another condition",
                parameter="where",
            )
        tiles = max(max_memory // 4, 64 * self.rows.size)
        fits = n * (self._vector_bytes + _ROW_BYTES) <= max_memory - tiles
        if exact is None:
            exact = bool(self._scale) or (fits and n <= _EXACT_UP_TO) or not self.rows.indexed()
            if exact and not fits and not self._scale:
                note(
                    f"{self.folder} is read from disk for every search; "
                    "an index makes it fast; crossband gallery optimize builds it"
                )
        if not exact:
            found = self.rows.search(vector, k, where)
            distances = np.sqrt(np.maximum(found["_distance"].to_numpy(), 0))
            return _matches(found.drop_columns(["vector", "_distance"]).to_pandas(), distances)
        parts = self._in_memory(where) if fits else self._from_disk(where, tiles)
        return _nearest(vector, parts, k, tiles)

    @property
    def _vector_bytes(self) -> int:
        return self.rows.size * (1 if self._scale else 4)

    def _height(self, memory: int = _STREAM_BYTES) -> int:
        """How many rows are read at a time."""
        return max(1, min(memory, _STREAM_BYTES) // (self._vector_bytes + _ROW_BYTES))

    def _from_disk(self, where: str | None, memory: int) -> Iterator[_Part]:
        """The rows that fulfil a condition, some at a time."""
        for batch in self.rows.stream(row_schema(1, "float32").names, self._height(memory), where):
            yield batch.drop_columns(["vector"]), self._numbers(_matrix(batch)), None

    def _in_memory(self, where: str | None) -> Iterator[_Part]:
        """All rows, loaded again only after a change."""
        version = self.rows.version()
        while self._memory is None or self._memory[0] != version:
            self._memory = None
            self._memory = self._loaded(version)
            version = self.rows.version()
        _, table, numbers = self._memory
        keep = None
        if where is not None:
            keep = pa.compute.is_in(table["key"], self.rows.read(["key"], where)["key"]).to_numpy()
        yield table, numbers, keep

    def _loaded(self, version: object) -> tuple[object, pa.Table, Rows] | None:
        """All rows in one matrix that is filled as they are read, so that it stands in memory once; ``None``
        when another process changed them meanwhile."""
        matrix = np.empty((self.rows.count(), self.rows.size), np.int8 if self._scale else np.float32)
        known, filled = [], 0
        for batch in self.rows.stream(row_schema(1, "float32").names, self._height()):
            if filled + len(batch) > len(matrix):
                return None
            matrix[filled : filled + len(batch)] = _matrix(batch)
            known.append(batch.drop_columns(["vector"]))
            filled += len(batch)
        if filled < len(matrix) or not known:
            return None
        return version, pa.concat_tables(known), self._numbers(matrix)

    def _numbers(self, matrix: np.ndarray) -> Rows:
        return _Quantized(matrix, self._scale) if self._scale else ArrayRows(matrix)

    def _table(self, frames: Frames, part: BandEmbedding, chosen: np.ndarray) -> pa.Table:
        """The rows of some images, as the store keeps them."""
        vectors = self.descriptor.finish(None)(part.pooled.take(chosen), part.band)
        if self._scale:
            vectors = np.clip(np.rint(vectors * self._scale), -127, 127).astype(np.int8)
        mine = frames.select(part.positions[chosen])
        known = _known_columns(mine, part.band, [part.digests[i] for i in chosen])
        numbers = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        schema = row_schema(vectors.shape[1], "int8" if self._scale else "float32")
        return known.append_column(schema.field("vector"), numbers)


# what is known of some rows, their vectors, and which may be found
_Part = tuple[pa.Table, Rows, np.ndarray | None]


def _matrix(batch: pa.Table) -> np.ndarray:
    """The vectors of some rows ``(n, k)``, not copied where they lie in one piece.

    Raises:
        CrossbandError: a row without one.
    """
    vectors = batch["vector"].combine_chunks()
    numbers = vectors.flatten()
    if vectors.null_count or numbers.null_count:
        raise DamagedFileError(
            "a row of the gallery has no vector; index its frames into another", parameter="gallery"
        )
    return numbers.to_numpy(zero_copy_only=False).reshape(len(batch), -1)


def _nearest(query: np.ndarray, parts: Iterable[_Part], k: int, memory: int) -> list[Match]:
    """The nearest rows of all parts, exactly; of equally near ones, those that come first."""
    tables: list[pa.Table] = []
    squared = np.empty(0)
    for table, rows, keep in parts:
        found = exact_search(ArrayRows(query[None]), rows, k, memory, keep)[1][0]
        both = np.concatenate([squared, _squared(query, rows, found, memory)])
        order = np.argsort(both, kind="stable")[:k]
        if len(squared) == k and order.max(initial=0) < k:
            continue  # none is nearer than what is there
        squared = both[order]
        tables = [pa.concat_tables([*tables, table.take(found)]).take(order)]
    return _matches(tables[0].to_pandas(), np.sqrt(squared)) if tables else []


def _squared(query: np.ndarray, rows: Rows, found: np.ndarray, memory: int) -> np.ndarray:
    """Squared distances to some rows in double precision, so that those of several parts compare."""
    step = max(1, memory // (16 * len(query)))
    some = [
        np.square(rows.take(found[start : start + step]) - query.astype(np.float64)).sum(1)
        for start in range(0, len(found), step)
    ]
    return np.concatenate([np.empty(0), *some])


def _check_dtype(dtype: str) -> None:
    if dtype not in _DTYPES:
        raise CrossbandError(f"a gallery keeps {' or '.join(_DTYPES)}, not {dtype!r}")


def read_account(folder: str | Path) -> dict[str, Any]:
    """What ``gallery.json`` says, checked.

    Raises:
        CrossbandError: no gallery there, a damaged one, or one of another version.
    """
    path = Path(folder) / "gallery.json"
    try:
        account = json.loads(path.read_text())
    except FileNotFoundError:
        raise CrossbandError(f"no gallery in {folder}; crossband index makes one") from None
    except OSError as error:
        raise CrossbandError(f"no gallery in {folder} can be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise DamagedFileError(
            f"no gallery: {path} is damaged; index into another", parameter="gallery"
        ) from None
    if not isinstance(account, dict) or account.get("format") != _FORMAT:
        raise CrossbandError(f"{folder} holds no gallery that this version reads; index it again")
    dtype, scale = account.get("dtype"), account.get("scale")
    number = scale if isinstance(scale, int | float) and not isinstance(scale, bool) else -1
    scaled = 0 < number < 1e30 if dtype == "int8" else number == 0
    if dtype not in _DTYPES or not scaled or not isinstance(account.get("crossband"), str):
        raise DamagedFileError(
            f"no gallery: {path} does not say dtype, scale and version as crossband writes them; "
            "index into another",
            parameter="gallery",
        )
    return account


class _Quantized:
    """int8 rows as the numbers they stand for."""

    def __init__(self, rows: np.ndarray, scale: float) -> None:
        self._rows, self._scale = rows, np.float32(scale)

    @property
    def shape(self) -> tuple[int, int]:
        return self._rows.shape[0], self._rows.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self._rows[start:stop].astype(np.float32) / self._scale

    def take(self, index: np.ndarray) -> np.ndarray:
        return self._rows[index].astype(np.float32) / self._scale


def index(
    frames: Frames,
    gallery: str | Path,
    model: str | Descriptor | None = None,
    bands: str | Sequence[str] | None = None,
    *,
    options: Options = DEFAULT_OPTIONS,
    dtype: str | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
) -> Added:
    """Put the images of frames into a gallery, which is made when it is not there.

    A new gallery takes the mean of **every** band the frames have, not only of those it keeps, so that
    queries of the other bands can be centered. The means never change afterwards.

    Args:
        frames: what to index.
        gallery: the gallery's folder.
        model: the descriptor; for a gallery that is there, its own, and any other is refused.
        bands: the bands to keep; without them all of the frames', in a gallery that is there those it has.
        options: how images are read and where weights lie; for a gallery that is there, how images are read
            is its own, and what is given otherwise than the default is refused where it differs.
        dtype: ``float32``, as by default, or ``int8``; for a gallery that is there, its own.
        store: the folder of the descriptor store; without it, one inside the gallery that is removed at
            the end. A run that is stopped or killed continues from it.
        workers: threads that read.

    Raises:
        CrossbandError: another model than the gallery's, or nothing that can be indexed.
    """
    if str(gallery).strip() == "":
        raise CrossbandError("the gallery's folder is empty text; name one", parameter="gallery")
    folder = Path(gallery)
    bands = [bands] if isinstance(bands, str) else bands
    kept = list(dict.fromkeys(parse_band(band) for band in bands)) if bands else list(frames.bands)
    for band in kept:
        frames.paths(band)  # refused now where the frames lack it, before any work
    if dtype is not None:
        _check_dtype(dtype)
    there = (folder / "gallery.json").exists()
    if not there and folder == Path():  # what an empty variable of a shell becomes
        raise CrossbandError("no gallery is made in the current folder itself; name one", parameter="gallery")
    with _working_folder(folder, store) as work:
        if there:
            opened = Gallery.open(folder, options)
            _check_same(opened, model, options, dtype)
            kept = kept if bands else opened.bands(kept)
        else:
            opened = _created(frames, folder, model, kept, options, dtype, work, workers)
        return opened.add(frames, kept, store=work, workers=workers)


def _created(
    frames: Frames,
    folder: Path,
    model: str | Descriptor | None,
    kept: list[Band],
    options: Options,
    dtype: str | None,
    work: Path,
    workers: int | None,
) -> Gallery:
    """A gallery with the means of frames; the one that another process made meanwhile, if one did."""
    descriptor = Descriptor.of(model or DEFAULT_DESCRIPTOR, options)
    embedding = embed(frames, descriptor, store=work, workers=workers, required=kept)
    for band in frames.bands:
        if band not in embedding.bands and descriptor.center and band not in (descriptor.means or {}):
            note(f"no {band.value} image can be used, so {band.value} queries will need images to calibrate by")
    means = {**(descriptor.means or {}), **embedding.means()} if descriptor.center else None
    descriptor = replace(descriptor, means=means)
    try:
        return Gallery.create(folder, descriptor, _sample(embedding, descriptor, kept), dtype or "float32")
    except CrossbandError:
        if not (folder / "gallery.json").exists():
            raise
    opened = Gallery.open(folder, options)
    _check_same(opened, model, options, dtype)
    return opened


@contextlib.contextmanager
def _working_folder(folder: Path, store: str | Path | None) -> Iterator[Path]:
    """The folder of the descriptor store: the one given, or one in the gallery. That is removed at the end and
    on errors by the last process that works in it, and kept by one that is stopped, to continue from."""
    if store is not None:
        yield Path(store)
        return
    work = folder / ".embedding"
    made = not folder.exists()
    handle, stopped = _entered(folder, work), False
    try:
        yield work
    except (KeyboardInterrupt, SystemExit):
        stopped = True
        raise
    finally:
        if not stopped and _flock(handle, alone=True):
            shutil.rmtree(work, ignore_errors=True)
        if handle is not None:
            os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # there is a gallery in it now
                folder.rmdir()


def _entered(folder: Path, work: Path) -> int | None:
    """Make the working folder, and say in it that one more process needs it."""
    while True:
        try:
            work.mkdir(parents=True, exist_ok=True)
            handle = os.open(work, os.O_RDONLY) if fcntl is not None else None
        except FileNotFoundError:
            continue  # removed by another process between the two
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {folder} ({error.strerror})") from None
        if handle is None:
            return None
        _flock(handle, alone=False, wait=True)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), work.stat()):
                return handle
        os.close(handle)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same folder."""
    handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    try:
        _flock(handle, alone=True, wait=True)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _flock(handle: int | None, *, alone: bool, wait: bool = False) -> bool:
    """Lock an open folder; whether that could be had. Where nothing can be locked, everyone is alone."""
    if handle is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def search(
    image: Any,
    gallery: str | Path,
    k: int = 10,
    *,
    band: str = "rgb",
    where: str | None = None,
    units: str | None = None,
    calibrate: str | Path | None = None,
    store: str | Path | None = None,
    options: Options = DEFAULT_OPTIONS,
    max_memory: int = DEFAULT_MEMORY,
) -> SearchResult:
    """Search a gallery by one image or many; see :meth:`Gallery.search`.

    Args:
        image: the query, or several; a path, an array or a PIL image each.
        band: the query's band.
        where: an SQL condition on the metadata.
        units: of a thermal query's pixels, and of those of ``calibrate``.
        calibrate: a folder of images of the query's band, when the gallery has no mean of it.
        store: the folder of the descriptor store, for those images; without it, a temporary one.
        options: where weights lie, and the device.
        max_memory: bytes that the gallery may take in memory.
    """
    opened = Gallery.open(gallery, options)
    finish = None
    if calibrate is not None:
        images = [{"frame": key, band: path.name} for key, path in images_by_stem(Path(calibrate)).items()]
        if not images:
            raise CrossbandError(f"no image in {calibrate} to calibrate by")
        sample = Frames.make(images, calibrate)
        sample = sample if units is None else sample.assign(tir_units=units)
        finish = opened.calibrated(band, sample, store=store)
    return opened.search(image, k, band=band, where=where, units=units, finish=finish, max_memory=max_memory)


def query_image(
    name: str, band: str, frames: str | Path | None = None, units: str | None = None
) -> tuple[Path, str | None]:
    """The image file a query means, and its units: a path, or a frame of a manifest by its name.

    Raises:
        CrossbandError: no such frame, or it lacks the band.
    """
    if frames is None:
        if not Path(name).exists():
            raise CrossbandError(
                f"there is no image {name}; for the name of a frame, give its frames too", parameter="frames"
            )
        return Path(name), units
    table = open_frames(frames)
    if name not in table.names:
        raise unknown_name("frame", name, table.names)
    row = table.names.index(name)
    path = table.paths(band)[row]
    if path is None:
        raise CrossbandError(f"frame {name!r} has no {band} image; choose another band", parameter="band")
    return path, units or table.units()[row]


def _key(frame: str, band: Band) -> str:
    return f"{frame}|{band.value}"


def _changes(frames: Frames, band: Band, there: Mapping[str, str]) -> tuple[list[int], dict[int, str]]:
    """The frames whose image of a band is not in a gallery yet or has another content now, and those of which
    only path or metadata changed, with the content they have."""
    fresh, told = [], {}
    says = _account_digests(frames, band)
    for row, (name, path, units) in enumerate(
        zip(frames.names, frames.paths(band), frames.units(), strict=True)
    ):
        if path is None:
            continue
        before, _, said = there.get(_key(name, band), "").partition("-")
        content = file_digest(path, units) if before else None
        if content is None or content != before:
            fresh.append(row)
        elif said != says[row]:
            told[row] = content
    return fresh, told


def _known_columns(frames: Frames, band: Band, contents: list[str]) -> pa.Table:
    """All that a gallery keeps of frames, except the vectors."""
    schema = row_schema(1, "float32")
    schema = schema.remove(schema.get_field_index("vector"))
    table, says = frames.table, _account_digests(frames, band)
    columns: dict[str, object] = {
        "key": [_key(name, band) for name in frames.names],
        "frame": frames.names,
        "band": [band.value] * len(frames),
        "path": _resolved(frames, band),
        "digest": [f"{content}-{said}" for content, said in zip(contents, says, strict=True)],
    }
    for name in METADATA:
        columns[name] = pa.array(table[name], from_pandas=True) if name in table else [None] * len(frames)
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _account_digests(frames: Frames, band: Band) -> list[str]:
    """Identifies where each frame's image lies and what its metadata says."""
    known = frames.table[[name for name in METADATA if name in frames.table]].astype(object)
    rows = known.where(known.notna(), None).to_dict("records")
    told = zip(_resolved(frames, band), rows or [{}] * len(frames), strict=True)
    return [hashlib.blake2b(repr(row).encode(), digest_size=8).hexdigest() for row in told]


def _resolved(frames: Frames, band: Band) -> list[str]:
    return [str(Path(path or "").resolve()) for path in frames.paths(band)]


def _as_stored(vectors: np.ndarray) -> np.ndarray:
    """Vectors rounded as the descriptor store rounds those of the gallery, float32.

    Raises:
        CrossbandError: a number that float16 cannot hold.
    """
    with np.errstate(over="ignore"):
        half = vectors.astype(np.float16)
    if not np.isfinite(half).all():
        raise CrossbandError("the query's descriptor holds numbers that are none or beyond 65504; use normflat")
    return half.astype(np.float32)


def file_digest(path: Path, units: str | None) -> str | None:
    """The content digest of an image file, ``None`` when it cannot be read."""
    try:
        return content_digest(read_bytes(path), units)
    except ImageFault:
        return None


def _check_same(gallery: Gallery, model: str | Descriptor | None, options: Options, dtype: str | None) -> None:
    """Refuse what is given by hand and is not the gallery's own."""
    own = gallery.descriptor.preprocess
    if model is not None:
        # how images are read is the gallery's own, whatever the options
        wanted = replace(Descriptor.of(model, options), preprocess=own)
        if wanted.identity != gallery.descriptor.identity:
            raise _other(gallery, "model", gallery.descriptor.name, str(getattr(model, "name", model)))
    if options.size not in (DEFAULT_OPTIONS.size, own.size):
        sizes = [f"{width}x{height}" for height, width in (own.size, options.size)]
        raise _other(gallery, "size", *sizes)
    for name, text in (options.normalization or {}).items():
        band = parse_band(name)
        if (given := Normalization.parse(text)) != own.normalization[band]:
            raise _other(gallery, "normalization", f"{band}={own.normalization[band]}", f"{band}={given}")
    for band, statistics in (options.statistics or {}).items():
        if statistics != own.statistics[band]:
            raise _other(gallery, "set_statistics", f"other statistics of {band}", "these")
    has = gallery.rows.dtype
    if dtype not in (None, has):
        raise _other(gallery, "dtype", has, str(dtype))


def _other(gallery: Gallery, option: str, has: str, given: str) -> CrossbandError:
    return CrossbandError(
        f"the gallery {gallery.folder} was made with {has}, not with {given}; "
        f"leave the {option.replace('_', ' ')} out, or index into another gallery",
        parameter=option,
    )


def _rows_at_once(size: int) -> int:
    """How many vectors of ``size`` numbers are worked on together."""
    return max(1, min(_BATCH, _BATCH_BYTES // (4 * size)))


def _sample(embedding: Embedding, descriptor: Descriptor, bands: list[Band]) -> np.ndarray:
    """Some final vectors of the bands to keep."""
    finish = descriptor.finish(None)
    parts = [embedding.bands[band] for band in bands if band in embedding.bands]
    if not parts:
        have = ", ".join(band.value for band in embedding.bands)
        raise CrossbandError(f"none of the bands {', '.join(bands)} is in these frames, which have {have}")
    most = [_rows_at_once(part.pooled.shape[1]) for part in parts]
    return np.concatenate(
        [finish(part.pooled.rows(0, n), part.band) for n, part in zip(most, parts, strict=True)]
    )


def _matches(table: pd.DataFrame, distances: np.ndarray) -> list[Match]:
    matches = []
    for rank, (row, distance) in enumerate(zip(table.to_dict("records"), distances, strict=True), 1):
        metadata = {name: row[name] for name in METADATA if not pd.isna(row[name])}
        matches.append(Match(rank, row["frame"], row["band"], row["path"], float(distance), metadata))
    return matches
