"""Files that lie in no folder: on an object store, in a tar file or in a LanceDB table. Their paths are paths
like any other.

``s3://BUCKET/KEY`` (``gs://`` and ``az://`` alike) is read by Arrow, with the store's usual variables for
credentials; :class:`~pathlib.Path` writes it with one slash, which is understood too. ``shard.tar/a.rgb.png``
is the member of a tar file, which is never unpacked; the tar file may lie on an object store. So may a table:
``images.lance/rgb/0001`` is a cell of one (:mod:`.lance_tables`).
"""

from __future__ import annotations

import functools
import io
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["State", "StoredCell", "StoredFile", "file_system", "is_there", "members", "resolved", "stored_file"]

_ADDRESS = re.compile(r"(?:.*/)?(s3|gs|az):/{1,2}([^/].*)", re.DOTALL)
_MEMBER = re.compile(r"(.+?\.tar)/(.+)", re.DOTALL)
_CELL = re.compile(r"(.+?\.lance)/([^/]+/.+)", re.DOTALL)

State = tuple[int, int]
"""Bytes and time of change, nanoseconds."""


@dataclass(frozen=True)
class StoredFile:
    """A file on an object store or in a tar file.

    Attributes:
        scheme: of the store, ``""`` where it is this machine's disk.
        path: below it, of the file or of the tar file.
        member: its name in the tar file, ``""`` where it is a file of its own.
    """

    scheme: str
    path: str
    member: str = ""

    def __str__(self) -> str:
        """The address as it is typed, with both slashes.

        Example:
            >>> print(StoredFile("s3", "bucket/frames.parquet"), StoredFile("", "a.tar", "1.rgb.png"))
            s3://bucket/frames.parquet a.tar/1.rgb.png
        """
        whole = f"{self.scheme}://{self.path}" if self.scheme else self.path
        return f"{whole}/{self.member}" if self.member else whole

    def state(self) -> State:
        """Return the state of the file, or of the tar file that it is in.

        Raises:
            OSError: it is not there, or the store does not answer.
        """
        if not self.scheme:
            status = Path(self.path).stat()
            return status.st_size, status.st_mtime_ns
        info = file_system(self.scheme).get_file_info(self.path)
        if not info.is_file:
            raise FileNotFoundError(self.path)
        return info.size, info.mtime_ns or 0

    def is_file(self) -> bool:
        """Return whether it is there, and a file."""
        try:
            return self.size() >= 0
        except (OSError, tarfile.TarError):
            return False

    def size(self) -> int:
        """Return its bytes; raises as :meth:`read`."""
        return self._place()[1] if self.member else self.state()[0]

    def read(self) -> bytes:
        """Return its content.

        Raises:
            OSError: it is not there, or the store does not answer.
        """
        start, size = self._place() if self.member else (0, -1)
        with self.open() as file:
            file.seek(start)
            return file.read(size) if size >= 0 else file.read()

    def open(self) -> BinaryIO:
        """Open the file, or the tar file."""
        return file_system(self.scheme).open_input_file(self.path) if self.scheme else open(self.path, "rb")

    def _place(self) -> tuple[int, int]:
        places = _places(StoredFile(self.scheme, self.path), self.state())
        if self.member not in places:
            raise FileNotFoundError(self.member)
        return places[self.member]


class StoredCell(StoredFile):
    """A cell of a LanceDB table, which is ``path``; ``member`` is its column and its row's name."""

    def state(self) -> State:
        """Return the version of the table, and when it was written; raises as :meth:`read`."""
        from .lance_tables import table_state

        return table_state(self._table)

    def size(self) -> int:
        """Return the bytes of the cell; raises as :meth:`read`."""
        from .lance_tables import cell_size

        return cell_size(self._table, *self.member.split("/", 1))

    def read(self) -> bytes:
        """Return the content of the cell.

        Raises:
            OSError: it is not there, or holds no bytes.
        """
        from .lance_tables import read_cell

        return read_cell(self._table, *self.member.split("/", 1))

    def open(self) -> BinaryIO:
        """Return the content as a file; raises as :meth:`read`."""
        return io.BytesIO(self.read())

    @property
    def _table(self) -> str:
        return f"{self.scheme}://{self.path}" if self.scheme else self.path


def stored_file(path: str | Path) -> StoredFile | None:
    """Return the file that a path names on a store, in a tar file or in a table, else ``None``.

    Example:
        >>> stored_file(Path("s3://bucket/rgb/a.png"))
        StoredFile(scheme='s3', path='bucket/rgb/a.png', member='')
        >>> stored_file("shards/0.tar/a.rgb.png").member, stored_file("rgb/a.png") is None
        ('a.rgb.png', True)
    """
    text = os.fspath(path)
    address, scheme = _ADDRESS.fullmatch(text), ""
    if address is not None:
        scheme, text = address.groups()
    inside = _MEMBER.fullmatch(text)
    if inside is not None and (scheme or not Path(inside[1]).is_dir()):
        return StoredFile(scheme, *inside.groups())
    cell = _CELL.fullmatch(text)
    if cell is not None and (scheme or Path(cell[1], "_versions").is_dir()) and cell[2][0] != "_":
        return StoredCell(scheme, *cell.groups())
    return StoredFile(scheme, text) if scheme else None


def is_there(path: str | Path) -> bool:
    """Return whether a path names a file or folder, wherever it lies.

    Example:
        >>> is_there("images.lance/rgb/0001"), is_there(".")
        (False, True)
    """
    stored = stored_file(path)
    return Path(path).exists() if stored is None else stored.is_file()


def resolved(path: str | Path) -> str:
    """Return the text that a file is known by wherever the process runs: absolute, or its address.

    Example:
        >>> resolved(Path("s3://bucket/rgb/a.png"))
        's3://bucket/rgb/a.png'
    """
    address = _ADDRESS.fullmatch(os.fspath(path))
    return os.path.realpath(path) if address is None else f"{address[1]}://{address[2]}"


def members(path: str | Path) -> list[str]:
    """Return the names of the files in a tar file, in its order.

    Raises:
        OSError: it is not there, or the store does not answer.
        tarfile.TarError: it is no tar file.
    """
    file = stored_file(path) or StoredFile("", os.fspath(path))
    return list(_places(file, file.state()))


@functools.lru_cache(maxsize=256)
def _places(file: StoredFile, state: State) -> dict[str, tuple[int, int]]:
    """Where each member of a tar file in a state begins, and its bytes."""
    with file.open() as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
        return {one.name: (one.offset_data, one.size) for one in tar if one.isfile()}


@functools.cache
def file_system(scheme: str) -> Any:
    """Return Arrow's file system of a scheme, ``None`` for this machine's disk."""
    import pyarrow.fs

    if not scheme:
        return None
    if scheme == "gs":
        return pyarrow.fs.GcsFileSystem()
    if scheme == "az":
        names = {"account_name": "AZURE_STORAGE_ACCOUNT_NAME", "account_key": "AZURE_STORAGE_ACCOUNT_KEY"}
        return pyarrow.fs.AzureFileSystem(**{key: os.environ.get(name) for key, name in names.items()})
    given: dict[str, Any] = {"region": os.environ.get("AWS_REGION")}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        protocol, _, host = endpoint.rpartition("://")
        given |= {"endpoint_override": host, "scheme": protocol or "https"}
    return pyarrow.fs.S3FileSystem(**given)
