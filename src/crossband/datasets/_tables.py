"""LanceDB tables with an image in each cell: a row is a frame, a column a band."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ..bands import BANDS, Band
from ..errors import CrossbandError
from ..frames import Frames
from ..lance_tables import column_rows, forget_tables, open_table
from ..stored import resolved

__all__ = ["guess_tables", "is_table", "read_tables"]

_ELSEWHERE = re.compile(r"(s3|gs|az):/|\.(tar|lance)/|\0")


def is_table(path: Path) -> bool:
    """Return whether a path is a LanceDB table with images, on the disk or an object store.

    Raises:
        CrossbandError: a table that is damaged.
    """
    if path.suffix != ".lance" or not (_address(path).count("://") or (path / "_versions").is_dir()):
        return False
    try:
        schema = open_table(_address(path)).schema
    except OSError as error:
        raise CrossbandError(f"{error}; mend it, or take it away") from None
    return "frame" in schema.names and bool(_bands(schema))


def guess_tables(root: Path) -> list[Path]:
    """Return the tables of a folder that hold images, in order.

    Raises:
        CrossbandError: a table that is damaged.
    """
    forget_tables()
    return sorted(path for path in root.iterdir() if is_table(path))


def read_tables(root: Path, tables: Sequence[Path]) -> Frames:
    """Return a frame for each row of some tables of a folder.

    Other columns of numbers and texts come along. Frames are called by the table and the row.

    Raises:
        CrossbandError: two rows of a table are called alike, or one has no name, or one that is no file's; or a
            table has no rows.
    """
    forget_tables()
    return Frames.make(pd.concat([_rows(table) for table in tables], ignore_index=True), root)


def _rows(path: Path) -> pd.DataFrame:
    address = _address(path)
    table = open_table(address)
    kind = table.schema.field("frame").type
    if not (_is_text(kind) or pa.types.is_integer(kind)):
        raise CrossbandError(f"column frame of {address} holds {kind}; write names as text")
    for band in (band for band in BANDS if band in table.schema.names and band not in _bands(table.schema)):
        raise CrossbandError(f"column {band} of {address} holds no bytes; write images as binary")
    plain = [field.name for field in table.schema if _is_plain(field.type) and field.name not in BANDS]
    try:
        rows = table.search().select(plain).to_arrow().to_pandas()
        there = {band: column_rows(address, band) for band in _bands(table.schema)}
    except (OSError, RuntimeError, ValueError) as error:
        raise CrossbandError(f"cannot read {address} ({' '.join(str(error).split())[:120]})") from None
    rows["frame"] = rows["frame"].astype("string")
    _check_names(rows["frame"], address)
    for band, known in there.items():
        rows[band] = [f"{path.name}/{band}/{name}" if name in known else None for name in rows["frame"]]
    rows["frame"] = f"{path.stem}/" + rows["frame"]
    return rows


def _check_names(names: pd.Series[str], address: str) -> None:
    """Refuse names that would not lead back to their own row.

    Raises:
        CrossbandError: one of them, or there are none.
    """
    if not len(names):
        raise CrossbandError(f"{address} has no rows; write the table again")
    if (names.fillna("").str.strip() == "").any():
        raise CrossbandError(f"{address} has a row without a name in its column frame; write the table again")
    for name in names:
        if not {"", ".", ".."}.isdisjoint(name.split("/")) or _ELSEWHERE.search(name):
            raise CrossbandError(f"{address} has a row called {name!r}, which names no file in it; rename it")


def _bands(schema: pa.Schema) -> list[Band]:
    """The bands of which a table has a column of bytes."""
    return [band for band in BANDS if band in schema.names and _is_bytes(schema.field(band).type)]


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_struct(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a manifest can hold a column of this type."""
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return _is_text(kind) or number or pa.types.is_timestamp(kind)


def _address(path: Path) -> str:
    return resolved(path)
