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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ... import __version__
from ...bands import Band, parse_band
from ...datasets import images_by_stem
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
from ..descriptor_cache import ArrayRows, Rows
from ..embed import BandEmbedding, embed, mean_vector
from ..hubs import Lifted, own_hubness
from ..rerank import DEFAULT_RERANK, LocalReader, SecondLook
from ..search import DEFAULT_MEMORY
from ..search_result import SearchResult, as_images
from ..sequence import check_length
from ..shipped import shipped_means
from .cells import CELLS, Centers
from .coding import CODES, ROW_BYTES, Coding, coder_bytes, coder_of, coding_of, stored_dtype
from .exact import Match, Part, matches_of, nearest, vectors_of
from .homes import DESCRIPTOR, METADATA_FILE, Home, home_of, taken
from .items import Indexed, Item, known_columns
from .lance import PROBES, GalleryStore, row_schema
from .memory import STREAM_BYTES, Codes, Whole, load
from .metadata import FORMAT, check_dtype, read_metadata
from .walk import found_together, natural

__all__ = ["Added", "Gallery", "Match", "rows_at_once", "search"]

_BATCH = 1000
_BATCH_BYTES = 128 << 20  # of pooled vectors: flattened maps are added in smaller batches
_EXACT_BELOW = 1_000_000  # rows
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
        self._memory: Whole | Codes | None = None
        self._said = False
        self._hubs: tuple[Rows, np.ndarray] | None = None
        self._chosen: dict[str, Any] | None = None

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
    def look(self) -> SecondLook | None:
        """Return what re-ranks its lists, or ``None``."""
        return SecondLook.of(self.descriptor)

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
        folder = self.local_folder
        if local and folder is None:
            raise CrossbandError(
                f"local features are kept in folders alone, not at {self.home}; leave them out",
                parameter="local",
            )
        look = self.look if local or (folder is not None and folder.is_dir()) else None
        there = Indexed.of(self.rows)
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
                    local_store=folder,
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
        tensor = self.descriptor.preprocess(as_image(image, band, units), band)
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
        first = rerank if self.look is not None else 0
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
            result.found[:] = self._together(
                np.stack(vectors), result.found, sequence, k, where, csls, max_memory
            )
        result.found[:] = [matches[:k] for matches in result.found]
        return result

    def _together(
        self,
        vectors: np.ndarray,
        compared: list[list[Match]],
        length: int,
        k: int,
        where: str | None,
        csls: bool,
        max_memory: int,
    ) -> list[list[Match]]:
        """The matches of queries in time, by all of them."""
        if not self._fits(max_memory):
            raise CrossbandError(
                f"sequences are searched in memory, and {self.home} does not fit; allow more",
                parameter="max_memory",
            )
        loaded = self.loaded()
        if not isinstance(loaded, Whole):
            raise CrossbandError(
                f"sequences are not searched by codes, as {self.home} keeps", parameter="sequence"
            )
        keep = None if where is None else loaded.mask(where)
        known, rows = loaded.table.to_pandas(), loaded.rows
        if csls:
            vectors = np.concatenate([vectors, np.zeros((len(vectors), 1), np.float32)], 1)
            rows = self._lifted(rows, max_memory)
        if keep is not None:
            chosen = np.flatnonzero(keep)
            known, rows = known.iloc[chosen], ArrayRows(rows.take(chosen))
        return found_together(vectors, known, rows, compared, length, k, max_memory)

    def _lifted(self, rows: Rows, max_memory: int) -> Lifted:
        """All rows, each with a coordinate for how near it is to its neighbors in the gallery."""
        if self._hubs is None or self._hubs[0] is not rows:
            self._hubs = rows, own_hubness(rows, max_memory=max_memory)
        return Lifted(rows, self._hubs[1])

    def _fits(self, max_memory: int, n: int | None = None) -> bool:
        """Whether the rows fit into memory beside what a search of them needs."""
        tiles = max(max_memory // 4, 64 * self.rows.size)
        each = self.coding.in_memory(self.rows.size)
        return (self.rows.count() if n is None else n) * each <= max_memory - tiles

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
        found, squared = self._nearest(vector, k, where, exact, max_memory, csls)
        return matches_of(found.to_pandas(), np.sqrt(np.maximum(squared, 0)))

    def _nearest(
        self,
        vector: np.ndarray,
        k: int,
        where: str | None,
        exact: bool | None,
        max_memory: int,
        csls: bool = False,
    ) -> tuple[pa.Table, np.ndarray]:
        """What is known of the nearest rows, and their squared distances."""
        if k < 1:
            raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
        if len(vector) != self.rows.size:
            raise CrossbandError(
                f"dimension mismatch: expected {self.rows.size}, got {len(vector)}; "
                "the query and the gallery must use one model"
            )
        if not (n := self.rows.count()):
            raise CrossbandError(f"the gallery {self.home} is empty; crossband index fills it")
        fits = self._fits(max_memory, n)
        way = "csls" if csls else self._way(n, fits, exact)
        if csls:
            self._check_csls(fits)
        loaded = self.loaded(way == "cells") if way in ("memory", "csls", "cells", "codes") else None
        keep = None if where is None or loaded is None else loaded.mask(where)
        if where is not None and not (self.rows.count(where) if keep is None else keep.any()):
            raise CrossbandError(
                f"nothing to search in {self.home}: no item fulfils {where!r}; choose another condition",
                parameter="where",
            )
        tiles = max(max_memory // 4, 64 * self.rows.size)
        if way == "disk":
            return nearest(vector, self._from_disk(where, tiles), k, tiles)
        if loaded is None:
            found = self.rows.search(vector, k, where, self._probes or PROBES)
            gone = [name for name in ("_distance", "vector") if name in found.column_names]
            return found.drop_columns(gone), found["_distance"].to_numpy()
        if isinstance(loaded, Codes) or way == "cells":
            return loaded.search(vector, k, self._probes, where)
        if csls:
            lifted, query = self._lifted(loaded.rows, tiles), np.append(vector, np.float32(0))
            return nearest(query, [(loaded.table, lifted, keep)], k, tiles)
        return nearest(vector, [(loaded.table, loaded.rows, keep)], k, tiles)

    def _check_csls(self, fits: bool) -> None:
        if self.coding.coder is not None:
            raise CrossbandError(f"CSLS is not for codes, as {self.home} keeps; leave it out", parameter="csls")
        if not fits:
            raise CrossbandError(
                f"CSLS is searched in memory, and {self.home} does not fit; allow more, or leave it out",
                parameter="max_memory",
            )

    def keys(
        self, vector: np.ndarray, k: int, where: str | None, exact: bool | None, max_memory: int
    ) -> list[str]:
        """Return the keys of what :meth:`nearest` finds."""
        return self._nearest(vector, k, where, exact, max_memory)[0]["key"].to_pylist()

    def way(self, max_memory: int = DEFAULT_MEMORY) -> str:
        """Return how a search is done.

        ``memory`` or ``disk``, exactly; by ``cells``, ``codes`` or the engine's ``index``; or by a ``server``.
        """
        n = self.rows.count()
        return self._way(n, self._fits(max_memory, n), None)

    def fits(self, max_memory: int) -> bool:
        """Return whether the gallery fits into so many bytes, with what a search of it needs."""
        return self._fits(max_memory)

    def forget(self) -> None:
        """Drop what is in memory, as when another way of searching was chosen."""
        self._memory = self._chosen = None

    def _way(self, n: int, fits: bool, exact: bool | None) -> str:
        """How a search is done: ``memory``, ``cells``, ``codes``, ``disk``, ``index`` or ``server``."""
        if self.rows.serves:
            return "server"
        if self.coding.coder is not None and fits and exact is not True:
            return "codes"
        whole = "memory" if fits else "disk"
        if exact or (exact is None and fits and n < _EXACT_BELOW):
            return whole
        if fits and self._tuned().get("cells"):
            return "cells"
        if self.rows.indexed() or (exact is False and not self.coding.scale):
            return "index"
        if exact is False:
            raise CrossbandError(f"the {self.coding.dtype} gallery {self.home} has no index; leave exact out")
        if not fits and not self.coding.scale:
            note(
                f"{self.home} is read from disk for every search; "
                "an index makes it fast; crossband gallery optimize builds it"
            )
        return whole

    def _tuned(self) -> dict[str, Any]:
        """What ``crossband gallery optimize`` chose; read again with the rows."""
        if self._chosen is None:
            self._chosen = read_metadata(self.home).get("search") or {}
        return self._chosen

    @property
    def _probes(self) -> int | None:
        probes = self._tuned().get("probes")
        return probes if isinstance(probes, int) and probes > 0 else None

    def _height(self, memory: int = STREAM_BYTES) -> int:
        """How many rows are read at a time."""
        each = self.rows.size * (1 if self.coding.scale else 4)
        return max(1, min(memory, STREAM_BYTES) // (each + ROW_BYTES))

    def _from_disk(self, where: str | None, memory: int) -> Iterator[Part]:
        """The rows that match a condition, some at a time."""
        for batch in self.rows.stream(row_schema(1, "float32").names, self._height(memory), where):
            yield batch.drop_columns(["vector"]), self.coding.values(vectors_of(batch)), None

    def loaded(self, cells: bool = False) -> Whole | Codes:
        """Return all rows in memory, loaded again only after a change, or where they are wanted in cells."""
        version = self.rows.version()
        while (
            self._memory is None or self._memory.version != version or (cells and self._memory.centers is None)
        ):
            self._memory = self._chosen = None
            self._memory = load(self.rows, self.coding, self._centers(cells), self._height())
            version = self.rows.version()
        return self._memory

    def _centers(self, wanted: bool) -> Centers | None:
        """The centers of the cells that rows are sorted by: where they are wanted, or of many codes."""
        many = self.coding.coder is not None and self.rows.count() >= _EXACT_BELOW
        data = self.home.read_file(CELLS) if (wanted or many) and self._tuned().get("cells") else None
        return None if data is None else Centers.of_bytes(data, self.rows.size)

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


def search(
    images: Any,
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
    sequence: int | None = None,
    csls: bool = False,
) -> SearchResult:
    """Search a gallery by one image or many; see :meth:`Gallery.search`.

    Args:
        images: the query, or several; a path, an array or a PIL image each; or a folder of images, in the order
            of their names.
        band: the query's band.
        where: a condition on the metadata.
        units: of a thermal query's pixels, and of those of ``calibrate``.
        calibrate: a folder of images of the query's band, when the gallery has no mean of it.
        store: the folder of the descriptor store, for those images; without it, a temporary one.
        options: where weights lie, and the device.
        max_memory: bytes that the gallery may take in memory.
        rerank: how many of the nearest are compared once more, by local features; 0 leaves their order.
        sequence: the images are frames in time, and so many are looked at together.
        csls: take off each item how near it is to everything; see :mod:`crossband.retrieval.hubs`.
    """
    if isinstance(images, str | Path) and Path(images).is_dir():
        inside = images_by_stem(Path(images))
        if not inside:
            raise CrossbandError(f"no images in {images} to search by")
        images = [inside[stem] for stem in sorted(inside, key=natural)]
    opened = Gallery.open(gallery, options)
    finish = None
    if calibrate is not None:
        rows = [{"frame": key, band: path.name} for key, path in images_by_stem(Path(calibrate)).items()]
        if not rows:
            raise CrossbandError(f"no images in {calibrate} to calibrate with")
        sample = Frames.make(rows, calibrate)
        sample = sample if units is None else sample.assign(tir_units=units)
        finish = opened.calibrated(band, sample, store=store)
    return opened.search(
        images,
        k,
        band=band,
        where=where,
        units=units,
        finish=finish,
        max_memory=max_memory,
        rerank=rerank,
        sequence=sequence,
        csls=csls,
    )


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
