"""Where a gallery lives: a folder, a bucket of an object store, or a collection on a Milvus server.

``DIR``, ``s3://BUCKET/PREFIX`` (``gs://`` and ``az://`` alike) or ``milvus://HOST:PORT/NAME``. Every home keeps
the rows and two small files: ``descriptor.safetensors`` and ``gallery.json``. In a folder they are files;
elsewhere the engine that keeps the rows keeps them too, so that there is one client and one set of credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ...errors import CrossbandError
from ...files import cache_folder, make_folder, write_file
from ...locks import alone_in
from .coding import stored_dtype
from .lance import GalleryStore, LanceFiles, LanceStore, row_schema
from .milvus import MilvusStore
from .milvus_files import MilvusFiles, milvus_address

__all__ = ["DESCRIPTOR", "METADATA_FILE", "FolderHome", "Home", "RemoteHome", "home_of", "taken"]

DESCRIPTOR, METADATA_FILE = "descriptor.safetensors", "gallery.json"
_ROWS = "rows.lance"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")
_BUCKET = re.compile(r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._\-]*(/[^/?#]+)*/?")


class Home(Protocol):
    """The place of one gallery; as text, its address as it was given."""

    @property
    def work(self) -> Path:
        """The folder of this machine for what is on its way into the gallery."""

    @property
    def folder(self) -> Path | None:
        """The gallery's own folder; ``None`` where it lives in none."""

    def exists(self) -> bool:
        """Return whether there is a gallery."""

    def read_file(self, name: str) -> bytes | None:
        """Read a file of the gallery; ``None`` where it has none of that name."""

    def write_file(self, name: str, data: bytes) -> None:
        """Write a file of the gallery, whole or not at all."""

    def file(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give the path on this machine of a file of the gallery, as long as the context lasts."""

    def create(self, files: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
        """Make an empty gallery with some files, of which ``gallery.json`` is the last."""

    def rows(self, metadata: Mapping[str, Any]) -> GalleryStore:
        """Open the rows of the gallery, whose ``gallery.json`` says ``metadata``."""

    def alone(self) -> contextlib.AbstractContextManager[object]:
        """Wait until no other process of this machine is in here."""


def home_of(gallery: str | Path) -> Home:
    """Find the home that an address names; nothing is opened.

    Args:
        gallery: a folder, ``s3://BUCKET/PREFIX``, ``gs://...``, ``az://...`` or ``milvus://HOST:PORT/NAME``.

    Raises:
        CrossbandError: an address of another form.

    Example:
        >>> home_of("galleries/north").folder.name
        'north'
        >>> str(home_of("s3://bucket/galleries/north/"))
        's3://bucket/galleries/north'
    """
    if isinstance(gallery, Path) or (scheme := _SCHEME.match(gallery)) is None:
        return FolderHome(Path(gallery))
    if scheme[1] == "milvus":
        milvus_address(gallery)
        return RemoteHome(gallery)
    if _BUCKET.fullmatch(gallery) is None:
        raise CrossbandError(
            f"{gallery} is no address of a gallery; give a folder, s3://BUCKET/PREFIX (or gs://, az://) or "
            "milvus://HOST:PORT/NAME",
            parameter="gallery",
        )
    return RemoteHome(gallery.rstrip("/"))


def _schema(metadata: Mapping[str, Any]) -> pa.Schema:
    return row_schema(int(metadata["size"]), stored_dtype(str(metadata["dtype"])))


class FolderHome:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    @property
    def work(self) -> Path:
        """The folder itself."""
        return self._folder

    @property
    def folder(self) -> Path | None:
        """The folder itself."""
        return self._folder

    def exists(self) -> bool:
        """Return whether ``gallery.json`` is there: it is written last."""
        return (self._folder / METADATA_FILE).exists()

    def read_file(self, name: str) -> bytes | None:
        """Read a file of the folder."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CrossbandError(f"the gallery {self} cannot be read ({error.strerror})") from None

    def write_file(self, name: str, data: bytes) -> None:
        """Write a file of the folder."""
        write_file(self._folder / name, lambda partial: partial.write_bytes(data))

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give the path of a file of the folder, whether it is there or not."""
        yield self._folder / name

    def create(self, files: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
        """Make the folder and what is in it, ``gallery.json`` last."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self.alone():
                if self.exists():
                    raise taken(self)
                if (self._folder / _ROWS).exists():  # of a creation that was interrupted
                    shutil.rmtree(self._folder / _ROWS)
                for name, data in files.items():
                    self.write_file(name, data)
                LanceStore(self._folder / _ROWS, _schema(metadata))
                self.write_file(METADATA_FILE, json.dumps(metadata).encode())
        except OSError as error:
            raise CrossbandError(f"cannot write the gallery {self} ({error.strerror})") from None

    def rows(self, metadata: Mapping[str, Any]) -> GalleryStore:
        """Open the rows."""
        return LanceStore(self._folder / _ROWS)

    def alone(self) -> contextlib.AbstractContextManager[object]:
        """Lock the folder."""
        return alone_in(self._folder)


class RemoteHome:
    """A bucket of an object store, or a Milvus server; the files are claimed first, and the rows follow."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._milvus = address.startswith("milvus://")
        self._opened: LanceFiles | MilvusFiles | None = None

    def __str__(self) -> str:
        return self._address

    @property
    def work(self) -> Path:
        """A folder of the user's cache."""
        return cache_folder() / "galleries" / hashlib.blake2b(self._address.encode(), digest_size=8).hexdigest()

    @property
    def folder(self) -> Path | None:
        """There is none."""
        return None

    def exists(self) -> bool:
        """Return whether there is a gallery."""
        return self.read_file(METADATA_FILE) is not None

    def read_file(self, name: str) -> bytes | None:
        """Read a file from where the rows are."""
        return self._files.read_file(name)

    def write_file(self, name: str, data: bytes) -> None:
        """Write a file to where the rows are."""
        self._files.write_file(name, data)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give the path of a copy in a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            data = self.read_file(name)
            if data is not None:
                path.write_bytes(data)
            yield path

    def create(self, files: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
        """Claim the address by its files; rows that are missing are made by whoever opens them."""
        if self._milvus and metadata["dtype"] != "float32":
            raise CrossbandError("Milvus keeps float32 rows alone; leave the dtype out", parameter="dtype")
        if not self._files.claim({**files, METADATA_FILE: json.dumps(metadata).encode()}):
            raise taken(self)
        self.rows(metadata)

    def rows(self, metadata: Mapping[str, Any]) -> GalleryStore:
        """Open the rows; where their maker was stopped before he made them, make them."""
        return (MilvusStore if self._milvus else LanceStore)(self._address, _schema(metadata))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the working folder, for the processes of this machine."""
        with alone_in(make_folder(self.work)):
            yield

    @property
    def _files(self) -> LanceFiles | MilvusFiles:
        if self._opened is None:
            self._opened = (MilvusFiles if self._milvus else LanceFiles)(self._address)
        return self._opened


def taken(home: Home) -> CrossbandError:
    """Return what is raised where a gallery is there already."""
    return CrossbandError(f"{home} holds a gallery already; choose another folder", parameter="gallery")
