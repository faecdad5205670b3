"""A gallery: descriptors kept on disk to be searched, with the model that made them.

A gallery is a folder: ``descriptor.safetensors`` (encoder, weights' hash, layer, pooling, preprocessing,
axes and the means of every band), ``gallery.json`` and the rows (:mod:`.gallery_store`). A query is
described by what lies in the folder, so it can never be described differently from the gallery.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from .. import __version__
from ..bands import Band, parse_band
from ..datasets import open_frames
from ..datasets._registry import images_by_stem
from ..errors import CrossbandError, ImageFault, unknown_name
from ..frames import Frames
from ..io import read_bytes, read_image
from ..progress import Progress
from .descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    Descriptor,
    Finish,
    Options,
    descriptor_account,
    read_descriptor,
)
from .embed import BandEmbedding, Embedding, content_digest, embed, mean_vector
from .gallery_store import METADATA, GalleryStore, LanceStore, row_schema
from .search import exact_search
from .store import ArrayRows, Rows

__all__ = ["Added", "Gallery", "Match", "index", "search"]

_FORMAT = "crossband-gallery-1"
_BATCH = 1000
_BATCH_BYTES = 128 << 20  # of pooled vectors: flattened maps are added in smaller batches
_EXACT_UP_TO = 1_000_000


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


@dataclass(frozen=True)
class Added:
    """What an addition did.

    Attributes:
        added: rows that are new or replaced; ``unchanged`` were there with the same content.
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
        store: its rows.
    """

    def __init__(self, folder: Path, descriptor: Descriptor, store: GalleryStore, scale: float) -> None:
        self.folder, self.descriptor, self.store = folder, descriptor, store
        self._scale = scale  # 0 for float32 rows; else int8 = round(scale * number)
        self._memory: tuple[object, pd.DataFrame, Rows] | None = None

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
        if dtype not in ("float32", "int8"):
            raise CrossbandError(f"a gallery keeps float32 or int8, not {dtype!r}")
        if (folder / "gallery.json").exists():
            raise CrossbandError(f"{folder} holds a gallery already; choose another --gallery")
        scale = 127 / max(float(np.quantile(np.abs(sample), 0.9999)), 1e-12) if dtype == "int8" else 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor.save(folder / "descriptor.safetensors")
            store = LanceStore(folder / "rows.lance", row_schema(sample.shape[1], dtype))
            account = {"format": _FORMAT, "crossband": __version__, "dtype": dtype, "scale": scale}
            partial = folder / ".gallery.json"
            partial.write_text(json.dumps(account))
            partial.replace(folder / "gallery.json")
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {folder} ({error.strerror})") from None
        return cls(folder, descriptor, store, scale)

    @classmethod
    def open(cls, folder: str | Path, options: Options = DEFAULT_OPTIONS) -> Gallery:
        """Open a gallery; of the options, only weights and device count: the rest is the gallery's own.

        Raises:
            CrossbandError: no gallery, a damaged one, or weights other than those that made it.
        """
        folder, account = Path(folder), read_account(folder)
        descriptor = read_descriptor(folder / "descriptor.safetensors", options)
        return cls(folder, descriptor, LanceStore(folder / "rows.lance"), float(account["scale"]))

    @staticmethod
    def open_store(folder: str | Path) -> GalleryStore:
        """The rows of a gallery alone, for work that needs no model.

        Raises:
            CrossbandError: no gallery there.
        """
        read_account(folder)
        return LanceStore(Path(folder) / "rows.lance")

    @staticmethod
    def info(folder: str | Path) -> dict[str, object]:
        """What a gallery holds and what made it; no model is loaded."""
        account, store = read_account(folder), Gallery.open_store(folder)
        made_by = descriptor_account(Path(folder) / "descriptor.safetensors")
        bands = {band.value: store.count(f"band = '{band.value}'") for band in Band}
        return {
            "items": store.count(), "bands": {band: n for band, n in bands.items() if n},
            "model": made_by["name"], "encoder": made_by["encoder"], "layer": made_by["layer"],
            "pooling": made_by["pooling"], "centre": made_by["centre"], "weights": made_by["weights"],
            "preprocess": made_by["preprocess"], "dtype": account["dtype"], "crossband": account["crossband"],
        }  # fmt: skip

    def __len__(self) -> int:
        return self.store.count()

    def add(self, frames: Frames, bands: list[Band], *, store: str | Path, workers: int | None = None) -> Added:
        """Add the images of frames, or replace those whose content changed, in batches that are each all
        or nothing; what is there already with the same content is left alone.

        Args:
            frames: what to add.
            bands: which of their bands.
            store: the folder of the descriptor store, where a killed run continues.
        """
        known = self.store.read(["key", "digest"])
        there = dict(zip(known["key"].to_pylist(), known["digest"].to_pylist(), strict=True))
        added, unchanged, faults = 0, 0, []
        for band in bands:
            fresh = _changed(frames, band, there)
            unchanged += int(frames.table[band.value].notna().sum()) - len(fresh)
            if len(fresh):
                embedding = embed(fresh, self.descriptor, [band], store=store, workers=workers, required=False)
                faults += embedding.faults
                if band in embedding.bands:
                    added += self._add_rows(fresh, embedding.bands[band], there)
        return Added(added, unchanged, faults)

    def _add_rows(self, frames: Frames, part: BandEmbedding, there: Container[str]) -> int:
        names = frames.table["frame"].iloc[part.positions]
        keys = [_key(name, part.band) for name in names]
        with Progress(len(keys), "adding", "rows") as progress:
            step = _rows_at_once(part.pooled.shape[1])
            for start in range(0, len(keys), step):
                chosen = np.arange(start, min(start + step, len(keys)))
                rows = self._table(frames, part, keys, chosen)
                if any(keys[i] in there for i in chosen):
                    self.store.upsert(rows)
                else:
                    self.store.add(rows)
                progress.advance(len(chosen))
        return len(keys)

    def delete(self, where: str) -> int:
        """Delete the rows that fulfil a condition on the metadata; gives their number."""
        return self.store.delete(where)

    def describe(
        self, path: str | Path, band: Band | str, units: str | None = None, finish: Finish | None = None
    ) -> np.ndarray:
        """The final vector ``(k,)`` of one image, made as the gallery's own.

        Raises:
            ImageFault: the image cannot be used.
            CrossbandError: the gallery centres its bands and knows no mean of this one.
        """
        band = parse_band(band)
        tensor = self.descriptor.preprocess(read_image(path, band, units), band)
        pooled = self.descriptor.pooled(tensor[None]).numpy()
        return (finish or self.descriptor.finish(None))(pooled, band)[0]

    def calibrated(self, band: Band | str, images: Frames, *, store: str | Path) -> Finish:
        """What finishes vectors of a band that the gallery has no mean of, learned from some images of it."""
        band = parse_band(band)
        part = embed(images, self.descriptor, [band], store=store).bands[band]
        return self.descriptor.finish({band: mean_vector(part.pooled)})

    def search(
        self, vector: np.ndarray, k: int = 10, where: str | None = None, exact: bool | None = None
    ) -> list[Match]:
        """The ``k`` items nearest to a final vector, nearest first.

        Exact from memory up to a million rows; above that by the store's index, whose candidates are
        measured again.

        Args:
            vector: ``(k,)``, as :meth:`describe` gives it.
            k: how many.
            where: an SQL condition on the metadata, as in ``camera = 'north'``; it filters before the search.
            exact: choose by hand.

        Raises:
            CrossbandError: an empty gallery, a condition that cannot be read, or one nothing fulfils.
        """
        if k < 1:
            raise CrossbandError(f"-k is at least 1, not {k}")
        if not self.store.count():
            raise CrossbandError(f"nothing to search in {self.folder}: it is empty; crossband index fills it")
        if where is not None and not self.store.count(where):
            raise CrossbandError(f"nothing to search in {self.folder}: no item fulfils --where {where!r}")
        if exact is None:
            exact = self._scale > 0 or self.store.count() <= _EXACT_UP_TO
        if not exact:
            found = self.store.search(vector, k, where)
            distances = np.sqrt(np.maximum(found["_distance"].to_numpy(), 0))
            return _matches(found.drop_columns(["vector", "_distance"]).to_pandas(), distances)
        table, gallery = self._in_memory()
        keep = None
        if where is not None:
            keep = table["key"].isin(set(self.store.read(["key"], where)["key"].to_pylist())).to_numpy()
        distances, rows = exact_search(ArrayRows(vector[None]), gallery, k, keep=keep)
        return _matches(table.iloc[rows[0]], distances[0])

    def _in_memory(self) -> tuple[pd.DataFrame, Rows]:
        """All rows, loaded again only after a change."""
        version = self.store.version()
        if self._memory is None or self._memory[0] != version:
            rows = self.store.read(row_schema(1, "float32").names)
            vectors = rows["vector"].combine_chunks()
            matrix = vectors.values.to_numpy(zero_copy_only=False).reshape(len(rows), -1).copy()
            kept: Rows = _Quantised(matrix, self._scale) if self._scale else ArrayRows(matrix)
            self._memory = (version, rows.drop_columns(["vector"]).to_pandas(), kept)
        return self._memory[1], self._memory[2]

    def _table(self, frames: Frames, part: BandEmbedding, keys: list[str], chosen: np.ndarray) -> pa.Table:
        """The rows of some images, as the store keeps them."""
        mine = frames.select(part.positions[chosen])
        vectors = self.descriptor.finish(None)(part.pooled.take(chosen), part.band)
        if self._scale:
            vectors = np.clip(np.rint(vectors * self._scale), -127, 127).astype(np.int8)
        schema = row_schema(vectors.shape[1], "int8" if self._scale else "float32")
        known, told = mine.table, _metadata_digests(mine)
        columns: dict[str, object] = {
            "key": [keys[i] for i in chosen],
            "frame": known["frame"].tolist(),
            "band": [part.band.value] * len(chosen),
            "path": [str(Path(path or "").resolve()) for path in mine.paths(part.band)],
            "digest": [f"{part.digests[i]}-{says}" for i, says in zip(chosen, told, strict=True)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        }
        for name in METADATA:
            columns[name] = pa.array(known[name], from_pandas=True) if name in known else [None] * len(chosen)
        return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def read_account(folder: str | Path) -> dict[str, Any]:
    """What ``gallery.json`` says.

    Raises:
        CrossbandError: no gallery there, or one of another version.
    """
    try:
        account = json.loads((Path(folder) / "gallery.json").read_text())
    except (OSError, ValueError):
        raise CrossbandError(f"no gallery in {folder}; crossband index makes one") from None
    if not isinstance(account, dict) or account.get("format") != _FORMAT:
        raise CrossbandError(f"{folder} holds no gallery that this version reads; index it again")
    return account


class _Quantised:
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
    model: str | None = None,
    bands: list[str] | None = None,
    *,
    options: Options = DEFAULT_OPTIONS,
    dtype: str = "float32",
    store: str | Path | None = None,
    workers: int | None = None,
) -> Added:
    """Put the images of frames into a gallery, which is made when it is not there.

    A new gallery takes the mean of **every** band the frames have, not only of those it keeps, so that
    queries of the other bands can be centred. The means never change afterwards.

    Args:
        frames: what to index.
        gallery: the gallery's folder.
        model: the descriptor; for a gallery that is there, its own, and any other is refused.
        bands: the bands to keep; all of the frames' by default.
        options: how images are read and where weights lie.
        dtype: ``float32`` or ``int8``.
        store: the folder of the descriptor store; without it, one inside the gallery that is removed at
            the end.

    Raises:
        CrossbandError: another model than the gallery's, or nothing that can be indexed.
    """
    folder = Path(gallery)
    kept = [parse_band(band) for band in bands] if bands else list(frames.bands)
    work = Path(store) if store is not None else folder / "store"
    if (folder / "gallery.json").exists():
        opened = Gallery.open(folder, options)
        _check_same_model(opened, model, options)
    else:
        descriptor = Descriptor.load(model or DEFAULT_DESCRIPTOR, options)
        embedding = embed(frames, descriptor, store=work, workers=workers)
        descriptor = replace(descriptor, means=embedding.means() if descriptor.centre else None)
        opened = Gallery.create(folder, descriptor, _sample(embedding, descriptor, kept), dtype)
    added = opened.add(frames, kept, store=work, workers=workers)
    if store is None:
        shutil.rmtree(work, ignore_errors=True)
    return added


def search(
    image: str | Path,
    gallery: str | Path,
    k: int = 10,
    *,
    band: str = "rgb",
    where: str | None = None,
    units: str | None = None,
    calibrate: str | Path | None = None,
    store: str | Path | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> list[Match]:
    """Search a gallery by one image; see :meth:`Gallery.search`.

    Args:
        image: the query.
        band: the query's band.
        where: an SQL condition on the metadata.
        units: of a thermal query's pixels.
        calibrate: a folder of images of the query's band, when the gallery has no mean of it.
        store: the folder of the descriptor store, for those images.
        options: where weights lie, and the device.
    """
    opened = Gallery.open(gallery, options)
    finish = None
    if calibrate is not None:
        images = [{"frame": key, band: path.name} for key, path in images_by_stem(Path(calibrate)).items()]
        if not images:
            raise CrossbandError(f"no image in {calibrate} to calibrate by")
        finish = opened.calibrated(band, Frames.make(images, calibrate), store=store or Path(gallery) / "store")
    return opened.search(opened.describe(image, band, units, finish), k, where)


def query_image(
    name: str, band: str, frames: str | Path | None = None, units: str | None = None
) -> tuple[Path, str | None]:
    """The image file a query means, and its units: a path, or a frame of a manifest by its name.

    Raises:
        CrossbandError: no such frame, or it lacks the band.
    """
    if frames is None:
        return Path(name), units
    table = open_frames(frames)
    if name not in table.names:
        raise unknown_name("frame", name, table.names)
    row = table.names.index(name)
    path = table.paths(band)[row]
    if path is None:
        raise CrossbandError(f"frame {name!r} has no {band} image; choose another --band")
    return path, units or table.units()[row]


def _key(frame: str, band: Band) -> str:
    return f"{frame}|{band.value}"


def _changed(frames: Frames, band: Band, there: Mapping[str, str]) -> Frames:
    """The frames whose image of a band is not in a gallery yet, or has another content or metadata now."""
    changed = []
    told = _metadata_digests(frames)
    for row, (name, path, units) in enumerate(
        zip(frames.names, frames.paths(band), frames.units(), strict=True)
    ):
        digest = there.get(_key(name, band))
        if path is not None and (digest is None or digest != f"{file_digest(path, units)}-{told[row]}"):
            changed.append(row)
    return frames.select(np.array(changed, int))


def _metadata_digests(frames: Frames) -> list[str]:
    """Identifies what each frame's metadata says."""
    known = frames.table[[name for name in METADATA if name in frames.table]].astype(object)
    told = known.where(known.notna(), None).to_dict("records")
    return [hashlib.blake2b(repr(row).encode(), digest_size=8).hexdigest() for row in told]


def file_digest(path: Path, units: str | None) -> str | None:
    """The content digest of an image file, ``None`` when it cannot be read."""
    try:
        return content_digest(read_bytes(path), units)
    except ImageFault:
        return None


def _check_same_model(gallery: Gallery, model: str | None, options: Options) -> None:
    if model is None:
        return
    # how images are read is the gallery's own, whatever the options
    wanted = replace(Descriptor.load(model, options), preprocess=gallery.descriptor.preprocess)
    if wanted.identity != gallery.descriptor.identity:
        raise CrossbandError(
            f"the gallery {gallery.folder} was made with {gallery.descriptor.name}, not with {model}; "
            "leave --model out, or index into another --gallery"
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
