"""Manifests too large for memory, some frames at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset

from ..errors import CrossbandError
from ..frames import ROOT_KEY, Frames
from ..stored import StoredFile, file_system, stored_file

__all__ = ["PIECE", "is_partitioned", "open_pieces"]

PIECE = 100_000  # frames


def is_partitioned(source: str | Path) -> bool:
    """Return whether a path is of a manifest in several files: a folder called ``NAME.parquet``."""
    stored = stored_file(source)
    if stored is None or stored.member:
        return Path(source).suffix == ".parquet" and Path(source).is_dir()
    return Path(source).suffix == ".parquet" and not stored.is_file()


def open_pieces(source: str | Path, root: str | Path | None = None, rows: int = PIECE) -> Iterator[Frames]:
    """Open a Parquet manifest some frames at a time.

    Args:
        source: one file, or a folder of files, whose own folders ``COLUMN=VALUE`` are columns; on this machine
            or an object store.
        root: the folder of the images; without it the one that the manifest records, else the folder that it
            lies in.
        rows: frames of a piece. Names are unique within a piece, as the manifest's writer has to see to on the
            whole.

    Raises:
        CrossbandError: missing, no Parquet, or a piece that is no manifest.
    """
    source = Path(source)
    stored = stored_file(source) or StoredFile("", os.fspath(source))
    try:
        whole = pyarrow.dataset.dataset(
            stored.path, format="parquet", partitioning="hive", filesystem=file_system(stored.scheme)
        )
        recorded = (whole.schema.metadata or {}).get(ROOT_KEY, b"").decode()
        if root is None:
            root = source.parent / recorded if recorded and not is_partitioned(source) else source.parent
        for table in _tables(whole, rows):
            yield Frames.make(table.to_pandas(), Path(os.path.normpath(root)))
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CrossbandError(f"{source} is not a manifest of Parquet files: {reason}") from None


def _tables(whole: pyarrow.dataset.Dataset, rows: int) -> Iterator[pa.Table]:
    """Tables of so many rows, the last of fewer."""
    waiting: list[pa.RecordBatch] = []
    for batch in whole.to_batches(batch_size=rows, batch_readahead=1, fragment_readahead=1):
        waiting.append(batch)
        while sum(map(len, waiting)) >= rows:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, rows).replace_schema_metadata(None)
            waiting = table.slice(rows).to_batches()
    if any(map(len, waiting)):
        yield pa.Table.from_batches(waiting).replace_schema_metadata(None)
