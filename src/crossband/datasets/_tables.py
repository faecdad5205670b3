"""LanceDB tables with an image in each cell: a row is a frame, a column a band."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ..bands import BANDS
from ..errors import CrossbandError
from ..frames import Frames
from ..lance_tables import column_rows, forget_tables, open_table
from ..stored import resolved

__all__ = ["guess_tables", "is_table", "read_tables"]


def is_table(path: Path) -> bool:
    """Return whether a path is a LanceDB table with images, on the disk or an object store."""
    if path.suffix != ".lance" or not (_address(path).count("://") or (path / "_versions").is_dir()):
        return False
    try:
        names = open_table(_address(path)).schema.names
    except OSError:
        return False
    return "frame" in names and any(band in names for band in BANDS)


def guess_tables(root: Path) -> list[Path]:
    """Return the tables of a folder that hold images, in order."""
    forget_tables()
    return sorted(path for path in root.iterdir() if is_table(path))


def read_tables(root: Path, tables: Sequence[Path]) -> Frames:
    """Return a frame for each row of some tables of a folder.

    Other columns of numbers and texts come along. Frames are called by the table and the row.

    Raises:
        CrossbandError: two rows of a table are called alike, or one has no name; or a table has no rows.
    """
    forget_tables()
    return Frames.make(pd.concat([_rows(table) for table in tables], ignore_index=True), root)


def _rows(path: Path) -> pd.DataFrame:
    address = _address(path)
    table = open_table(address)
    plain = [field.name for field in table.schema if _is_plain(field.type) and field.name not in BANDS]
    try:
        rows = table.search().select(plain).to_arrow().to_pandas()
    except (OSError, RuntimeError, ValueError) as error:
        raise CrossbandError(f"cannot read {address} ({' '.join(str(error).split())[:120]})") from None
    rows["frame"] = rows["frame"].astype("string")
    if not len(rows) or (rows["frame"].fillna("").str.strip() == "").any():
        told = "has a row without a name in its column frame" if len(rows) else "has no rows"
        raise CrossbandError(f"{address} {told}; write the table again")
    for band in (band for band in BANDS if band in table.schema.names):
        there = column_rows(address, band)
        rows[band] = [f"{path.name}/{band}/{name}" if name in there else None for name in rows["frame"]]
    rows["frame"] = f"{path.stem}/" + rows["frame"]
    return rows


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a manifest can hold a column of this type."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind)


def _address(path: Path) -> str:
    return resolved(path)
