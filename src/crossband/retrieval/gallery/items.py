"""Which image is which row of a gallery: keys, content digests, and what changed since it was indexed."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute

from ...bands import Band
from ...errors import ImageFault
from ...frames import Frames
from ...io import read_bytes
from ...io.memo import FileMemo, file_state
from ...stored import is_there, resolved
from ..embed import CONTENTS, content_digest
from .lance import METADATA, GalleryStore, row_schema

_AT_ONCE = 1 << 16  # rows of a gallery that are looked at together

__all__ = ["Indexed", "Item", "file_digest", "indexed_root", "known_columns", "row_key"]


def row_key(root: str, frame: str, band: Band) -> str:
    """Identify an item: the folder that was indexed, the frame's name in it, the band."""
    return f"{root}|{frame}|{band.value}"


def indexed_root(frames: Frames) -> str:
    """Identify the folder that frames lie in: files of the same name under another are other items."""
    return hashlib.blake2b(os.fsencode(resolved(frames.root)), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Item:
    """A frame's image of one band, by its row, and the row of the gallery that it is or will be."""

    row: int
    key: str
    content: str = ""


@dataclass(frozen=True)
class Indexed:
    """What a gallery holds of some frames: rows of their keys, their names or their paths.

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
    def of(cls, rows: GalleryStore, frames: Frames, bands: list[Band]) -> Indexed:
        """Read what the rows say of the images of some frames; of the others nothing stays in memory."""
        root, found = indexed_root(frames), cls({}, {}, {}, {})
        wanted = {
            "key": pa.array([row_key(root, name, band) for band in bands for name in frames.names]),
            "frame": pa.array(frames.names),
            "path": pa.array([path for band in bands for path in _resolved(frames, band)]),
        }
        for batch in rows.stream(["key", "frame", "band", "path", "digest"], _AT_ONCE):
            masks = [pa.compute.is_in(batch[name], value_set=values) for name, values in wanted.items()]
            some = batch.filter(functools.reduce(pa.compute.or_, masks)).to_pydict()
            for key, frame, band, path, digest in zip(*some.values(), strict=True):
                found.digests[key], found.paths[key], found.by_path[path, band] = digest, path, key
                found.by_name.setdefault((frame, band), []).append(key)
        return found

    def compared(self, frames: Frames, band: Band) -> tuple[list[Item], list[Item]]:
        """Find the images of a band that are new or have another content now, and those of other metadata.

        Of the latter only name, path or metadata changed.
        """
        with FileMemo.open(CONTENTS) as memo:
            return self._compared(frames, band, memo)

    def _compared(self, frames: Frames, band: Band, memo: FileMemo) -> tuple[list[Item], list[Item]]:
        root, says = indexed_root(frames), _metadata_digests(frames, band)
        own = [row_key(root, name, band) for name in frames.names]
        taken = {key for key in own if key in self.digests}
        fresh, told = [], []
        rows = zip(own, frames.names, frames.paths(band), _resolved(frames, band), frames.units(), strict=True)
        for row, (key, name, path, address, units) in enumerate(rows):
            if path is None:
                continue
            near = self._known(key, name, address, band, taken)
            content = _digest_once(path, units, memo) if near else None
            key = next((k for k in near if self._is(k, address, content, own=key)), key)
            before, _, said = self.digests.get(key, "").partition("-")
            if content is None or content != before:
                fresh.append(Item(row, key))
            elif said != says[row]:
                told.append(Item(row, key, content))
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
        return moved and not is_there(self.paths[key])


def known_columns(frames: Frames, band: Band, contents: list[str], keys: list[str]) -> pa.Table:
    """Return all that a gallery keeps of frames, except the vectors."""
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
    return [resolved(path or "") for path in frames.paths(band)]


def _digest_once(path: Path, units: str | None, memo: FileMemo) -> str | None:
    """The content digest of an image file, which is read if it is not known."""
    state = file_state(path, units)
    digest = memo.find(state)
    if digest is None and (digest := file_digest(path, units)) is not None:
        memo.keep(state, digest)
    return digest


def file_digest(path: Path, units: str | None) -> str | None:
    """Return the content digest of an image file, ``None`` when it cannot be read."""
    try:
        return content_digest(read_bytes(path), units)
    except ImageFault:
        return None
