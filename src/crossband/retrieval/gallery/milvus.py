"""A gallery's rows on a Milvus server: the same keys, conditions and results as on a disk, for many machines.

Milvus 2.3 has no empty values, no order of rows and no version of a collection. So each column that may be
empty has a ``has_COLUMN`` beside it, each row its ``position``, and a second collection, ``NAME_files``, a
token that every change sets anew; it also keeps the gallery's files.

What the engine does not promise: a change of more than some thousand rows is several requests, so that one that
is cut off in between is there in part, and is completed by running it again; a reader of many rows may see a
change that came while it read.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import CrossbandError, MissingExtraError
from .conditions import parse_condition, to_milvus
from .lance import CONDITION_COLUMNS, METADATA, TEXT_COLUMNS, row_schema

__all__ = ["MilvusStore", "milvus_address"]

_ADDRESS = re.compile(
    r"milvus://(?P<host>[A-Za-z0-9_.\-]+):(?P<port>\d{1,5})/(?P<name>[A-Za-z_][A-Za-z0-9_]{0,200})"
)
_LONGEST_TEXT = 60_000  # bytes; the engine's own limit is 65,535
_REQUEST_BYTES = 16 << 20  # the engine takes 64 MiB
_PIECE = 45_000  # bytes of a file in one row, before base64
_AT_ONCE = 1000  # keys of one request
_NULLABLE = (*TEXT_COLUMNS, *METADATA)


def milvus_address(address: str) -> tuple[str, str]:
    """Take an address apart: the server's own address, and the collection's name.

    Args:
        address: ``milvus://HOST:PORT/NAME``; a token goes into the environment variable ``MILVUS_TOKEN``.

    Raises:
        CrossbandError: of another form.

    Example:
        >>> milvus_address("milvus://localhost:19530/flights")
        ('http://localhost:19530', 'flights')
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise CrossbandError(
            f"{address} is no address of a gallery; write milvus://HOST:PORT/NAME", parameter="gallery"
        )
    return f"http://{found['host']}:{found['port']}", found["name"]


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
        try:
            import pymilvus
        except ImportError:
            raise MissingExtraError(
                "a gallery on Milvus needs pymilvus; install crossband[milvus]", parameter="gallery"
            ) from None
        self._server, self._name = milvus_address(address)
        self._milvus, self._address = pymilvus, address
        token = os.environ.get("MILVUS_TOKEN", "")
        self._client: Any = self._do(lambda: pymilvus.MilvusClient(self._server, token=token, timeout=20))
        self._files = f"{self._name}_files"
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

    def search(self, vector: np.ndarray, k: int, where: str | None = None) -> pa.Table:
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
        return self.read_file("version")

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

    def read_file(self, name: str) -> bytes | None:
        """Return the bytes of one of the gallery's files, ``None`` where it has none of that name."""
        rows = self._do(
            lambda: self._client.query(
                self._files, filter=f"file == {json.dumps(name)}", output_fields=["number", "pieces", "text"]
            )
        )
        pieces = {row["number"]: row for row in rows}
        if not pieces or len(pieces) < pieces[min(pieces)]["pieces"]:
            return None
        return b"".join(base64.b64decode(pieces[number]["text"]) for number in range(pieces[0]["pieces"]))

    def write_file(self, name: str, data: bytes) -> None:
        """Keep the bytes of a file beside the rows; the first piece, which says how many there are, is last."""
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)] or [b""]
        rows = [
            {
                "key": f"{name}/{number:06d}",
                "file": name,
                "number": number,
                "pieces": len(pieces),
                "text": base64.b64encode(piece).decode(),
                "vector": [0.0, 0.0],
            }
            for number, piece in enumerate(pieces)
        ]
        for row in rows[::-1]:
            self._do(partial(self._client.upsert, self._files, [row]))
        self._do(
            lambda: self._client.delete(
                self._files, filter=f"file == {json.dumps(name)} and number >= {len(pieces)}"
            )
        )

    def _create(self, schema: pa.Schema) -> None:
        vector = schema.field("vector").type
        if vector.value_type != pa.float32():
            raise CrossbandError("Milvus keeps float32 rows alone; leave int8 out", parameter="dtype")
        kinds = self._milvus.DataType
        fields: list[tuple[str, Any, dict[str, Any]]] = [
            ("key", kinds.VARCHAR, {"is_primary": True, "max_length": 65_535}),
            ("position", kinds.INT64, {}),
            ("vector", kinds.FLOAT_VECTOR, {"dim": vector.list_size}),
        ]
        for name in _NULLABLE:
            number = METADATA.get(name) == pa.float64()
            fields.append((name, *((kinds.DOUBLE, {}) if number else (kinds.VARCHAR, {"max_length": 65_535}))))
            fields.append((f"has_{name}", kinds.BOOL, {}))
        self._collection(self._name, fields)
        texts = [("key", {"is_primary": True}), ("file", {}), ("text", {})]
        files = [(name, kinds.VARCHAR, {"max_length": 65_535, **more}) for name, more in texts]
        numbers: list[tuple[str, Any, dict[str, Any]]] = [
            (name, kinds.INT64, {}) for name in ("number", "pieces")
        ]
        self._collection(self._files, [*files, *numbers, ("vector", kinds.FLOAT_VECTOR, {"dim": 2})])
        self._changed()

    def _collection(self, name: str, fields: list[tuple[str, Any, dict[str, Any]]]) -> None:
        """Create a collection, its exact index, and load it; one that is there stays."""
        if self._do(lambda: self._client.has_collection(name)):
            return
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field, kind, more in fields:
            schema.add_field(field, kind, **more)
        self._do(lambda: self._client.create_collection(name, schema=schema, consistency_level="Strong"))
        exact = self._client.prepare_index_params()
        exact.add_index(field_name="vector", index_name="vector", index_type="FLAT", metric_type="L2")
        self._do(lambda: self._client.create_index(name, exact))
        self._do(lambda: self._client.load_collection(name))

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
        self.write_file("version", uuid.uuid4().bytes)

    def _table(self, rows: list[dict[str, Any]], columns: list[str]) -> pa.Table:
        schema = row_schema(self.size, "float32")
        plain = [_plain(row) for row in rows]
        found = {name: pa.array([row[name] for row in plain], schema.field(name).type) for name in columns}
        return pa.table(found, schema=pa.schema([schema.field(name) for name in columns]))

    def _do(self, work: Callable[[], Any]) -> Any:
        """Do something on the server; what it raises becomes one sentence."""
        try:
            return work()
        except (self._milvus.MilvusException, ValueError, TypeError, OSError) as error:
            reason = " ".join(str(getattr(error, "message", error)).split())[:140]
            raise CrossbandError(f"Milvus at {self._address} failed: {reason}", parameter="gallery") from None


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
