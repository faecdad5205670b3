"""A gallery as the server holds it: opened once, its metadata at hand, every item by a short name."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..bands import Band, Units
from ..errors import CrossbandError
from ..io import Image
from ..retrieval import Gallery, Options
from ..retrieval.descriptor_cache import ArrayRows
from ..retrieval.gallery.conditions import parse_condition, to_sql
from ..retrieval.gallery.exact import Match, vectors_of
from ..retrieval.gallery.items import file_digest
from ..retrieval.gallery.lance import CONDITION_COLUMNS, METADATA
from ..retrieval.search import exact_search
from .decoding import Source
from .describing import Describer

__all__ = ["Catalog", "ServedGallery", "item_id", "open_galleries"]

_COLUMNS = ["key", "frame", "band", "path", "digest", *METADATA]
_NUMBERS = frozenset(name for name, kind in CONDITION_COLUMNS.items() if kind == "number")
_VALUES = 60  # of a facet
_QUERIES = 2000  # of a survey
_GRAY = (64, 64)
_DEEP = 100  # places of a list that a survey looks at
_UNITS: tuple[str | None, ...] = (None, *(units.value for units in Units))


def item_id(key: str) -> str:
    """Name an item without telling where it lies.

    Example:
        >>> item_id("0123|a|tir")
        '773f3b27a43afe1416'
    """
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


@dataclass(frozen=True)
class Catalog:
    """What is known of all items of one version of a gallery.

    Attributes:
        version: of the rows.
        keys: of the rows of ``table``.
        table: a row an item; the index is its name.
        by_frame: (folder, frame) -> band -> name.
        by_place: (frame, band, path) -> name.
    """

    version: object
    keys: pa.ChunkedArray
    table: pd.DataFrame
    by_frame: dict[tuple[str, str], dict[str, str]]
    by_place: dict[tuple[str, str, str], str]

    @classmethod
    def read(cls, gallery: Gallery, version: object) -> Catalog:
        """Read the rows, without their vectors."""
        rows = gallery.rows.read(_COLUMNS)
        keys, table = rows["key"], rows.to_pandas()
        table.index = pd.Index([item_id(key) for key in table["key"]])
        by_frame: dict[tuple[str, str], dict[str, str]] = {}
        by_place = {}
        places = zip(table.index, table["key"], table["frame"], table["band"], table["path"], strict=True)
        for name, key, frame, band, path in places:
            by_frame.setdefault((key.partition("|")[0], frame), {})[band] = name
            by_place[frame, band, path] = name
        return cls(version, keys, table, by_frame, by_place)


class ServedGallery:
    """One gallery.

    Args:
        name: in addresses.
        gallery: opened.
        describer: runs the network.
        memory: bytes that its rows may take.
    """

    def __init__(self, name: str, gallery: Gallery, describer: Describer, memory: int) -> None:
        self.name, self.gallery = name, gallery
        self._describer, self._memory = describer, memory
        self._catalog: Catalog | None = None
        self._lock, self._searching = threading.Lock(), threading.Lock()
        self._units: dict[tuple[str, str], str | None] = {}

    def warm(self) -> None:
        """Load what the first search would wait for, by making one for a gray picture."""
        self.catalog()
        gray = Image(np.full((*_GRAY, 3), 128, np.uint8))
        with contextlib.suppress(CrossbandError):
            self.search(gray, Band.RGB, 1, None, 1)

    def catalog(self) -> Catalog:
        """Return what is known of the items, read again only after a change."""
        version = self.gallery.rows.version()
        found = self._catalog
        if found is None or found.version != version:
            with self._lock:
                found = self._catalog
                if found is None or found.version != version:
                    found = self._catalog = Catalog.read(self.gallery, version)
        return found

    def info(self) -> dict[str, Any]:
        """See :meth:`crossband.retrieval.Gallery.info`."""
        return {
            "name": self.name,
            **Gallery.info(str(self.gallery.home)),
            "reranks": self.gallery.reranking is not None,
        }

    def row(self, name: str) -> Mapping[str, Any]:
        """Return what is known of one item.

        Raises:
            KeyError: there is none.
        """
        return {str(column): value for column, value in self.catalog().table.loc[name].items()}

    def item(self, name: str) -> dict[str, Any]:
        """Return an item as the API tells it.

        Raises:
            KeyError: there is none.
        """
        catalog = self.catalog()
        return _told(catalog, name, self.row(name))

    def by_name(self, frame: str, band: Band) -> str:
        """Return the item of a frame's name and band; of several, the first.

        Raises:
            KeyError: there is none.
        """
        table = self.catalog().table
        found = table.index[(table["frame"] == frame) & (table["band"] == band.value)]
        if not len(found):
            raise KeyError(frame)
        return str(found[0])

    def named(self, frames: Sequence[str], band: Band) -> dict[str, dict[str, Any]]:
        """Return the items of frames in a band, by the frame's name; those that are there."""
        catalog = self.catalog()
        table = catalog.table[(catalog.table["band"] == band.value) & catalog.table["frame"].isin(frames)]
        rows = zip(table.index, table.to_dict("records"), strict=True)
        return {row["frame"]: _told(catalog, str(name), row) for name, row in rows}

    def kept(self, where: str | None) -> pd.DataFrame:
        """Return the items that fulfil a condition.

        Raises:
            CrossbandError: no condition.
        """
        catalog = self.catalog()
        table = catalog.table
        if where is None or not where.strip():
            return table
        condition = to_sql(parse_condition(where, CONDITION_COLUMNS))
        keys = self.gallery.rows.read(["key"], condition)["key"]
        return table[pc.is_in(catalog.keys, value_set=keys).to_numpy()]

    def items(self, where: str | None, sort: str, offset: int, limit: int) -> dict[str, Any]:
        """Return some items, and how many there are."""
        if sort not in CONDITION_COLUMNS:
            raise CrossbandError(f"items are sorted by one of {', '.join(CONDITION_COLUMNS)}", parameter="sort")
        kept = self.kept(where)
        order = kept[sort].reset_index(drop=True).sort_values(kind="stable", na_position="last").index
        part = kept.iloc[order[offset : offset + limit]]
        rows, catalog = zip(part.index, part.to_dict("records"), strict=True), self.catalog()
        return {"total": len(kept), "items": [_told(catalog, str(name), row) for name, row in rows]}

    def facets(self, where: str | None) -> list[dict[str, Any]]:
        """Tell of each column that holds something its values and their counts, or its range."""
        kept, found = self.kept(where), []
        for column in ("band", *METADATA):
            values = kept[column].dropna()
            if not len(values):
                continue
            told: dict[str, Any] = {"column": column, "items": len(values), "distinct": int(values.nunique())}
            if column in _NUMBERS:
                told |= {
                    "kind": "number",
                    "low": float(values.min()),
                    "high": float(values.max()),
                    "values": [],
                }
            else:
                counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
                shown = [{"value": str(v), "items": int(n)} for v, n in counts.iloc[:_VALUES].items()]
                told |= {"kind": "text", "low": str(values.min()), "high": str(values.max()), "values": shown}
            found.append(told)
        return found

    def positions(self, where: str | None) -> list[dict[str, Any]]:
        """Tell where frames were taken, each once."""
        kept = self.kept(where)
        known = kept[["x", "y", "lat", "lon"]].notna()
        kept = kept[(known["x"] & known["y"]) | (known["lat"] & known["lon"])]
        kept = kept.drop_duplicates("frame").head(20_000)
        columns = ["frame", "place", "sequence", "x", "y", "lat", "lon", "time", "condition"]
        shown = kept[columns].astype(object).where(kept[columns].notna(), None)
        rows = zip(kept.index, shown.to_dict("records"), strict=True)
        return [{"id": str(name), **{str(column): row[column] for column in columns}} for name, row in rows]

    def search(self, image: Image, band: Band, k: int, where: str | None, rerank: int) -> list[Match]:
        """Search as :meth:`crossband.retrieval.Gallery.search` does, queries batched for the network.

        Raises:
            CrossbandError: as that.
        """
        where = where if where and where.strip() else None
        vector = self._describer.describe(self.gallery, image, band)
        first = rerank if self.gallery.reranking is not None else 0
        with self._searching:
            matches = self.gallery.nearest(vector, max(k, first), where, max_memory=self._memory)
        return self.gallery.rerank(image, band, matches, first)[:k] if first else matches

    def told_matches(self, matches: Sequence[Match]) -> list[dict[str, Any]]:
        """Return matches as the API tells them: as the library does, with names in place of paths."""
        catalog, found = self.catalog(), []
        for match in matches:
            name = catalog.by_place.get((match.frame, match.band, match.path))
            hidden = ("path", *match.metadata)
            told = {key: value for key, value in match.to_dict().items() if key not in hidden}
            key = "" if name is None else str(catalog.table.at[name, "key"])
            bands = catalog.by_frame.get((key.partition("|")[0], match.frame), {})
            found.append({"id": name, **told, "metadata": match.metadata, "bands": bands})
        return found

    def source(self, name: str) -> tuple[Source, Band, Units | None]:
        """Tell where an item's image lies, and in which units it was indexed.

        Raises:
            KeyError: no such item.
            CrossbandError: the image is gone, or another than the one that was indexed.
        """
        row = self.row(name)
        content = str(row["digest"]).partition("-")[0]
        path = Path(row["path"])
        try:
            stamp = f"{content}:{path.stat().st_mtime_ns}"
        except OSError:
            raise CrossbandError(f"the image of {row['frame']} is no longer where it was indexed") from None
        if (name, stamp) not in self._units:
            match = [units for units in _UNITS if file_digest(path, units) == content]
            if not match:
                raise CrossbandError(
                    f"the image of {row['frame']} has changed since it was indexed; index it again"
                )
            if len(self._units) > 100_000:
                self._units.clear()
            self._units[name, stamp] = match[0]
        units = self._units[name, stamp]
        return Source(stamp, path=str(path)), Band(row["band"]), None if units is None else Units(units)

    def survey(self, query: Band, gallery: Band, limit: int) -> dict[str, Any]:
        """Measure how well a gallery finds its own frames across two bands, by its vectors.

        Every frame with both bands is a query (of more than 2,000, every n-th); right is the same frame. No
        network runs and nothing is re-ranked.
        """
        sides = []
        for band in (query, gallery):
            table = self.gallery.rows.read(["key", "vector"], f"band = '{band.value}'")
            keys = table["key"].to_pylist()
            sides.append((keys, vectors_of(table).astype(np.float32)))
        (asked, ours), (there, theirs) = sides
        place = {key.rpartition("|")[0]: row for row, key in enumerate(there)}
        both = [row for row, key in enumerate(asked) if key.rpartition("|")[0] in place]
        both = both[:: max(1, -(-len(both) // _QUERIES))]
        if not both:
            raise CrossbandError(f"no frame of this gallery has both {query.value} and {gallery.value}")
        distances, rows = exact_search(ArrayRows(ours[both]), ArrayRows(theirs), _DEEP, self._memory)
        right = np.array([place[asked[row].rpartition("|")[0]] for row in both])
        hit = rows == right[:, None]
        ranks = np.where(hit.any(1), hit.argmax(1) + 1, min(len(there), _DEEP) + 1)
        order = np.argsort(-ranks, kind="stable")[:limit]
        listed = [
            {
                "rank": int(ranks[i]),
                "query": self.item(item_id(asked[both[i]])),
                "right": self.item(item_id(there[right[i]])),
                "first": self.item(item_id(there[rows[i, 0]])),
                "distance": float(distances[i, 0]),
            }
            for i in order
            if ranks[i] > 1
        ]
        recall = {str(k): 100 * float((ranks <= k).mean()) for k in (1, 5, 10)}
        return {"queries": len(both), "gallery": len(there), "deep": _DEEP, "recall": recall, "worst": listed}

    def duplicates(self, band: Band, limit: int) -> list[dict[str, Any]]:
        """Find the pairs of one band that lie nearest to each other, nearest first."""
        table = self.gallery.rows.read(["key", "vector"], f"band = '{band.value}'")
        keys, vectors = table["key"].to_pylist(), vectors_of(table).astype(np.float32)
        if len(keys) < 2:
            return []
        asked = np.arange(len(keys))[:: max(1, -(-len(keys) // _QUERIES))]
        distances, rows = exact_search(ArrayRows(vectors[asked]), ArrayRows(vectors), 2, self._memory)
        other = np.where(rows[:, 0] == asked, 1, 0)
        near = distances[np.arange(len(asked)), other]
        whom = rows[np.arange(len(asked)), other]
        seen: set[frozenset[int]] = set()
        found: list[dict[str, Any]] = []
        for i in np.argsort(near, kind="stable"):
            pair = frozenset((int(asked[i]), int(whom[i])))
            if pair not in seen and len(found) < limit:
                seen.add(pair)
                one, two = (self.item(item_id(keys[row])) for row in (asked[i], whom[i]))
                found.append({"distance": float(near[i]), "first": one, "second": two})
        return found


def _told(catalog: Catalog, name: str, row: Mapping[Any, Any]) -> dict[str, Any]:
    """An item as the API tells it."""
    metadata = {column: row[column] for column in METADATA if not pd.isna(row[column])}
    bands = catalog.by_frame.get((row["key"].partition("|")[0], row["frame"]), {})
    return {"id": name, "frame": row["frame"], "band": row["band"], "metadata": metadata, "bands": bands}


def open_galleries(
    galleries: Mapping[str, str | Path], describer: Describer, memory: int, device: str
) -> dict[str, ServedGallery]:
    """Open galleries; those of one model share its network.

    Raises:
        CrossbandError: one cannot be opened.
    """
    found: dict[str, ServedGallery] = {}
    for name, address in galleries.items():
        gallery = Gallery.open(address, Options(device=device))
        for other in found.values():
            theirs = other.gallery.descriptor
            if theirs.identity == gallery.descriptor.identity:
                gallery.descriptor = replace(gallery.descriptor, encoder=theirs.encoder)
                break
        found[name] = ServedGallery(name, gallery, describer, memory)
    return found
