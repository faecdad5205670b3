"""How a gallery keeps numbers: whole, halved, as bytes, or as codes that are searched and then measured again.

``float32`` and ``float16`` are what they say; ``int8`` is a number times the gallery's scale. ``pq`` and
``binary`` keep int8 rows on the disk and in memory only a code of each, an eighth of that: product quantization
(Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011) or the signs after a
random rotation (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002). What codes
find is measured again with the rows.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import DamagedFileError
from ..descriptor_cache import ArrayRows, Rows
from .cells import train_centers

__all__ = [
    "CODES",
    "DTYPES",
    "ROW_BYTES",
    "Coding",
    "Estimate",
    "ProductCoder",
    "Quantized",
    "SignCoder",
    "coder_bytes",
    "coder_of",
    "coding_of",
    "stored_dtype",
]

CODES = "codes.npz"
"""The gallery's file of a coder."""
DTYPES = ("float32", "float16", "int8", "pq", "binary")
ROW_BYTES = 512
"""What a row takes in memory besides its vector, where that is whole."""
_PLACE_BYTES = 8  # besides a code
_SUB = 8  # dims that one byte of a product code stands for
_ROTATED = 1024  # dims up to which vectors are rotated before they are coded; beyond, dims are only mixed
_KIND = {"float32": np.float32, "float16": np.float16, "int8": np.int8}

Estimate = Callable[[np.ndarray], np.ndarray]
"""Estimates the squared distances, but for a constant, of some codes to a query."""


def stored_dtype(dtype: str) -> str:
    """Return what the rows of a gallery hold.

    Example:
        >>> stored_dtype("binary"), stored_dtype("float16")
        ('int8', 'float16')
    """
    return "int8" if dtype in ("pq", "binary") else dtype


@dataclass(frozen=True)
class Coding:
    """How one gallery keeps numbers.

    Attributes:
        dtype: of :data:`DTYPES`.
        scale: of int8 rows; 0 for others.
        coder: of ``pq`` and ``binary``.
    """

    dtype: str
    scale: float = 0.0
    coder: SignCoder | ProductCoder | None = None

    def stored(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors as the rows hold them."""
        if self.scale:
            return np.clip(np.rint(vectors * self.scale), -127, 127).astype(np.int8)
        return vectors.astype(_KIND[self.dtype])

    def values(self, stored: np.ndarray) -> Rows:
        """Return what rows hold as the values it stands for."""
        return Quantized(stored, self.scale) if self.scale else ArrayRows(stored)

    def in_memory(self, size: int) -> int:
        """Return the bytes that a row of ``size`` dims takes in memory, with what is known of it."""
        if self.coder is not None:
            return self.coder.width + _PLACE_BYTES
        return size * np.dtype(_KIND[self.dtype]).itemsize + ROW_BYTES


def coding_of(dtype: str, sample: np.ndarray) -> Coding:
    """Make a coding for vectors like those of a sample ``(n, d)``."""
    scale = 0.0
    if stored_dtype(dtype) == "int8":
        scale = 127 / max(float(np.quantile(np.abs(sample), 0.9999)), 1e-12)
    coder = {"pq": ProductCoder, "binary": SignCoder}.get(dtype)
    return Coding(dtype, scale, None if coder is None else coder.fitted(sample))  # type: ignore[attr-defined]


class Quantized:
    """int8 rows as the values they stand for.

    Attributes:
        at_once: rows that are best read together: as numbers of four bytes they stay in the cache.
    """

    def __init__(self, rows: np.ndarray, scale: float) -> None:
        self._rows, self._scale = rows, np.float32(scale)
        self.at_once = max(16, (1 << 21) // (4 * max(1, rows.shape[1])))

    @functools.cached_property
    def squared_norms(self) -> np.ndarray:
        """Squared Euclidean norms of the rows, float32 ``(n,)``, computed once."""
        n, step = len(self._rows), self.at_once
        parts = [np.square(self.rows(start, min(start + step, n))).sum(1) for start in range(0, n, step)]
        return np.concatenate([np.empty(0, np.float32), *parts])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dims."""
        return self._rows.shape[0], self._rows.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return some rows, float32."""
        return self._values(self._rows[start:stop])

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return rows by number, float32."""
        return self._values(self._rows[index])

    def _values(self, rows: np.ndarray) -> np.ndarray:
        values = rows.astype(np.float32)
        values /= self._scale
        return values


@dataclass(frozen=True)
class _Turn:
    """What spreads the variance of vectors over all dims: their middle is taken off, and they are turned.

    Attributes:
        middle: float32 ``(d,)``.
        axes: float32 ``(d, d)``, or an order of the dims, int64 ``(d,)``.
    """

    middle: np.ndarray
    axes: np.ndarray

    @classmethod
    def fitted(cls, sample: np.ndarray) -> _Turn:
        generator, size = np.random.default_rng(0), sample.shape[1]
        if size > _ROTATED:
            axes = generator.permutation(size)
        else:
            axes = np.linalg.qr(generator.standard_normal((size, size)))[0].astype(np.float32)
        return cls(sample.mean(0, dtype=np.float64).astype(np.float32), axes)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        centered = vectors - self.middle
        return centered[:, self.axes] if self.axes.ndim == 1 else centered @ self.axes


@dataclass(frozen=True)
class SignCoder:
    """One bit for each dim: on which side of the middle a vector lies."""

    turn: _Turn

    @property
    def width(self) -> int:
        """Bytes of a code."""
        return -(-len(self.turn.middle) // 64) * 8

    @classmethod
    def fitted(cls, sample: np.ndarray) -> SignCoder:
        """Make a coder of vectors like those of a sample ``(n, d)``."""
        return cls(_Turn.fitted(sample))

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Return the codes of vectors ``(n, d)``, uint8 ``(n, width)``."""
        bits = np.packbits(self.turn(vectors) > 0, axis=1)
        return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, self.width - bits.shape[1]))))

    def estimate(self, query: np.ndarray) -> Estimate:
        """Return what counts the bits in which codes differ from a query's."""
        asked = self.encode(query[None]).view(np.uint64)[0]

        def count(codes: np.ndarray) -> np.ndarray:
            return _ones(codes.view(np.uint64) ^ asked).sum(1, dtype=np.uint16).astype(np.float32)

        return count

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what makes it."""
        return {"middle": self.turn.middle, "axes": self.turn.axes}


@dataclass(frozen=True)
class ProductCoder:
    """One byte for every eight dims: the number of the nearest of 256 points.

    Attributes:
        turn: is done first.
        books: float32 ``(width, 256, 8)``; dims that are missing to the last eight are zeros.
    """

    turn: _Turn
    books: np.ndarray

    @property
    def width(self) -> int:
        """Bytes of a code."""
        return len(self.books)

    @classmethod
    def fitted(cls, sample: np.ndarray) -> ProductCoder:
        """Make a coder of vectors like those of a sample ``(n, d)``."""
        turn = _Turn.fitted(sample)
        parts = _parts(turn(sample))
        books = np.zeros((len(parts), 256, _SUB), np.float32)
        for book, part in zip(books, parts, strict=True):
            points = train_centers(part, 256).points
            book[:] = points[np.arange(256) % len(points)]
        return cls(turn, books)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Return the codes of vectors ``(n, d)``, uint8 ``(n, width)``."""
        codes = np.empty((len(vectors), self.width), np.uint8)
        half = 0.5 * np.square(self.books).sum(2)
        for number, part in enumerate(_parts(self.turn(vectors))):
            codes[:, number] = (part @ self.books[number].T - half[number]).argmax(1)
        return codes

    def estimate(self, query: np.ndarray) -> Estimate:
        """Return what sums the squared distances of a query's parts to the points that codes name."""
        parts = _parts(self.turn(query[None]))[:, 0]
        tables = np.square(self.books - parts[:, None]).sum(2)

        def total(codes: np.ndarray) -> np.ndarray:
            found = np.zeros(len(codes), np.float32)
            for table, column in zip(tables, np.ascontiguousarray(codes.T), strict=True):
                found += table[column]
            return found

        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what makes it."""
        return {"middle": self.turn.middle, "axes": self.turn.axes, "books": self.books}


def coder_bytes(coder: SignCoder | ProductCoder) -> bytes:
    """Return the file of a coder, which :func:`coder_of` reads."""
    file = io.BytesIO()
    np.savez(file, **coder.arrays())  # type: ignore[arg-type]
    return file.getvalue()


def coder_of(data: bytes | None, dtype: str, size: int) -> SignCoder | ProductCoder | None:
    """Read the coder of a gallery; ``None`` for a dtype that has none.

    Raises:
        DamagedFileError: its file is missing, or none of vectors of ``size`` dims.
    """
    if dtype not in ("pq", "binary"):
        return None
    try:
        arrays: dict[str, Any] = dict(np.load(io.BytesIO(data or b""), allow_pickle=False))
        turn = _Turn(arrays["middle"], arrays["axes"])
        whole = turn.middle.shape == (size,) and turn.axes.shape in ((size,), (size, size))
        if dtype == "pq":
            whole = whole and arrays["books"].shape == (-(-size // _SUB), 256, _SUB)
    except (ValueError, KeyError, EOFError, OSError, AttributeError, OverflowError, MemoryError):
        whole = False
    if not whole:
        raise DamagedFileError(f"{CODES} of the gallery is missing or damaged; index its frames into another")
    return ProductCoder(turn, arrays["books"]) if dtype == "pq" else SignCoder(turn)


def _parts(vectors: np.ndarray) -> np.ndarray:
    """Vectors in parts of eight dims, ``(parts, n, 8)``."""
    n, size = vectors.shape
    padded = np.pad(vectors, ((0, 0), (0, -size % _SUB)))
    return np.ascontiguousarray(padded.reshape(n, -1, _SUB).transpose(1, 0, 2))


_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def _ones(words: np.ndarray) -> np.ndarray:
    """How many bits of each word are one."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    return _OF_BYTE[words.view(np.uint8)]
