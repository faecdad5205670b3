"""Images in the cells of a LanceDB table: ``frames.lance/rgb/0001`` is column ``rgb`` of the row ``0001``.

The table has a column ``frame`` of text or whole numbers, and a column of bytes for each band: a blob column
(``lance.blob.v2``), which is read one image at a time, or plain binary. A process reads the version that it
opened first.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

from .errors import CrossbandError

__all__ = [
    "cell_size",
    "column_rows",
    "forget_tables",
    "import_lancedb",
    "open_table",
    "read_cell",
    "table_state",
]


@functools.cache
def import_lancedb() -> Any:
    """Import LanceDB in half the time.

    It brings the client of a web service with a thousand checked calls, none of which is made here: pydantic
    builds such a check when it is first needed, not at the import.
    """
    import pydantic

    call, config = pydantic.validate_call, pydantic.BaseModel.model_config
    later = pydantic.ConfigDict(defer_build=True)
    pydantic.validate_call = functools.partial(call, config=later)  # type: ignore[assignment]
    pydantic.BaseModel.model_config = {**config, **later}
    try:
        return importlib.import_module("lancedb")
    finally:
        pydantic.validate_call, pydantic.BaseModel.model_config = call, config


def open_table(address: str) -> Any:
    """Open a table at the version of its first opening in this process.

    Args:
        address: a folder that ends in ``.lance``, on this machine's disk or an object store.

    Raises:
        OSError: it is no table, or the store does not answer.
    """
    return _opened(_whole(address), os.getpid())[0]


def table_state(address: str) -> tuple[int, int]:
    """Return the version of a table and when it was written, nanoseconds; raises as :func:`open_table`."""
    return _opened(_whole(address), os.getpid())[1]


def forget_tables() -> None:
    """Let the next read see what was written since a table was opened."""
    _opened.cache_clear()
    _rows.cache_clear()


def _whole(address: str) -> str:
    return address if "://" in address else os.path.realpath(address)


@functools.lru_cache(maxsize=1024)
def _opened(address: str, process: int) -> tuple[Any, tuple[int, int]]:
    folder, _, name = address.rpartition("/")
    try:
        table = import_lancedb().connect(folder).open_table(name.removesuffix(".lance"))
        version = table.version
        written = next(one["timestamp"] for one in table.list_versions() if one["version"] == version)
        table.checkout(version)
    except (OSError, RuntimeError, StopIteration, ValueError) as error:
        raise OSError(f"{address} is no Lance table ({' '.join(str(error).split())[:120]})") from None
    return table, (version, int(written.timestamp() * 1e9))


def column_rows(address: str, column: str) -> dict[str, int]:
    """Return the row of every frame that has an image in a column.

    Raises:
        OSError: as :func:`open_table`, or there is no such column.
        CrossbandError: two rows are called alike.
    """
    return _rows(_whole(address), column, table_state(address))


@functools.lru_cache(maxsize=64)
def _rows(address: str, column: str, state: tuple[int, int]) -> dict[str, int]:
    table = open_table(address)
    if not {"frame", column} <= set(table.schema.names) or not column.isidentifier():
        raise FileNotFoundError(f"{address} has no column {column}")
    query = table.search().where(f"`{column}` IS NOT NULL").select(["frame"]).with_row_id(True)
    found = _answer(query, address)
    rows = dict(zip(map(str, found["frame"].to_pylist()), found["_rowid"].to_pylist(), strict=True))
    if len(rows) < len(found):
        raise CrossbandError(f"{address} has two rows of one frame; delete one, or give them two names")
    return rows


def cell_size(address: str, column: str, frame: str) -> int:
    """Return the bytes of a cell, of a blob without reading it; raises as :func:`read_cell`."""
    value = _cell(address, column, frame)
    return value["size"] if isinstance(value, dict) else len(value)


def read_cell(address: str, column: str, frame: str) -> bytes:
    """Return the bytes of a cell.

    Raises:
        OSError: it is not there, holds no bytes, or the store does not answer.
    """
    value = _cell(address, column, frame)
    if isinstance(value, dict):
        row = column_rows(address, column)[frame]
        try:
            value = open_table(address).fetch_blobs(column, row_ids=[row])[0].as_py()
        except (AttributeError, RuntimeError, ValueError) as error:  # LanceDB before 0.40 reads no blobs
            raise OSError(f"column {column} of {address}: {' '.join(str(error).split())[:120]}") from None
    return bytes(value)


def _cell(address: str, column: str, frame: str) -> bytes | dict[str, Any]:
    """What a query gives of a cell: its bytes, or of a blob where they lie."""
    rows = column_rows(address, column)
    if frame not in rows:
        raise FileNotFoundError(frame)
    found = _answer(open_table(address).take_row_ids([rows[frame]]).select([column]), address)
    if not len(found):
        raise FileNotFoundError(frame)
    value = found[column][0].as_py()
    if isinstance(value, dict) and value.get("blob_uri"):  # a table could name any file of this machine
        raise OSError(f"the image of {frame} lies outside {address}; keep images in the table")
    if not isinstance(value, bytes) and not (isinstance(value, dict) and isinstance(value.get("size"), int)):
        raise OSError(f"column {column} of {address} holds no bytes")
    return value


def _answer(query: Any, address: str) -> Any:
    """What a query gives, as a table of Arrow's.

    Raises:
        OSError: the table is damaged, or the store does not answer.
    """
    try:
        return query.to_arrow()
    except (RuntimeError, ValueError) as error:
        raise OSError(f"{address} cannot be read ({' '.join(str(error).split())[:120]})") from None
