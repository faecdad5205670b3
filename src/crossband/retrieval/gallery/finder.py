"""Finding the rows of a gallery that are nearest to a vector, by whichever way fits what there is.

In memory or from disk, exactly; by cells, codes or the engine's index, where there are many; or by a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import CrossbandError
from ...progress import note
from ..descriptor_cache import ArrayRows, Rows
from ..hubs import Lifted, own_hubness
from ..search import DEFAULT_MEMORY
from .cells import CELLS, Centers
from .coding import ROW_BYTES, Coding
from .exact import Match, Part, nearest, vectors_of
from .homes import Home
from .lance import PROBES, GalleryStore, row_schema
from .memory import STREAM_BYTES, Codes, Whole, load
from .metadata import read_metadata
from .walk import found_together

__all__ = ["Finder"]

_EXACT_BELOW = 1_000_000  # rows


class Finder:
    """What finds a gallery's rows; it keeps them in memory between searches where they fit.

    Args:
        home: where the gallery lives.
        rows: its rows.
        coding: how numbers are kept.
    """

    def __init__(self, home: Home, rows: GalleryStore, coding: Coding) -> None:
        self.home, self.rows, self.coding = home, rows, coding
        self._memory: Whole | Codes | None = None
        self._hubs: tuple[Rows, np.ndarray] | None = None
        self._chosen: dict[str, Any] | None = None

    def nearest(
        self,
        vector: np.ndarray,
        k: int,
        where: str | None,
        exact: bool | None,
        max_memory: int,
        csls: bool = False,
    ) -> tuple[pa.Table, np.ndarray]:
        """Return what is known of the nearest rows, and their squared distances; see ``Gallery.nearest``."""
        if k < 1:
            raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
        if len(vector) != self.rows.size:
            raise CrossbandError(
                f"dimension mismatch: expected {self.rows.size}, got {len(vector)}; "
                "the query and the gallery must use one model"
            )
        if not (n := self.rows.count()):
            raise CrossbandError(f"the gallery {self.home} is empty; crossband index fills it")
        fits = self.fits(max_memory, n)
        way = "csls" if csls else self._way(n, fits, exact)
        if csls:
            self._check_csls(fits)
        loaded = self.loaded(way == "cells") if way in ("memory", "csls", "cells", "codes") else None
        keep = None if where is None or loaded is None else loaded.mask(where)
        if where is not None and not (self.rows.count(where) if keep is None else keep.any()):
            raise CrossbandError(
                f"nothing to search in {self.home}: no item fulfils {where!r}; choose another condition",
                parameter="where",
            )
        tiles = max(max_memory // 4, 64 * self.rows.size)
        if way == "disk":
            return nearest(vector, self._from_disk(where, tiles), k, tiles)
        if loaded is None:
            found = self.rows.search(vector, k, where, self._probes or PROBES)
            gone = [name for name in ("_distance", "vector") if name in found.column_names]
            return found.drop_columns(gone), found["_distance"].to_numpy()
        if isinstance(loaded, Codes) or way == "cells":
            return loaded.search(vector, k, self._probes, where)
        if csls:
            lifted, query = self._lifted(loaded.rows, tiles), np.append(vector, np.float32(0))
            return nearest(query, [(loaded.table, lifted, keep)], k, tiles)
        return nearest(vector, [(loaded.table, loaded.rows, keep)], k, tiles)

    def _check_csls(self, fits: bool) -> None:
        if self.coding.coder is not None:
            raise CrossbandError(f"CSLS is not for codes, as {self.home} keeps; leave it out", parameter="csls")
        if not fits:
            raise CrossbandError(
                f"CSLS is searched in memory, and {self.home} does not fit; allow more, or leave it out",
                parameter="max_memory",
            )

    def keys(
        self, vector: np.ndarray, k: int, where: str | None, exact: bool | None, max_memory: int
    ) -> list[str]:
        """Return the keys of the nearest rows."""
        return self.nearest(vector, k, where, exact, max_memory)[0]["key"].to_pylist()

    def way(self, max_memory: int = DEFAULT_MEMORY) -> str:
        """Return how a search is done.

        ``memory`` or ``disk``, exactly; by ``cells``, ``codes`` or the engine's ``index``; or by a ``server``.
        """
        n = self.rows.count()
        return self._way(n, self.fits(max_memory, n), None)

    def forget(self) -> None:
        """Drop what is in memory, as when another way of searching was chosen."""
        self._memory = self._chosen = None

    def _way(self, n: int, fits: bool, exact: bool | None) -> str:
        """How a search is done: ``memory``, ``cells``, ``codes``, ``disk``, ``index`` or ``server``."""
        if self.rows.serves:
            return "server"
        if self.coding.coder is not None and fits and exact is not True:
            return "codes"
        whole = "memory" if fits else "disk"
        if exact or (exact is None and fits and n < _EXACT_BELOW):
            return whole
        if fits and self._tuned().get("cells"):
            return "cells"
        if self.rows.indexed() or (exact is False and not self.coding.scale):
            return "index"
        if exact is False:
            raise CrossbandError(f"the {self.coding.dtype} gallery {self.home} has no index; leave exact out")
        if not fits and not self.coding.scale:
            note(
                f"{self.home} is read from disk for every search; "
                "an index makes it fast; crossband gallery optimize builds it"
            )
        return whole

    def _tuned(self) -> dict[str, Any]:
        """What ``crossband gallery optimize`` chose; read again with the rows."""
        if self._chosen is None:
            self._chosen = read_metadata(self.home).get("search") or {}
        return self._chosen

    @property
    def _probes(self) -> int | None:
        probes = self._tuned().get("probes")
        return probes if isinstance(probes, int) and probes > 0 else None

    def _height(self, memory: int = STREAM_BYTES) -> int:
        """How many rows are read at a time."""
        each = self.rows.size * (1 if self.coding.scale else 4)
        return max(1, min(memory, STREAM_BYTES) // (each + ROW_BYTES))

    def _from_disk(self, where: str | None, memory: int) -> Iterator[Part]:
        """The rows that match a condition, some at a time."""
        for batch in self.rows.stream(row_schema(1, "float32").names, self._height(memory), where):
            yield batch.drop_columns(["vector"]), self.coding.values(vectors_of(batch)), None

    def loaded(self, cells: bool = False) -> Whole | Codes:
        """Return all rows in memory, loaded again only after a change, or where they are wanted in cells."""
        version = self.rows.version()
        while (
            self._memory is None or self._memory.version != version or (cells and self._memory.centers is None)
        ):
            self._memory = self._chosen = None
            self._memory = load(self.rows, self.coding, self._centers(cells), self._height())
            version = self.rows.version()
        return self._memory

    def _centers(self, wanted: bool) -> Centers | None:
        """The centers of the cells that rows are sorted by: where they are wanted, or of many codes."""
        many = self.coding.coder is not None and self.rows.count() >= _EXACT_BELOW
        data = self.home.read_file(CELLS) if (wanted or many) and self._tuned().get("cells") else None
        return None if data is None else Centers.of_bytes(data, self.rows.size)

    def together(
        self,
        vectors: np.ndarray,
        compared: list[list[Match]],
        band: str,
        length: int,
        k: int,
        where: str | None,
        csls: bool,
        max_memory: int,
    ) -> list[list[Match]]:
        """Return the matches of queries in time, by all of them."""
        if not self.fits(max_memory):
            raise CrossbandError(
                f"sequences are searched in memory, and {self.home} does not fit; allow more",
                parameter="max_memory",
            )
        loaded = self.loaded()
        if not isinstance(loaded, Whole):
            raise CrossbandError(
                f"sequences are not searched by codes, as {self.home} keeps", parameter="sequence"
            )
        keep = None if where is None else loaded.mask(where)
        known, rows = loaded.table.to_pandas(), loaded.rows
        if csls:
            vectors = np.concatenate([vectors, np.zeros((len(vectors), 1), np.float32)], 1)
            rows = self._lifted(rows, max_memory)
        if keep is not None:
            chosen = np.flatnonzero(keep)
            known, rows = known.iloc[chosen], ArrayRows(rows.take(chosen))
        return found_together(vectors, known, rows, compared, band, length, k, max_memory)

    def _lifted(self, rows: Rows, max_memory: int) -> Lifted:
        """All rows, each with a coordinate for how near it is to its neighbors in the gallery."""
        if self._hubs is None or self._hubs[0] is not rows:
            self._hubs = rows, own_hubness(rows, max_memory=max_memory)
        return Lifted(rows, self._hubs[1])

    def fits(self, max_memory: int, n: int | None = None) -> bool:
        """Tell whether the rows fit into memory beside what a search of them needs."""
        tiles = max(max_memory // 4, 64 * self.rows.size)
        each = self.coding.in_memory(self.rows.size)
        return (self.rows.count() if n is None else n) * each <= max_memory - tiles
