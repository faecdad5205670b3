"""Where a gallery's rows live: one interface, and LanceDB behind it.

LanceDB because of twelve embedded stores tried it alone kept every acknowledged row after a kill -9, takes
several writers without a server and filters before it searches (docs/decisions.md).
"""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from ..errors import CrossbandError

__all__ = ["METADATA", "GalleryStore", "LanceStore", "row_schema"]

METADATA = {
    "split": pa.string(), "place": pa.string(), "identity": pa.string(), "camera": pa.string(),
    "sequence": pa.string(), "time": pa.string(), "x": pa.float64(), "y": pa.float64(),
    "lat": pa.float64(), "lon": pa.float64(), "condition": pa.string(),
}  # fmt: skip
_TABLE = "vectors"


def row_schema(size: int, dtype: str) -> pa.Schema:
    """The columns of a gallery: ``key`` (frame and band), what is known of the frame, and the vector."""
    number = pa.int8() if dtype == "int8" else pa.float32()
    text = [pa.field(name, pa.string()) for name in ("key", "frame", "band", "path", "digest")]
    known = [pa.field(name, kind) for name, kind in METADATA.items()]
    return pa.schema([*text, *known, pa.field("vector", pa.list_(number, size))])


class GalleryStore(Protocol):
    """Rows with a unique ``key``, metadata and a vector; every change is all or nothing.

    ``where`` is an SQL condition on the metadata, as in ``camera = 'north' AND lat > 46.5``.
    """

    def add(self, rows: pa.Table) -> None:
        """Append rows whose keys are new."""

    def upsert(self, rows: pa.Table) -> None:
        """Replace the rows whose keys are there, append the others."""

    def delete(self, where: str) -> int:
        """Delete the rows that fulfil a condition; gives their number."""

    def count(self, where: str | None = None) -> int:
        """The number of rows, of those that fulfil a condition if one is given."""

    def read(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Some columns, in the order of insertion."""

    def search(self, vector: np.ndarray, k: int, where: str | None = None) -> pa.Table:
        """The approximately nearest rows by the index, with their ``_distance`` (squared Euclidean)."""

    def version(self) -> object:
        """Changes whenever the rows do."""

    def optimise(self, index: bool) -> None:
        """Compact the files, drop old versions, and build the index if asked."""


class LanceStore:
    """A gallery's rows in a LanceDB table on a disk or an object store (``s3://...``).

    Args:
        uri: the folder or address of the database.
        schema: creates the table when it is not there.

    Raises:
        CrossbandError: no table is there and no schema was given, or the folder cannot be written.
    """

    def __init__(self, uri: str | Path, schema: pa.Schema | None = None) -> None:
        import lancedb

        try:
            # every read sees what other processes have committed
            database = lancedb.connect(str(uri), read_consistency_interval=datetime.timedelta(0))
            if schema is not None:
                self._table = database.create_table(_TABLE, schema=schema, exist_ok=True)
            else:
                self._table = database.open_table(_TABLE)
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise CrossbandError(f"no gallery can be opened at {uri}: {reason}") from None

    def add(self, rows: pa.Table) -> None:
        """Append rows, in one commit."""
        self._table.add(rows)

    def upsert(self, rows: pa.Table) -> None:
        """Replace or append rows by key, in one commit."""
        self._table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, where: str) -> int:
        """Delete rows, in one commit."""
        before = self.count(where)
        self._table.delete(where)
        return before

    def count(self, where: str | None = None) -> int:
        """Count rows."""
        with _conditions(where):
            return int(self._table.count_rows(where))

    def read(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Read columns; nothing else is loaded."""
        with _conditions(where):
            query = self._table.search().select(columns)
            if where is not None:
                query = query.where(where)
            return query.limit(max(1, self._table.count_rows())).to_arrow()

    def search(self, vector: np.ndarray, k: int, where: str | None = None) -> pa.Table:
        """Search by the index, filtered first, the candidates measured again with the whole vectors."""
        with _conditions(where):
            query = self._table.search(vector, vector_column_name="vector").nprobes(64).refine_factor(8)
            if where is not None:
                query = query.where(where, prefilter=True)
            return query.limit(k).to_arrow()

    def version(self) -> object:
        """The table's version."""
        return self._table.version

    def optimise(self, index: bool) -> None:
        """Compact and clean up; old versions would double the disk. Whoever reads or writes the same gallery at
        that moment has to begin again."""
        if index:
            self._table.create_index(metric="l2", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="optimize.cleanup_older_than=0")
            self._table.optimize(cleanup_older_than=datetime.timedelta(0), delete_unverified=False)


class _conditions:
    """Turn a condition that the engine cannot read into a sentence."""

    def __init__(self, where: str | None) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._where is not None and isinstance(error, ValueError | RuntimeError):
            reason = " ".join(str(error).split())[:140]
            raise CrossbandError(
                f"--where {self._where!r} is no condition on {', '.join(METADATA)}: {reason}"
            ) from None
