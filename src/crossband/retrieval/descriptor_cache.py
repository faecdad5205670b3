"""Descriptors on disk, keyed by content: an image is never put through the same model twice.

A store is a folder. Below it, one folder for each way of describing (encoder, weights, layer, pooling,
preprocessing); in it, shards of float16 rows beside a list of their keys, each the hash of an image
file's bytes and the band it was read as. A shard counts once its key list is there, and that is written
last, by a rename: whatever is killed, what the store holds is whole.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..errors import CrossbandError
from ..files import cache_folder, sweep_partials, write_file

__all__ = ["ArrayRows", "DescriptorStore", "Rows", "StoredRows"]

_SHARD_BYTES = 64 << 20
_SHARD_SECONDS = 60.0  # what a killed run may lose, however slow the model
_ABANDONED_SECONDS = 24 * 3600.0  # no write takes as long, on whatever machine that shares the folder
_EXPONENT = 0x7C00  # of a float16 that is no finite number
_ROW_BITS = 32  # of a place in a store: a shard has fewer rows


class Rows(Protocol):
    """Descriptors that may lie on disk: a matrix ``(n, d)`` read by rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """(number of rows, dim)."""

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows ``start`` to ``stop``, float32 ``(stop - start, d)``."""

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the rows at some positions, float32 ``(len(index), d)``."""


class ArrayRows:
    """Rows of an array in memory.

    Example:
        >>> ArrayRows(np.eye(3)).rows(1, 2)
        array([[0., 1., 0.]], dtype=float32)
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = np.asarray(array)

    @functools.cached_property
    def squared_norms(self) -> np.ndarray:
        """Squared Euclidean norms of the rows, float32 ``(n,)``, computed once."""
        return np.einsum("nd,nd->n", self._array, self._array, dtype=np.float64).astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """(number of rows, dim)."""
        return self._array.shape[0], self._array.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows as float32."""
        return np.asarray(self._array[start:stop], np.float32)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return rows as float32."""
        return np.asarray(self._array[index], np.float32)


class DescriptorStore:
    """The descriptors of one way of describing, on disk; rows are added and found by key.

    Several processes may add to the same store; rows added by another are seen at the next opening.

    Args:
        folder: where stores lie; in the user's cache (:func:`crossband.files.cache_folder`) where ``None``.
        fingerprint: what identifies the way of describing.
        scale: 0 keeps float16; else rows are int8, ``round(scale * number)``, half the size.

    Raises:
        CrossbandError: the folder cannot be written, or what is in it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = DescriptorStore(folder, "model")
        ...     store.add("a", np.ones(4)); store.flush()
        ...     DescriptorStore(folder, "model").select(["a"]).rows(0, 1)
        array([[1., 1., 1., 1.]], dtype=float32)
    """

    def __init__(self, folder: str | Path | None, fingerprint: str, scale: float = 0.0) -> None:
        folder = cache_folder() / "descriptors" if folder is None else folder
        self._scale = scale
        self.folder = Path(folder) / fingerprint
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            sweep_partials(self.folder)
            self._sweep()
            listings = sorted(self.folder.glob("[!.]*.json"))
        except OSError as error:
            raise CrossbandError(
                f"cannot write the store {folder} ({error.strerror}); give another folder", parameter="store"
            ) from None
        self._shards: list[Path] = []
        self._width = 0
        self._where: dict[str, int] = {}  # the shard and, in the lower bits, the row in it
        self._pending: dict[str, np.ndarray] = {}
        self._leaving: dict[str, np.ndarray] = {}  # what is being written
        self._writing: Future[tuple[Path, np.ndarray]] | None = None
        self._flushed = time.monotonic()
        for listing in listings:
            self._open(listing)

    def __contains__(self, key: str) -> bool:
        return key in self._where or key in self._pending or key in self._leaving

    def __len__(self) -> int:
        return len(self._where) + len(self._pending) + len(self._leaving)

    def add(self, key: str, vector: np.ndarray) -> None:
        """Add one row; it reaches the disk when a shard is full or a minute old, or by :meth:`flush`.

        Raises:
            CrossbandError: a number that float16 cannot hold.
        """
        row = np.ascontiguousarray(vector, np.float32)
        if self._scale:
            self._wait(key, np.clip(np.rint(row * self._scale), -127, 127).astype(np.int8))
            return
        half = torch.from_numpy(row).half().numpy()  # numpy takes forty times as long
        if ((half.view(np.uint16) & _EXPONENT) == _EXPONENT).any():
            raise CrossbandError(
                "a descriptor holds values that are NaN or beyond 65504, which the float16 store "
                "cannot keep; use the pooling normflat"
            )
        self._wait(key, half)

    def _wait(self, key: str, row: np.ndarray) -> None:
        self._pending[key] = row
        full = len(self._pending) * row.nbytes >= _SHARD_BYTES
        if full or time.monotonic() - self._flushed >= _SHARD_SECONDS:
            self._begin()

    def flush(self) -> None:
        """Write the waiting rows as one shard, all or nothing."""
        self._begin()
        self._end()

    def _begin(self) -> None:
        """Begin to write what waits, in a thread: networks go on while the disk is waited for."""
        self._end()
        self._flushed = time.monotonic()
        if self._pending:
            self._leaving, self._pending = self._pending, {}
            pool = ThreadPoolExecutor(1)
            self._writing = pool.submit(_write_shard, self.folder, self._leaving)
            pool.shutdown(wait=False)

    def _end(self) -> None:
        """Wait until it is written."""
        if self._writing is not None:
            writing, written, self._writing, self._leaving = self._writing, self._leaving, None, {}
            self._add_shard(*writing.result(), list(written))

    def select(self, keys: list[str]) -> StoredRows:
        """Return the rows of the keys, in their order, still on disk.

        Raises:
            KeyError: a key that was never added.
        """
        self.flush()
        codes = np.array([self._where[key] for key in keys], np.int64)
        where = np.stack([codes >> _ROW_BITS, codes & ((1 << _ROW_BITS) - 1)], axis=1)
        return StoredRows(self._shards, self._width, where, self._scale)

    def _open(self, listing: Path) -> None:
        path = listing.with_suffix(".npy")
        try:
            keys = json.loads(listing.read_bytes())
            shard = _load(path)
        except (FileNotFoundError, ValueError, EOFError, OverflowError, RecursionError):
            return  # a damaged shard is as good as none: its images are described again
        except OSError as error:
            raise _unreadable(path, error) from None
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            self._add_shard(path, shard, keys)

    def _add_shard(self, path: Path, shard: np.ndarray, keys: list[str]) -> None:
        if shard.dtype != (np.int8 if self._scale else np.float16):
            return
        if shard.ndim == 2 and len(keys) == len(shard) and shard.shape[1] == (self._width or shard.shape[1]):
            self._width = shard.shape[1]
            first = len(self._shards) << _ROW_BITS
            self._where.update((key, first + row) for row, key in enumerate(keys))
            self._shards.append(path)

    def _sweep(self) -> None:
        """Remove what killed runs of any machine left a day ago: parts, and shards whose keys never came."""
        yesterday = time.time() - _ABANDONED_SECONDS
        for path in [*self.folder.glob(".*.json"), *self.folder.glob("*.npy")]:
            with contextlib.suppress(OSError):
                left = path.name.startswith(".") or not path.with_suffix(".json").exists()
                if left and path.stat().st_mtime < yesterday:
                    path.unlink()


class StoredRows:
    """Rows of a store, read from disk as they are asked for.

    A shard is open only while it is read, so a store may have more of them than a process may open files.
    """

    def __init__(self, shards: list[Path], width: int, where: np.ndarray, scale: float = 0.0) -> None:
        self._scale = scale
        self._shards = shards
        self._width = width
        self._where = where  # (n, 2): shard, row in it

    @property
    def shape(self) -> tuple[int, int]:
        """(number of rows, dim)."""
        return len(self._where), self._width

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows as float32."""
        return self.take(np.arange(start, min(stop, len(self._where))))

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return rows as float32.

        Raises:
            CrossbandError: a shard cannot be read any more.
        """
        where = self._where[index]
        out = np.empty((len(where), self._width), np.float32)
        for shard in np.unique(where[:, 0]):
            mine = where[:, 0] == shard
            try:
                out[mine] = _load(self._shards[shard])[where[mine, 1]]
            except (OSError, ValueError) as error:
                raise _unreadable(self._shards[shard], error) from None
        return out / np.float32(self._scale) if self._scale else out

    def subset(self, index: np.ndarray) -> StoredRows:
        """Return some of the rows, still on disk."""
        return StoredRows(self._shards, self._width, self._where[index], self._scale)


def _write_shard(folder: Path, rows: dict[str, np.ndarray]) -> tuple[Path, np.ndarray]:
    shard, matrix = folder / f"{uuid.uuid4().hex}.npy", np.stack(list(rows.values()))
    try:
        write_file(shard, lambda path: np.save(path, matrix, allow_pickle=False), durable=True)
        write_file(shard.with_suffix(".json"), json.dumps(list(rows)), durable=True)
    except CrossbandError:
        with contextlib.suppress(OSError):
            shard.unlink()
        raise
    return shard, matrix


def _load(shard: Path) -> np.ndarray:
    return np.load(shard, mmap_mode="r", allow_pickle=False)


def _unreadable(path: Path, error: Exception) -> CrossbandError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
    return CrossbandError(
        f"cannot read {path} of the store ({reason}); fix that, or give another folder", parameter="store"
    )
