"""A gallery: descriptors kept on disk to be searched, with the model that made them.

A gallery is ``descriptor.safetensors`` (encoder, weights' hash, layer, pooling, preprocessing, axes and the
means of every band), ``gallery.json`` and the rows (:mod:`.lance`), in a folder or elsewhere (:mod:`.homes`). A
query is described by what lies there, so it can never be described differently from the gallery.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ... import __version__
from ...bands import Band, parse_band
from ...engines import IN_PROCESS, Engine
from ...errors import CrossbandError, ImageFault
from ...frames import Frames
from ...io import as_image
from ...progress import Progress, note, track
from ...results import Result
from ..descriptor import (
    DEFAULT_OPTIONS,
    Descriptor,
    Finish,
    Options,
    descriptor_metadata,
    read_descriptor,
)
from ..descriptor_cache import ArrayRows
from ..embed import BandEmbedding, embed, mean_vector
from ..rerank import DEFAULT_RERANK, LocalReader, Reranking
from ..search import DEFAULT_MEMORY
from ..search_result import SearchResult, as_images
from ..sequence import check_length
from ..shipped import shipped_means
from .coding import CODES, Coding, coder_bytes, coder_of, coding_of, stored_dtype
from .exact import Match, matches_of
from .finder import Finder
from .homes import DESCRIPTOR, METADATA_FILE, Home, home_of, taken
from .items import Indexed, Item, known_columns
from .lance import GalleryStore, row_schema
from .metadata import FORMAT, check_dtype, read_metadata

__all__ = ["Added", "Gallery", "Match", "rows_at_once"]

_BATCH = 1000
_BATCH_BYTES = 128 << 20  # of pooled vectors: flattened maps are added in smaller batches
_LEAST_FOR_A_MEAN = 5  # images; with one, RoadScene loses 4 points at worst, with five one


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
        home: where it lives; as text, its address.
        descriptor: what its rows were made with, band means included.
        rows: its rows.
        coding: how numbers are kept.
    """

    def __init__(self, home: Home, descriptor: Descriptor, rows: GalleryStore, coding: Coding) -> None:
        self.home, self.descriptor, self.rows, self.coding = home, descriptor, rows, coding
        self.finder = Finder(home, rows, coding)
        self._said = False

    @classmethod
    def create(
        cls,
        gallery: str | Path,
        descriptor: Descriptor,
        sample: np.ndarray,
        dtype: str = "float32",
        bands: Iterable[Band] = (),
    ) -> Gallery:
        """Create an empty gallery for a descriptor that already has its band means.

        Args:
            gallery: a folder or another address (:func:`.homes.home_of`) that holds none.
            descriptor: with its means.
            sample: some final vectors ``(n, k)``, which tell the size, the range of int8 values and the codes.
            dtype: ``float32``, ``float16``, ``int8``, ``pq`` or ``binary`` (:mod:`.coding`).
            bands: those it is meant to keep.

        Raises:
            CrossbandError: the address is taken or cannot be written, or an unknown dtype.
        """
        check_dtype(dtype)
        home = home_of(gallery)
        coding = coding_of(dtype, sample)
        metadata: dict[str, object] = {"format": FORMAT, "crossband": __version__, "dtype": dtype}
        metadata |= {"scale": coding.scale, "size": sample.shape[1], "bands": [band.value for band in bands]}
        with tempfile.TemporaryDirectory() as work:
            files = {DESCRIPTOR: descriptor.save(Path(work) / DESCRIPTOR).read_bytes()}
        if coding.coder is not None:
            files[CODES] = coder_bytes(coding.coder)
        home.create(files, metadata)
        return cls(home, descriptor, home.rows(metadata), coding)

    @classmethod
    def open(cls, gallery: str | Path, options: Options = DEFAULT_OPTIONS) -> Gallery:
        """Open a gallery; only the options weights and device count, the rest is the gallery's own.

        Args:
            gallery: a folder, ``s3://BUCKET/PREFIX`` (``gs://``, ``az://``) or ``milvus://HOST:PORT/NAME``.
            options: where weights lie, and the device.

        Raises:
            CrossbandError: no gallery, a damaged one, or weights other than those that made it.
        """
        home = home_of(gallery)
        metadata, rows = _opened(home)
        with home.file(DESCRIPTOR) as path:
            descriptor = read_descriptor(path, options)
        if descriptor.axes is not None:
            size = descriptor.axes.shape[1]
        else:
            size = len(next(iter((descriptor.means or {}).values()), np.empty(rows.size)))
        if size != rows.size:
            raise CrossbandError(
                f"{home}/{DESCRIPTOR} makes vectors of {size} dims, the gallery's rows have "
                f"{rows.size}; one of them belongs to another gallery"
            )
        coder = coder_of(home.read_file(CODES), metadata["dtype"], rows.size) if _coded(metadata) else None
        return cls(home, descriptor, rows, Coding(metadata["dtype"], float(metadata["scale"]), coder))

    @staticmethod
    def open_rows(gallery: str | Path) -> GalleryStore:
        """Open the rows of a gallery alone, for work that needs no model.

        Raises:
            CrossbandError: no gallery there, or a damaged one.
        """
        return _opened(home_of(gallery))[1]

    @staticmethod
    def copy(source: str | Path, target: str | Path) -> int:
        """Copy a gallery to another address, as from a folder to a server; return the number of its rows.

        Local features are not copied. A copy that was stopped is completed by beginning it again.

        Raises:
            CrossbandError: no gallery at the source, or another one at the target.
        """
        home, to = home_of(source), home_of(target)
        metadata, rows = _opened(home)
        metadata["size"] = rows.size
        files = {name: data for name in (DESCRIPTOR, CODES) if (data := home.read_file(name)) is not None}
        if not to.exists():
            to.create(files, {name: value for name, value in metadata.items() if name != "search"})
        elif {name: to.read_file(name) for name in files} != files or (
            read_metadata(to)["dtype"] != metadata["dtype"]
        ):
            raise taken(to)
        copied = to.rows(metadata)
        with Progress(n := rows.count(), "copying", "rows") as progress:
            for batch in rows.stream(row_schema(1, "float32").names, rows_at_once(rows.size)):
                copied.upsert(batch)
                progress.advance(len(batch))
        return n

    @staticmethod
    def info(gallery: str | Path) -> dict[str, object]:
        """Return what a gallery holds and what made it; no model is loaded."""
        home = home_of(gallery)
        metadata, rows = _opened(home)
        with home.file(DESCRIPTOR) as path:
            made_by = descriptor_metadata(path)
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
            "gb_per_million": _gb_per_million(home, metadata, rows),
            "search": metadata.get("search"),
            "crossband": metadata["crossband"],
        }

    def bands(self, among: list[Band]) -> list[Band]:
        """Return those of some bands that the gallery is meant to keep, by its own record.

        Where a run was stopped between two, rows of one may be missing altogether.
        """
        meant = read_metadata(self.home).get("bands")
        if meant is None:  # of a version that kept no record
            return [band for band in among if self.rows.count(f"band = '{band.value}'")] or among
        return [band for band in among if band.value in meant] or among

    def keep_bands(self, bands: list[Band]) -> None:
        """Enter bands into the gallery's record, before the first of their rows is written."""
        with self.home.alone():
            metadata = read_metadata(self.home)
            meant = metadata.get("bands") or [b.value for b in Band if self.rows.count(f"band = '{b.value}'")]
            both = [band.value for band in Band if band.value in meant or band in bands]
            if both != metadata.get("bands"):
                self.home.write_file(METADATA_FILE, json.dumps({**metadata, "bands": both}).encode())

    def __len__(self) -> int:
        return self.rows.count()

    @functools.cached_property
    def reranking(self) -> Reranking | None:
        """Return what re-ranks its lists, or ``None``."""
        return Reranking.of(self.descriptor)

    @property
    def local_folder(self) -> Path | None:
        """Where local features of its images are kept, if they are; ``None`` where it lives in no folder."""
        return None if self.home.folder is None else self.home.folder / "local"

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
        if self.reranking is None or not matches or first < 1:
            return matches
        some, rest = matches[:first], matches[first:]
        reader = LocalReader(self.reranking, self.local_folder)
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
        within = all(parse_band(match.band) == parse_band(band) for match in some)
        verdict = reader.judge(asked, found, np.array([m.distance for m in some]), within)
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
        engine: Engine = IN_PROCESS,
    ) -> Added:
        """Add the images of frames, or replace those whose content changed, batch by batch.

        Each batch is all or nothing. Where only the path or the metadata changed, the vector stays and nothing
        is computed. Several processes may add at once.

        Args:
            frames: what to add.
            bands: which of their bands.
            store: the folder of the descriptor store, where a killed run continues.
            local: also keep the local features of what is added; a gallery that keeps some keeps all.
            engine: who describes the images.
        """
        self.keep_bands(bands)
        folder = self.local_folder
        if local and folder is None:
            raise CrossbandError(
                f"local features are kept in folders alone, not at {self.home}; leave them out",
                parameter="local",
            )
        reranking = self.reranking if local or (folder is not None and folder.is_dir()) else None
        there = Indexed.of(self.rows, frames, bands)
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
                    reranking=reranking,
                    local_store=folder,
                    engine=engine,
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
            step = rows_at_once(part.pooled.shape[1])
            for start in range(0, n, step):
                chosen = np.arange(start, min(start + step, n))
                new, old = self.rows.upsert(self._table(frames, part, chosen, keys))
                added, replaced = added + new, replaced + old
                progress.advance(len(chosen))
        return added, replaced

    def _tell(self, frames: Frames, band: Band, told: list[Item]) -> None:
        """Set name, path and metadata of rows whose images are as they were."""
        for start in range(0, len(told), _BATCH):
            some = told[start : start + _BATCH]
            part = frames.select(np.array([item.row for item in some], int))
            contents, keys = [item.content for item in some], [item.key for item in some]
            self.rows.update(known_columns(part, band, contents, keys))

    def delete(self, where: str) -> int:
        """Delete the rows whose metadata match a condition; return their number."""
        return self.rows.delete(where)

    def describe(
        self, image: Any, band: Band | str, units: str | None = None, finish: Finish | None = None
    ) -> np.ndarray:
        """Describe one image as the gallery does: its final vector ``(k,)``.

        See :func:`crossband.io.as_image` for what an image may be.

        Raises:
            ImageFault: the image cannot be used.
            CrossbandError: the gallery centers its bands and knows no mean of this one.
        """
        band = parse_band(band)
        preprocess = self.descriptor.preprocess
        tensor = preprocess(as_image(image, band, units, preprocess.least(band)), band)
        return self.described(tensor[None], band, finish)[0]

    def described(self, tensors: torch.Tensor, band: Band, finish: Finish | None = None) -> np.ndarray:
        """Describe preprocessed images of one band in one pass of the network: final vectors ``(n, k)``."""
        pooled = _as_stored(self.descriptor.pooled(tensors).numpy())
        return (finish or self._finish(band))(pooled, band)

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
                f"comes with crossband; {_LEAST_FOR_A_MEAN} images of the query's camera or more "
                "to calibrate from, or frames with both bands in the gallery, find more"
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
                    f"the folder to calibrate from has {len(different)} different {band.value} images, too few "
                    f"for a mean (that of one image is the image itself); give {_LEAST_FOR_A_MEAN} or more, "
                    "of other places than the query's, or leave it out",
                    parameter="calibrate",
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
        sequence: int | None = None,
        csls: bool = False,
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
            sequence: the images are frames in time, and so many are looked at together
                (:mod:`crossband.retrieval.sequence`); the gallery's items are in time by their columns
                ``sequence`` and ``time``, or by their names.
            csls: see :meth:`nearest`.

        Raises:
            ImageFault: no image can be used; where others can, those that cannot are the result's faults.
            CrossbandError: as :meth:`nearest`.
        """
        if k < 1:
            raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
        asked = as_images(images)
        names = [str(one) if isinstance(one, str | Path) else f"image {n}" for n, one in enumerate(asked, 1)]
        if sequence is not None:
            check_length(sequence)
        result = SearchResult([], parse_band(band).value, [], [])
        first = rerank if self.reranking is not None else 0
        vectors: list[np.ndarray] = []
        for name, given in zip(names, track(asked, len(asked), "searching", "images"), strict=True):
            try:
                one = given if isinstance(given, str | Path) else as_image(given, band, units)
                vector = self.describe(one, band, units, finish)
            except ImageFault as fault:
                result.faults.append(fault)
                continue
            vectors.append(vector)
            matches = self.nearest(vector, max(k, first), where, max_memory=max_memory, csls=csls)
            result.found.append(self.rerank(one, band, matches, first, units) if first else matches)
            result.queries.append(name)
            result.images.append(one)
        if result.faults and not result.queries:
            raise result.faults[0]
        if sequence is not None and len(vectors) > 1:
            result.found[:] = self.finder.together(
                np.stack(vectors), result.found, result.band, sequence, k, where, csls, max_memory
            )
        result.found[:] = [matches[:k] for matches in result.found]
        return result

    def nearest(
        self,
        vector: np.ndarray,
        k: int = 10,
        where: str | None = None,
        exact: bool | None = None,
        max_memory: int = DEFAULT_MEMORY,
        csls: bool = False,
    ) -> list[Match]:
        """Return the ``k`` items nearest to a final vector, nearest first.

        Exact, from memory where the gallery fits into ``max_memory`` and from disk, some rows at a time, where
        it does not. From a million rows on, the cells that ``crossband gallery optimize`` made serve
        a gallery that fits, and the engine's index one that does not. Galleries of codes are searched by these,
        and on a server by the server. All but whole rows in memory are candidates, which are measured again.

        Args:
            vector: ``(k,)``, as :meth:`describe` gives it.
            k: how many.
            where: an SQL condition on the metadata, as in ``camera = 'north'``; it filters before the search.
            exact: choose by hand.
            max_memory: bytes that the gallery may take in memory.
            csls: order by CSLS, which undoes hubs; the items themselves stand for queries, and a distance then
                holds what was taken off. The gallery has to fit into memory.

        Raises:
            CrossbandError: an empty gallery, a condition that cannot be read, or one that nothing matches.
        """
        found, squared = self.finder.nearest(vector, k, where, exact, max_memory, csls)
        return matches_of(found.to_pandas(), np.sqrt(np.maximum(squared, 0)))

    def _table(self, frames: Frames, part: BandEmbedding, chosen: np.ndarray, keys: list[str]) -> pa.Table:
        """The rows of some images, as the store keeps them."""
        vectors = self.descriptor.finish(None)(part.pooled.take(chosen), part.band)
        vectors = self.coding.stored(vectors)
        mine = frames.select(part.positions[chosen])
        positions = part.positions[chosen]
        contents, own = [part.digests[i] for i in chosen], [keys[row] for row in positions]
        known = known_columns(mine, part.band, contents, own)
        numbers = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        schema = row_schema(vectors.shape[1], stored_dtype(self.coding.dtype))
        return known.append_column(schema.field("vector"), numbers)


def _gb_per_million(home: Home, metadata: dict[str, Any], rows: GalleryStore) -> dict[str, float | None]:
    """What a million items take in memory when they are searched, and on the disk, as these do; in GB.

    The disk is measured in a folder, and not known elsewhere.
    """
    coder = coder_of(home.read_file(CODES), metadata["dtype"], rows.size) if _coded(metadata) else None
    memory = Coding(metadata["dtype"], float(metadata["scale"]), coder).in_memory(rows.size)
    disk, n = None, rows.count()
    if home.folder is not None and n:
        disk = (
            sum(path.stat().st_size for path in (home.folder / "rows.lance").rglob("*") if path.is_file()) / n
        )
    return {"memory": round(memory / 1000, 3), "disk": None if disk is None else round(disk / 1000, 3)}


def _coded(metadata: dict[str, Any]) -> bool:
    return metadata["dtype"] in ("pq", "binary")


def _opened(home: Home) -> tuple[dict[str, Any], GalleryStore]:
    """What a gallery says of itself, and its rows."""
    metadata = read_metadata(home)
    rows = home.rows(metadata)
    if rows.dtype != stored_dtype(metadata["dtype"]):
        raise CrossbandError(
            f"{home}/{METADATA_FILE} says {metadata['dtype']}, the rows are {rows.dtype}; "
            "one of them belongs to another gallery"
        )
    return metadata, rows


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


def rows_at_once(size: int) -> int:
    """Tell how many vectors of ``size`` dims are worked on together."""
    return max(1, min(_BATCH, _BATCH_BYTES // (4 * size)))
