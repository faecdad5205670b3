"""A gallery: descriptors kept on disk to be searched, with the model that made them.

A gallery is a folder: ``descriptor.safetensors`` (encoder, weights' hash, layer, pooling, preprocessing,
axes and the means of every band), ``gallery.json`` and the rows (:mod:`.gallery_store`). A query is
described by what lies in the folder, so it can never be described differently from the gallery.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ... import __version__
from ...bands import Band, Normalization, parse_band
from ...datasets import images_by_stem, is_text, open_frames
from ...errors import CrossbandError, DamagedFileError, ImageFault, unknown_name
from ...files import write_file
from ...frames import Frames
from ...io import as_image, read_bytes
from ...progress import Progress, note, track
from ...results import Result
from ..descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    Descriptor,
    Finish,
    Options,
    descriptor_metadata,
    read_descriptor,
)
from ..descriptor_cache import ArrayRows, Rows
from ..embed import BandEmbedding, Embedding, content_digest, embed, mean_vector
from ..rerank import DEFAULT_RERANK, LocalReader, SecondLook
from ..search import DEFAULT_MEMORY, exact_search
from ..search_result import SearchResult, as_images
from ..shipped import shipped_means
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
_LEAST_FOR_A_MEAN = 5  # images; with one, RoadScene loses 4 points at worst, with five one


@dataclass(frozen=True)
class Match:
    """One item found.

    Attributes:
        rank: 1 is best.
        frame: the frame's name; ``band`` and ``path`` of its image.
        distance: Euclidean, between final vectors.
        metadata: what the manifest said of the frame, without what it left empty.
        inliers: matches of local features that one similarity explains; ``None`` where it was not compared.
        same_place: the probability that query and item show one place; ``None`` likewise.
        content: identifies what the image file held when it was indexed.
    """

    rank: int
    frame: str
    band: str
    path: str
    distance: float
    metadata: dict[str, object]
    inliers: int | None = None
    same_place: float | None = None
    content: str = field(default="", repr=False, compare=False)

    def to_dict(self) -> dict[str, object]:
        """Return a flat record for JSON."""
        known = {"rank": self.rank, "frame": self.frame, "band": self.band, "path": self.path}
        compared = {"inliers": self.inliers, "same_place": self.same_place}
        return {**known, "distance": self.distance, **compared, **self.metadata}


@dataclass(frozen=True, repr=False)
class Added(Result):
    """What an addition did, counted by what the store said of it.

    Attributes:
        added: rows that were not there.
        unchanged: rows that were there already, as they are.
        faults: images left out, with their reasons.
        replaced: rows whose image has another content now.
        updated: rows whose image is as it was, with another path, name or metadata.
    """

    added: int
    unchanged: int
    faults: list[ImageFault]
    replaced: int = 0
    updated: int = 0


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
        self._said = False

    @classmethod
    def create(
        cls,
        folder: str | Path,
        descriptor: Descriptor,
        sample: np.ndarray,
        dtype: str = "float32",
        bands: Iterable[Band] = (),
    ) -> Gallery:
        """Create an empty gallery for a descriptor that already has its band means.

        Args:
            folder: must not hold a gallery.
            descriptor: with its means.
            sample: some final vectors ``(n, k)``, which tell the size and the range of int8 values.
            dtype: ``float32``, or ``int8`` for a quarter of the disk.
            bands: those it is meant to keep.

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
                metadata: dict[str, object] = {"format": _FORMAT, "crossband": __version__, "dtype": dtype}
                metadata |= {"scale": scale, "bands": [band.value for band in bands]}
                write_file(folder / "gallery.json", json.dumps(metadata))
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {folder} ({error.strerror})") from None
        return cls(folder, descriptor, rows, scale)

    @classmethod
    def open(cls, folder: str | Path, options: Options = DEFAULT_OPTIONS) -> Gallery:
        """Open a gallery; only the options weights and device count, the rest is the gallery's own.

        Raises:
            CrossbandError: no gallery, a damaged one, or weights other than those that made it.
        """
        folder, metadata = Path(folder), read_metadata(folder)
        rows = Gallery.open_rows(folder)
        descriptor = read_descriptor(folder / "descriptor.safetensors", options)
        if descriptor.axes is not None:
            size = descriptor.axes.shape[1]
        else:
            size = len(next(iter((descriptor.means or {}).values()), np.empty(rows.size)))
        if size != rows.size:
            raise CrossbandError(
                f"{folder / 'descriptor.safetensors'} makes vectors of {size} dims, the gallery's rows have "
                f"{rows.size}; one of them belongs to another gallery"
            )
        return cls(folder, descriptor, rows, float(metadata["scale"]))

    @staticmethod
    def open_rows(folder: str | Path) -> GalleryStore:
        """Open the rows of a gallery alone, for work that needs no model.

        Raises:
            CrossbandError: no gallery there, or a damaged one.
        """
        metadata, rows = read_metadata(folder), LanceStore(Path(folder) / "rows.lance")
        if rows.dtype != metadata["dtype"]:
            raise CrossbandError(
                f"{Path(folder) / 'gallery.json'} says {metadata['dtype']}, the rows are {rows.dtype}; "
                "one of them belongs to another gallery"
            )
        return rows

    @staticmethod
    def info(folder: str | Path) -> dict[str, object]:
        """Return what a gallery holds and what made it; no model is loaded."""
        metadata, rows = read_metadata(folder), Gallery.open_rows(folder)
        made_by = descriptor_metadata(Path(folder) / "descriptor.safetensors")
        bands = {band.value: rows.count(f"band = '{band.value}'") for band in Band}
        meant = [band for band in metadata.get("bands", []) if not bands[band]]
        return {
            "items": rows.count(),
            "bands": {band: n for band, n in bands.items() if n or band in meant},
            "model": made_by["name"],
            "encoder": made_by["encoder"],
            "layer": made_by["layer"],
            "pooling": made_by["pooling"],
            "center": made_by["center"],
            "weights": made_by["weights"],
            "preprocess": made_by["preprocess"],
            "dtype": metadata["dtype"],
            "crossband": metadata["crossband"],
        }

    def bands(self, among: list[Band]) -> list[Band]:
        """Those of some bands that the gallery is meant to keep, by its own record: where a run was stopped
        between two, rows of one may be missing altogether."""
        meant = read_metadata(self.folder).get("bands")
        if meant is None:  # of a version that kept no record
            return [band for band in among if self.rows.count(f"band = '{band.value}'")] or among
        return [band for band in among if band.value in meant] or among

    def keep_bands(self, bands: list[Band]) -> None:
        """Enter bands into the gallery's record, before the first of their rows is written."""
        with _alone_in(self.folder):
            metadata = read_metadata(self.folder)
            meant = metadata.get("bands") or [b.value for b in Band if self.rows.count(f"band = '{b.value}'")]
            both = [band.value for band in Band if band.value in meant or band in bands]
            if both != metadata.get("bands"):
                write_file(self.folder / "gallery.json", json.dumps({**metadata, "bands": both}))

    def __len__(self) -> int:
        return self.rows.count()

    @functools.cached_property
    def look(self) -> SecondLook | None:
        """What re-ranks its lists, or ``None``."""
        return SecondLook.of(self.descriptor)

    @property
    def local_folder(self) -> Path:
        """Where the local features of its images are kept, if they are."""
        return self.folder / "local"

    def rerank(
        self, image: Any, band: Band | str, matches: list[Match], first: int, units: str | None = None
    ) -> list[Match]:
        """Compare the first items of a list with the query once more, and put them in that order.

        Local features come from the gallery where it keeps them, else from the images where they are still
        as they were; a list of which one item has neither stays as it is, with a note.

        Args:
            image: the query; ``band`` its band, ``units`` of its thermal pixels.
            matches: as :meth:`nearest` gives them.
            first: how many are compared; what lies behind stays.
        """
        if self.look is None or not matches or first < 1:
            return matches
        some, rest = matches[:first], matches[first:]
        reader = LocalReader(self.look, self.local_folder)
        asked = reader.of_image(image, parse_band(band), units)
        found = []
        for match in some:
            features = reader.of_item(match.content, match.path, parse_band(match.band), None)
            if features is None:
                note(
                    f"not re-ranked: {match.path} is not readable; galleries with local features need no images"
                )
                return matches
            found.append(features)
        verdict = reader.judge(asked, found, np.array([m.distance for m in some]))
        order = np.argsort(-verdict.scores, kind="stable")
        ordered = [
            replace(
                some[i],
                rank=rank,
                inliers=None if verdict.inliers is None else int(verdict.inliers[i]),
                same_place=None if verdict.same_place is None else float(verdict.same_place[i]),
            )
            for rank, i in enumerate(order, 1)
        ]
        return ordered + rest

    def add(
        self,
        frames: Frames,
        bands: list[Band],
        *,
        store: str | Path,
        workers: int | None = None,
        local: bool = False,
    ) -> Added:
        """Add the images of frames, or replace those whose content changed, batch by batch.

        Each batch is all or nothing. Where only the path or the metadata changed, the vector stays and nothing
        is computed. Several processes may add at once.

        Args:
            frames: what to add.
            bands: which of their bands.
            store: the folder of the descriptor store, where a killed run continues.
            local: also keep the local features of what is added; a gallery that keeps some keeps all.
        """
        self.keep_bands(bands)
        look = self.look if local or self.local_folder.is_dir() else None
        there = _There.of(self.rows)
        done = Added(0, 0, [])
        for band in bands:
            fresh, told = there.compared(frames, band)
            same = int(frames.table[band.value].notna().sum()) - len(fresh) - len(told)
            done = replace(done, unchanged=done.unchanged + same, updated=done.updated + len(told))
            if told:
                self._tell(frames, band, told)
            if fresh:
                rows = np.array([item.row for item in fresh], int)
                part, keys = frames.select(rows), [item.key for item in fresh]
                embedding = embed(
                    part,
                    self.descriptor,
                    [band],
                    store=store,
                    workers=workers,
                    required=False,
                    look=look,
                    local_store=self.local_folder,
                )
                new, old = 0, 0
                if band in embedding.bands:
                    new, old = self._add_rows(part, embedding.bands[band], keys)
                faults = [*done.faults, *embedding.faults]
                done = replace(done, added=done.added + new, replaced=done.replaced + old, faults=faults)
        return done

    def _add_rows(self, frames: Frames, part: BandEmbedding, keys: list[str]) -> tuple[int, int]:
        """Write the rows of some images; how many were new, and how many took another's place."""
        n, added, replaced = len(part.positions), 0, 0
        with Progress(n, "adding", "rows") as progress:
            step = _rows_at_once(part.pooled.shape[1])
            for start in range(0, n, step):
                chosen = np.arange(start, min(start + step, n))
                new, old = self.rows.upsert(self._table(frames, part, chosen, keys))
                added, replaced = added + new, replaced + old
                progress.advance(len(chosen))
        return added, replaced

    def _tell(self, frames: Frames, band: Band, told: list[_Item]) -> None:
        """Set name, path and metadata of rows whose images are as they were."""
        for start in range(0, len(told), _BATCH):
            some = told[start : start + _BATCH]
            part = frames.select(np.array([item.row for item in some], int))
            contents, keys = [item.content for item in some], [item.key for item in some]
            self.rows.update(_known_columns(part, band, contents, keys))

    def delete(self, where: str) -> int:
        """Delete the rows whose metadata match a condition; return their number."""
        return self.rows.delete(where)

    def describe(
        self, image: Any, band: Band | str, units: str | None = None, finish: Finish | None = None
    ) -> np.ndarray:
        """Describe one image as the gallery does: its final vector ``(k,)``; see :func:`crossband.io.as_image`.

        Raises:
            ImageFault: the image cannot be used.
            CrossbandError: the gallery centers its bands and knows no mean of this one.
        """
        band = parse_band(band)
        tensor = self.descriptor.preprocess(as_image(image, band, units), band)
        pooled = _as_stored(self.descriptor.pooled(tensor[None]).numpy())
        return (finish or self._finish(band))(pooled, band)[0]

    def _finish(self, band: Band) -> Finish:
        """What finishes a query: with the mean that ships where the gallery saw no image of its band."""
        known = self.descriptor.means or {}
        shipped = {} if band in known else shipped_means(self.descriptor)
        if band not in shipped:
            return self.descriptor.finish(None)
        if not self._said:
            self._said = True
            note(
                f"the gallery saw no {band.value} image, so {band.value} queries are centered by the mean that "
                f"comes with crossband; {_LEAST_FOR_A_MEAN} images of the query's camera or more in "
                "--calibrate FOLDER, or frames with both bands in the gallery, find more"
            )
        return self.descriptor.finish({band: shipped[band]})

    def calibrated(self, band: Band | str, images: Frames, *, store: str | Path | None = None) -> Finish:
        """Return what finishes vectors of a band without a mean, learned from some of its images.

        Args:
            band: the band.
            images: frames that have it; images that cannot be used are left out, with a note.
            store: the folder of the descriptor store; without it, a temporary one.

        Raises:
            CrossbandError: fewer than five different images that can be used.
        """
        band = parse_band(band)
        with contextlib.ExitStack() as stack:
            work = store if store is not None else stack.enter_context(tempfile.TemporaryDirectory())
            embedding = embed(images, self.descriptor, [band], store=work)
            for fault in embedding.faults:
                note(f"left out of the calibration: {fault}")
            part = embedding.bands[band]
            different = [part.digests.index(digest) for digest in dict.fromkeys(part.digests)]
            if len(different) < _LEAST_FOR_A_MEAN:
                raise CrossbandError(
                    f"--calibrate has {len(different)} different {band.value} images, too few for a mean (that "
                    f"of one image is the image itself); give {_LEAST_FOR_A_MEAN} or more, of other places "
                    "than the query's, or leave it out"
                )
            mean = mean_vector(ArrayRows(part.pooled.take(np.array(different))))
            return self.descriptor.finish({band: mean})

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
        rerank: int = DEFAULT_RERANK,
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
            rerank: how many of the nearest are compared once more, by local features; 0 leaves their order.

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
            first = rerank if k > 0 and self.look is not None else 0
            matches = self.nearest(vector, max(k, first) if first else k, where, max_memory=max_memory)
            found.append(self.rerank(one, band, matches, first, units)[:k] if first else matches)
        return SearchResult(names, parse_band(band).value, found, shown)

    def nearest(
        self,
        vector: np.ndarray,
        k: int = 10,
        where: str | None = None,
        exact: bool | None = None,
        max_memory: int = DEFAULT_MEMORY,
    ) -> list[Match]:
        """Return the ``k`` items nearest to a final vector, nearest first.

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
            CrossbandError: an empty gallery, a condition that cannot be read, or one that nothing matches.
        """
        if k < 1:
            raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
        if len(vector) != self.rows.size:
            raise CrossbandError(
                f"dimension mismatch: expected {self.rows.size}, got {len(vector)}; "
                "the query and the gallery must use one model"
            )
        if exact is False and self._scale:
            raise CrossbandError("an int8 gallery has no index; omit exact, or use float32")
        if not (n := self.rows.count()):
            raise CrossbandError(f"the gallery {self.folder} is empty; crossband index fills it")
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
        """The rows that match a condition, some at a time."""
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

    def _table(self, frames: Frames, part: BandEmbedding, chosen: np.ndarray, keys: list[str]) -> pa.Table:
        """The rows of some images, as the store keeps them."""
        vectors = self.descriptor.finish(None)(part.pooled.take(chosen), part.band)
        if self._scale:
            vectors = np.clip(np.rint(vectors * self._scale), -127, 127).astype(np.int8)
        mine = frames.select(part.positions[chosen])
        positions = part.positions[chosen]
        contents, own = [part.digests[i] for i in chosen], [keys[row] for row in positions]
        known = _known_columns(mine, part.band, contents, own)
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
        raise CrossbandError(f"a gallery holds {' or '.join(_DTYPES)}, not {dtype!r}")


def read_metadata(folder: str | Path) -> dict[str, Any]:
    """Read and check ``gallery.json``.

    Raises:
        CrossbandError: no gallery there, a damaged one, or one of another version.
    """
    path = Path(folder) / "gallery.json"
    try:
        metadata = json.loads(path.read_text())
    except FileNotFoundError:
        raise CrossbandError(f"no gallery at {folder}; crossband index makes one") from None
    except OSError as error:
        raise CrossbandError(f"the gallery {folder} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise DamagedFileError(
            f"no gallery: {path} is damaged; index into another", parameter="gallery"
        ) from None
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise CrossbandError(f"{folder} holds no gallery that this version reads; index it again")
    dtype, scale = metadata.get("dtype"), metadata.get("scale")
    number = scale if isinstance(scale, int | float) and not isinstance(scale, bool) else -1
    scaled = 0 < number < 1e30 if dtype == "int8" else number == 0
    if dtype not in _DTYPES or not scaled or not isinstance(metadata.get("crossband"), str):
        raise DamagedFileError(
            f"no gallery: {path} does not say dtype, scale and version as crossband writes them; "
            "index into another",
            parameter="gallery",
        )
    return metadata


class _Quantized:
    """int8 rows as the values they stand for."""

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
    local: bool = False,
) -> Added:
    """Add the images of frames to a gallery, creating it where it does not exist.

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
        local: keep the local features of the images too, about 100 kB each, so that searches are re-ranked
            without the images; only images that are added now.

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
    if not is_text(os.path.realpath(frames.root)):
        raise CrossbandError(
            f"a gallery keeps paths as UTF-8, and the folder {os.fsencode(frames.root)!r} is none; rename it"
        )
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
        return opened.add(frames, kept, store=work, workers=workers, local=local)


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
            note(
                f"no {band.value} image can be used; {band.value} queries are best given images to calibrate by"
            )
    means = {**(descriptor.means or {}), **embedding.means()} if descriptor.center else None
    descriptor = replace(descriptor, means=means)
    try:
        sample = _sample(embedding, descriptor, kept)
        return Gallery.create(folder, descriptor, sample, dtype or "float32", kept)
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
    rerank: int = DEFAULT_RERANK,
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
        rerank: how many of the nearest are compared once more, by local features; 0 leaves their order.
    """
    opened = Gallery.open(gallery, options)
    finish = None
    if calibrate is not None:
        images = [{"frame": key, band: path.name} for key, path in images_by_stem(Path(calibrate)).items()]
        if not images:
            raise CrossbandError(f"no images in {calibrate} to calibrate with")
        sample = Frames.make(images, calibrate)
        sample = sample if units is None else sample.assign(tir_units=units)
        finish = opened.calibrated(band, sample, store=store)
    return opened.search(
        image, k, band=band, where=where, units=units, finish=finish, max_memory=max_memory, rerank=rerank
    )


def query_image(
    name: str, band: str, frames: str | Path | None = None, units: str | None = None
) -> tuple[Path, str | None]:
    """Return the image file and units of a query: a path, or a frame's name in a manifest.

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


def _key(root: str, frame: str, band: Band) -> str:
    """Identifies an item: the folder that was indexed, the frame's name in it, the band."""
    return f"{root}|{frame}|{band.value}"


def _root(frames: Frames) -> str:
    """Identifies the folder that frames lie in: files of the same name under another one are other items."""
    return hashlib.blake2b(os.fsencode(os.path.realpath(frames.root)), digest_size=8).hexdigest()


@dataclass(frozen=True)
class _Item:
    """A frame's image of one band, by its row, and the row of the gallery that it is or will be."""

    row: int
    key: str
    content: str = ""


@dataclass(frozen=True)
class _There:
    """What a gallery holds.

    Attributes:
        digests: key -> content and metadata.
        paths: key -> path.
        by_path: (path, band) -> key.
        by_name: (frame, band) -> keys.
    """

    digests: dict[str, str]
    paths: dict[str, str]
    by_path: dict[tuple[str, str], str]
    by_name: dict[tuple[str, str], list[str]]

    @classmethod
    def of(cls, rows: GalleryStore) -> _There:
        table = rows.read(["key", "frame", "band", "path", "digest"]).to_pydict()
        by_name: dict[tuple[str, str], list[str]] = {}
        for key, frame, band in zip(table["key"], table["frame"], table["band"], strict=True):
            by_name.setdefault((frame, band), []).append(key)
        return cls(
            dict(zip(table["key"], table["digest"], strict=True)),
            dict(zip(table["key"], table["path"], strict=True)),
            {(p, b): k for k, p, b in zip(table["key"], table["path"], table["band"], strict=True)},
            by_name,
        )

    def compared(self, frames: Frames, band: Band) -> tuple[list[_Item], list[_Item]]:
        """The images of a band that are not here yet or have another content now, and those of which only name,
        path or metadata changed."""
        root, says = _root(frames), _metadata_digests(frames, band)
        own = [_key(root, name, band) for name in frames.names]
        taken = {key for key in own if key in self.digests}
        fresh, told = [], []
        rows = zip(own, frames.names, frames.paths(band), _resolved(frames, band), frames.units(), strict=True)
        for row, (key, name, path, resolved, units) in enumerate(rows):
            if path is None:
                continue
            near = self._known(key, name, resolved, band, taken)
            content = file_digest(path, units) if near else None
            key = next((k for k in near if self._is(k, resolved, content, own=key)), key)
            before, _, said = self.digests.get(key, "").partition("-")
            if content is None or content != before:
                fresh.append(_Item(row, key))
            elif said != says[row]:
                told.append(_Item(row, key, content))
        return fresh, told

    def _known(self, own: str, name: str, path: str, band: Band, taken: set[str]) -> list[str]:
        """The keys here that an image may have."""
        if own in self.digests:
            return [own]
        others = [self.by_path.get((path, band.value)), *self.by_name.get((name, band.value), ())]
        return [key for key in others if key is not None and key not in taken]

    def _is(self, key: str, path: str, content: str | None, own: str) -> bool:
        """Whether a row is of this image: of the same name and folder; the same file under another name; or a
        file that was moved, of the same name and content where nothing lies at the old path any more."""
        if key == own or self.paths[key] == path:
            return True
        moved = content is not None and self.digests[key].partition("-")[0] == content
        return moved and not Path(self.paths[key]).exists()


def _known_columns(frames: Frames, band: Band, contents: list[str], keys: list[str]) -> pa.Table:
    """All that a gallery keeps of frames, except the vectors."""
    schema = row_schema(1, "float32")
    schema = schema.remove(schema.get_field_index("vector"))
    table, says = frames.table, _metadata_digests(frames, band)
    columns: dict[str, object] = {
        "key": keys,
        "frame": frames.names,
        "band": [band.value] * len(frames),
        "path": _resolved(frames, band),
        "digest": [f"{content}-{said}" for content, said in zip(contents, says, strict=True)],
    }
    for name in METADATA:
        columns[name] = pa.array(table[name], from_pandas=True) if name in table else [None] * len(frames)
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _metadata_digests(frames: Frames, band: Band) -> list[str]:
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
        raise CrossbandError("the query's descriptor holds values that are NaN or beyond 65504; use normflat")
    return half.astype(np.float32)


def file_digest(path: Path, units: str | None) -> str | None:
    """Return the content digest of an image file, ``None`` when it cannot be read."""
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
    if options.rig and dict(options.rig) != dict(own.rig):
        raise _other(gallery, "view", "another view or turn", "these")
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
    """How many vectors of ``size`` dims are worked on together."""
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
        content = row["digest"].partition("-")[0]
        matches.append(
            Match(rank, row["frame"], row["band"], row["path"], float(distance), metadata, content=content)
        )
    return matches
