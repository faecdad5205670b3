"""A gallery's rows on a Milvus server: the same keys, conditions and results as on a disk, for many machines.

Milvus 2.3 has no empty values, no order of rows and no version of a collection. So each column that may be
empty has a ``has_COLUMN`` beside it, each row its ``position``, and a second collection, ``NAME_files``, a
token that every change sets anew; it also keeps the gallery's files.

What the engine does not promise: a change of more than some thousand rows is several requests, so that one that
is cut off in between is there in part, and is completed by running it again; a reader of many rows may see a
change that came while it read.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import CrossbandError
from .conditions import parse_condition, to_milvus
from .lance import CONDITION_COLUMNS, METADATA, PROBES, TEXT_COLUMNS, row_schema
from .milvus_files import MilvusFiles, Server

__all__ = ["MilvusStore"]

_LONGEST_TEXT = 60_000  # bytes; the engine's own limit is 65,535
_REQUEST_BYTES = 16 << 20  # the engine takes 64 MiB
_AT_ONCE = 1000  # keys of one request
_NULLABLE = (*TEXT_COLUMNS, *METADATA)


class MilvusStore:
    """Rows in a collection of a Milvus server, as :class:`.lance.GalleryStore` has them.

    Args:
        address: ``milvus://HOST:PORT/NAME``.
        schema: creates the collection when it is not there; float32 vectors only.

    Raises:
        CrossbandError: no server there, no such collection, or int8 vectors. So do all methods when the
            server fails.
        MissingExtraError: pymilvus is not installed.
    """

    def __init__(self, address: str, schema: pa.Schema | None = None) -> None:
        self._server = server = Server(address)
        self._client, self._do, self._name = server.client, server.do, server.name
        self._files = MilvusFiles(address, server)
        if schema is not None:
            self._create(schema)
        elif not self._do(lambda: self._client.has_collection(self._name)):
            raise CrossbandError(f"no gallery at {address}; crossband index makes one", parameter="gallery")
        fields = self._do(lambda: self._client.describe_collection(self._name))["fields"]
        vector = next((field for field in fields if field["name"] == "vector"), None)
        if vector is None or {field["name"] for field in fields} != _field_names():
            raise CrossbandError(f"{address} is a collection with other columns than a gallery's")
        self._size = int(vector["params"]["dim"])

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._size

    @property
    def dtype(self) -> str:
        """``float32``: the engine takes no int8."""
        return "float32"

    def upsert(self, rows: pa.Table) -> tuple[int, int]:
        """Replace or append rows by key; rows that are replaced keep their place in the order."""
        keys = rows["key"].to_pylist()
        there = self._positions(keys)
        now, values = time.time_ns(), rows.select([n for n in rows.column_names if n != "vector"]).to_pylist()
        vectors = np.asarray(rows["vector"].combine_chunks().flatten(), np.float32).reshape(len(rows), -1)
        records = [
            _record(row, vector, there.get(row["key"], now + number))
            for number, (row, vector) in enumerate(zip(values, vectors, strict=True))
        ]
        self._write(records)
        return len(set(keys) - set(there)), len(there)

    def update(self, rows: pa.Table) -> None:
        """Set columns of rows that are there; the engine takes whole rows, so they are read first."""
        wanted = {row["key"]: row for row in rows.to_pylist()}
        found = self._by_key(list(wanted), ["*"])
        records = [
            _record(
                {**_plain(row), **wanted[row["key"]]}, np.asarray(row["vector"], np.float32), row["position"]
            )
            for row in found
        ]
        self._write(records)

    def delete(self, where: str) -> int:
        """Delete rows."""
        expression = _expression(where)
        done = self._do(lambda: self._client.delete(self._name, filter=expression))
        self._changed()
        return int(done["delete_count"])

    def count(self, where: str | None = None) -> int:
        """Count rows."""
        expression = _expression(where)
        rows = self._do(lambda: self._client.query(self._name, filter=expression, output_fields=["count(*)"]))
        return int(rows[0]["count(*)"])

    def read(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Read columns, in the order of insertion."""
        return self._table(self._all(columns, where), columns)

    def stream(self, columns: list[str], height: int, where: str | None = None) -> Iterator[pa.Table]:
        """Read columns, some rows at a time; only the keys are held together."""
        keys = [row["key"] for row in self._all(["key"], where)]
        for start in range(0, len(keys), min(height, _AT_ONCE)):
            some = keys[start : start + min(height, _AT_ONCE)]
            found = {row["key"]: row for row in self._by_key(some, _fields(columns))}
            yield self._table([found[key] for key in some if key in found], columns)

    def take(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """Read rows by number; the engine knows none, so their keys are read first."""
        keys = self.read(["key"])["key"].take(rows).to_pylist()
        found = {row["key"]: row for row in self._by_key(keys, _fields(["key", *columns]))}
        return self._table([found[key] for key in keys], columns)

    @property
    def serves(self) -> bool:
        """``True``."""
        return True

    def search(self, vector: np.ndarray, k: int, where: str | None = None, probes: int = PROBES) -> pa.Table:
        """Search on the server, exactly, filtered first."""
        expression = _expression(where)
        columns = [name for name in row_schema(self.size, "float32").names if name != "vector"]
        found = self._do(
            lambda: self._client.search(
                self._name,
                data=[np.asarray(vector, np.float32).tolist()],
                limit=k,
                filter=expression,
                output_fields=_fields(columns),
                search_params={
                    "metric_type": "L2",
                    "params": {"ef": max(256, 2 * k)} if self.indexed() else {},
                },
            )
        )[0]
        table = self._table([hit["entity"] for hit in found], columns)
        distances = pa.array([float(hit["distance"]) for hit in found], pa.float32())
        return table.append_column("_distance", distances)

    def version(self) -> object:
        """Return the token of the last change."""
        return self._files.read_file("version")

    def indexed(self) -> bool:
        """Return ``False``: the server measures every row, which its query nodes share."""
        return False

    def optimize(self, index: bool) -> None:
        """Do nothing: the server compacts by itself.

        Raises:
            CrossbandError: an index is asked for. Of the ten nearest where a condition leaves one row in a
                hundred, the engine's graph (HNSW) kept 5.9, its cells (IVF, all of them probed) 3.3 to 6.2.
        """
        if index:
            raise CrossbandError(
                "a gallery on Milvus is searched exactly, by all of its query nodes; leave the index out",
                parameter="build",
            )

    def _create(self, schema: pa.Schema) -> None:
        vector = schema.field("vector").type
        if vector.value_type != pa.float32():
            raise CrossbandError("Milvus keeps float32 rows alone; leave the dtype out", parameter="dtype")
        kinds = self._server.pymilvus.DataType
        fields: list[tuple[str, Any, dict[str, Any]]] = [
            ("key", kinds.VARCHAR, {"is_primary": True, "max_length": 65_535}),
            ("position", kinds.INT64, {}),
            ("vector", kinds.FLOAT_VECTOR, {"dim": vector.list_size}),
        ]
        for name in _NULLABLE:
            number = METADATA.get(name) == pa.float64()
            fields.append((name, *((kinds.DOUBLE, {}) if number else (kinds.VARCHAR, {"max_length": 65_535}))))
            fields.append((f"has_{name}", kinds.BOOL, {}))
        self._server.make_collection(self._name, fields)
        self._changed()

    def _positions(self, keys: Sequence[str]) -> dict[str, int]:
        return {row["key"]: row["position"] for row in self._by_key(keys, ["position"])}

    def _by_key(self, keys: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(keys), _AT_ONCE):
            wanted = f"key in {json.dumps(list(keys[start : start + _AT_ONCE]))}"
            found += self._do(partial(self._client.query, self._name, filter=wanted, output_fields=fields))
        return found

    def _all(self, columns: list[str], where: str | None) -> list[dict[str, Any]]:
        """Every row that matches, by its position; the engine gives some thousand at a time."""
        expression = _expression(where)

        def walk() -> list[dict[str, Any]]:
            rows = self._client.query_iterator(
                self._name,
                filter=expression or "position >= 0",
                output_fields=["position", *_fields(columns)],
                batch_size=_AT_ONCE,
            )
            found: list[dict[str, Any]] = []
            while some := rows.next():
                found += some
            rows.close()
            return found

        return sorted(self._do(walk), key=lambda row: row["position"])

    def _write(self, records: list[dict[str, Any]]) -> None:
        step = max(1, _REQUEST_BYTES // (4 * self.size + 1000))
        for start in range(0, len(records), step):
            some = records[start : start + step]
            self._do(partial(self._client.upsert, self._name, some))
        if records:
            self._changed()

    def _changed(self) -> None:
        self._files.write_file("version", uuid.uuid4().bytes)

    def _table(self, rows: list[dict[str, Any]], columns: list[str]) -> pa.Table:
        schema = row_schema(self.size, "float32")
        plain = [_plain(row) for row in rows]
        found = {name: pa.array([row[name] for row in plain], schema.field(name).type) for name in columns}
        return pa.table(found, schema=pa.schema([schema.field(name) for name in columns]))


def _expression(where: str | None) -> str:
    return "" if where is None else to_milvus(parse_condition(where, CONDITION_COLUMNS), filled=("key",))


def _fields(columns: Sequence[str]) -> list[str]:
    """The engine's fields behind some columns."""
    return [*columns, *(f"has_{name}" for name in columns if name in _NULLABLE)]


def _field_names() -> set[str]:
    return {"key", "position", "vector", *_NULLABLE, *(f"has_{name}" for name in _NULLABLE)}


def _record(row: dict[str, Any], vector: np.ndarray, position: int) -> dict[str, Any]:
    """A row as the engine keeps it."""
    found: dict[str, Any] = {"key": row["key"], "position": position, "vector": vector.tolist()}
    for name in _NULLABLE:
        value = row.get(name)
        if isinstance(value, str) and len(value.encode()) > _LONGEST_TEXT:
            raise CrossbandError(f"{name} of {row['key'][:60]} is longer than {_LONGEST_TEXT:,} bytes")
        empty = value is None or value != value
        found[f"has_{name}"] = not empty
        found[name] = (0.0 if METADATA.get(name) == pa.float64() else "") if empty else value
    return found


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the engine with what is empty as ``None``."""
    return {name: value if row.get(f"has_{name}", True) else None for name, value in row.items()}
