"""Where a gallery's rows live: one interface, and LanceDB behind it.

LanceDB because of twelve embedded stores tried it alone kept every acknowledged row after a kill -9, takes
several writers without a server and filters before it searches (docs/decisions.md).
"""

from __future__ import annotations

import datetime
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ...errors import CrossbandError
from ...lance_tables import import_lancedb
from .conditions import Kind, parse_condition, to_sql

__all__ = [
    "CONDITION_COLUMNS",
    "METADATA",
    "TEXT_COLUMNS",
    "GalleryStore",
    "LanceFiles",
    "LanceStore",
    "row_schema",
]

METADATA = {
    "split": pa.string(),
    "place": pa.string(),
    "identity": pa.string(),
    "camera": pa.string(),
    "sequence": pa.string(),
    "time": pa.string(),
    "x": pa.float64(),
    "y": pa.float64(),
    "lat": pa.float64(),
    "lon": pa.float64(),
    "condition": pa.string(),
}
TEXT_COLUMNS = ("frame", "band", "path", "digest")
CONDITION_COLUMNS: dict[str, Kind] = {
    "key": "text",
    **dict.fromkeys(TEXT_COLUMNS, "text"),
    **{name: "text" if kind == pa.string() else "number" for name, kind in METADATA.items()},
}
"""What a condition may name."""
_NUMBERS = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8()}
_TABLE, _FILES = "vectors", "files"
PROBES = 64
"""Cells of an index that are searched where nothing was measured."""
_ATTEMPTS = 10
_SOURCE = re.compile(r",? /\S+\.rs:\d+.*$")  # where in the engine's own source an error arose


def row_schema(size: int, dtype: str) -> pa.Schema:
    """Return the schema of a gallery's rows.

    The columns are ``key`` (frame and band), what is known of the frame, and the vector.

    The key is marked as primary: without the mark, two writers that insert the same key at the same time
    both succeed, and it appears twice.
    """
    number = _NUMBERS[dtype]
    key = pa.field("key", pa.string(), False, {"lance-schema:unenforced-primary-key": "true"})
    text = [pa.field(name, pa.string()) for name in TEXT_COLUMNS]
    known = [pa.field(name, kind) for name, kind in METADATA.items()]
    return pa.schema([key, *text, *known, pa.field("vector", pa.list_(number, size))])


class GalleryStore(Protocol):
    """Rows with a unique ``key``, metadata and a vector; every change is all or nothing.

    ``where`` is a condition on the metadata, as in ``camera = 'north' AND lat > 46.5`` (:mod:`.conditions`).
    """

    @property
    def size(self) -> int:
        """Length of a vector."""

    @property
    def dtype(self) -> str:
        """``float32``, ``float16`` or ``int8``: what the rows hold."""

    def upsert(self, rows: pa.Table) -> tuple[int, int]:
        """Replace the rows whose keys are there, append the others; gives (appended, replaced)."""

    def update(self, rows: pa.Table) -> None:
        """Set some columns of the rows whose keys are there; other keys are ignored."""

    def delete(self, where: str) -> int:
        """Delete the rows that match a condition; return their number."""

    def count(self, where: str | None = None) -> int:
        """Count the rows, or those that match a condition."""

    def read(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Read some columns, in the order of insertion."""

    def stream(self, columns: list[str], height: int, where: str | None = None) -> Iterator[pa.Table]:
        """Yield some columns, at most ``height`` rows at a time, all of one version."""

    def take(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """Read some rows by their numbers, from 0 on in the order of insertion."""

    @property
    def serves(self) -> bool:
        """Whether searching is a server's work, exact, so that nothing need be loaded here."""

    def search(self, vector: np.ndarray, k: int, where: str | None = None, probes: int = PROBES) -> pa.Table:
        """Search the index for the approximately nearest rows, with ``_distance`` (squared Euclidean)."""

    def version(self) -> object:
        """Return a value that changes whenever the rows do."""

    def indexed(self) -> bool:
        """Return whether an index was built."""

    def optimize(self, index: bool) -> None:
        """Compact the files, drop old versions, and build the index if asked."""


class LanceStore:
    """A gallery's rows in a LanceDB table on a disk or an object store (``s3://...``).

    Args:
        uri: the folder or address of the database.
        schema: creates the table when it is not there.

    Raises:
        CrossbandError: no table of a gallery is there and no schema was given, or the folder cannot be
            written. So do all methods when the files are damaged.
    """

    def __init__(self, uri: str | Path, schema: pa.Schema | None = None) -> None:
        self._uri = uri
        with _Sentences(f"cannot open a gallery at {uri}"):
            database = _connected(uri)
            if schema is not None:
                self._table = database.create_table(_TABLE, schema=schema, exist_ok=True)
            else:
                self._table = database.open_table(_TABLE)
            found = self._table.schema
        vector = found.field("vector").type if "vector" in found.names else None
        dtypes = {number: name for name, number in _NUMBERS.items()}
        if not isinstance(vector, pa.FixedSizeListType) or vector.value_type not in dtypes:
            raise CrossbandError(f"cannot open a gallery at {uri}: its table has no vectors")
        self._size, self._dtype = vector.list_size, dtypes[vector.value_type]
        expected = row_schema(self._size, self._dtype)
        if [(field.name, field.type) for field in found] != [(field.name, field.type) for field in expected]:
            raise CrossbandError(f"cannot open a gallery at {uri}: its table has different columns")

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._size

    @property
    def dtype(self) -> str:
        """``float32``, ``float16`` or ``int8``: what the rows hold."""
        return self._dtype

    def upsert(self, rows: pa.Table) -> tuple[int, int]:
        """Replace or append rows by key, in one commit."""
        done = self._commit(lambda: self._merge().when_not_matched_insert_all().execute(rows))
        return int(done.num_inserted_rows), int(done.num_updated_rows)

    def update(self, rows: pa.Table) -> None:
        """Set columns of rows that are there, in one commit; the others keep what they hold."""
        self._commit(lambda: self._merge().execute(rows))

    def delete(self, where: str) -> int:
        """Delete rows, in one commit."""
        whole = _sql(where)
        return int(self._commit(lambda: self._table.delete(whole)).num_deleted_rows)

    def count(self, where: str | None = None) -> int:
        """Count rows."""
        whole = _sql(where)
        with self._sentences():
            return int(self._table.count_rows(whole))

    def read(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Read columns; nothing else is loaded."""
        whole = _sql(where)
        with self._sentences():
            return self._query(columns, whole).to_arrow()

    def stream(self, columns: list[str], height: int, where: str | None = None) -> Iterator[pa.Table]:
        """Read columns, some rows at a time; the engine reads some hundred megabytes ahead."""
        whole = _sql(where)
        with self._sentences():
            for batch in self._query(columns, whole).to_batches(height):
                yield pa.Table.from_batches([batch])

    def take(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """Read rows by number."""
        order = np.argsort(rows, kind="stable")
        with self._sentences():
            found = self._table.take_offsets(rows[order].tolist()).select(columns).to_arrow()
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return found.take(back)

    @property
    def serves(self) -> bool:
        """``False``: the engine is a library."""
        return False

    def search(self, vector: np.ndarray, k: int, where: str | None = None, probes: int = PROBES) -> pa.Table:
        """Search by the index, filtered first, the candidates measured again with the whole vectors."""
        whole = _sql(where)
        with self._sentences():
            query = self._table.search(vector, vector_column_name="vector").nprobes(probes).refine_factor(8)
            if whole is not None:
                query = query.where(whole, prefilter=True)
            return query.limit(k).to_arrow()

    def version(self) -> object:
        """Return the table's version."""
        with self._sentences():
            return self._table.version

    def indexed(self) -> bool:
        """Return whether an index was built."""
        with self._sentences():
            return bool(self._table.list_indices())

    def optimize(self, index: bool) -> None:
        """Compact the files and drop old versions, which would double the disk.

        Whoever reads or writes the same gallery at that moment has to begin again.

        Raises:
            CrossbandError: an index of int8 rows, which the engine does not build.
        """
        if index and self.dtype == "int8":
            raise CrossbandError(
                "rows of int8 have no index; leave it out, or keep float32 rows", parameter="build"
            )
        if index:
            self._commit(
                lambda: self._table.create_index(
                    metric="l2", vector_column_name="vector", index_type="IVF_HNSW_SQ"
                )
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="optimize.cleanup_older_than=0")
            everything = datetime.timedelta(0)
            self._commit(lambda: self._table.optimize(cleanup_older_than=everything, delete_unverified=False))

    def _query(self, columns: list[str], whole: str | None) -> Any:
        query = self._table.search().select(columns)
        return query if whole is None else query.where(whole)

    def _merge(self) -> Any:
        return self._table.merge_insert("key").when_matched_update_all()

    def _commit(self, change: Callable[[], Any]) -> Any:
        with self._sentences():
            return _committed(change)

    def _sentences(self) -> _Sentences:
        return _Sentences(f"the rows {self._uri} cannot be used and may be damaged")


class LanceFiles:
    """A gallery's small files as rows of a table beside its own: for databases on an object store.

    Args:
        uri: the address of the database.

    Raises:
        CrossbandError: so do all methods when the store cannot be used.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with self._sentences():
            self._database = _connected(uri)

    def read_file(self, name: str) -> bytes | None:
        """Return the bytes of a file, ``None`` where there is none of that name."""
        with self._sentences():
            if _FILES not in self._database.table_names(limit=100):
                return None
            found = self._database.open_table(_FILES).search().where(f"name = '{name}'").to_arrow()
            return found["data"][0].as_py() if len(found) else None

    def write_file(self, name: str, data: bytes) -> None:
        """Write a file, in one commit."""
        with self._sentences():
            table, rows = self._table(), _file_rows({name: data})
            merge = table.merge_insert("name").when_matched_update_all().when_not_matched_insert_all()
            _committed(lambda: merge.execute(rows))

    def claim(self, files: Mapping[str, bytes]) -> bool:
        """Write files that are not there, in one commit; whether they were written.

        Of several writers, on whatever machines, one succeeds.
        """
        with self._sentences():
            table, rows = self._table(), _file_rows(files)
            merge = table.merge_insert("name").when_not_matched_insert_all()
            return bool(_committed(lambda: merge.execute(rows)).num_inserted_rows)

    def _table(self) -> Any:
        schema = _file_rows({}).schema
        return _committed(lambda: self._database.create_table(_FILES, schema=schema, exist_ok=True))

    def _sentences(self) -> _Sentences:
        return _Sentences(f"cannot use the gallery {self._uri}")


def _connected(uri: str | Path) -> Any:
    """A database of which every read sees what other processes have committed."""
    return import_lancedb().connect(str(uri), read_consistency_interval=datetime.timedelta(0))


def _file_rows(files: Mapping[str, bytes]) -> pa.Table:
    name = pa.field("name", pa.string(), False, {"lance-schema:unenforced-primary-key": "true"})
    schema = pa.schema([name, pa.field("data", pa.large_binary())])
    return pa.table({"name": list(files), "data": list(files.values())}, schema=schema)


def _committed(change: Callable[[], Any]) -> Any:
    """Make a change, again if another writer's came between."""
    for attempt in range(_ATTEMPTS):
        try:
            return change()
        except (ValueError, RuntimeError, OSError) as error:
            if "conflict" not in str(error).lower() or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))
    return None


def _sql(where: str | None) -> str | None:
    """The condition as the engine reads it: it takes more than the grammar, and up to where it makes sense."""
    return None if where is None else to_sql(parse_condition(where, CONDITION_COLUMNS))


class _Sentences:
    """Turn what the engine raises into a sentence that begins with ``start``."""

    def __init__(self, start: str) -> None:
        self._start = start

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        panic = type(error).__name__ in ("RustPanic", "PanicException")  # classes that nothing exports
        known = isinstance(error, ValueError | RuntimeError | OSError | pa.ArrowException)
        if error is None or isinstance(error, CrossbandError) or not (known or panic):
            return
        reason = _SOURCE.sub("", " ".join(str(error).split()))[:140]
        raise CrossbandError(f"{self._start}: {reason}") from error
