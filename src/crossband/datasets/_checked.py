"""Which images were read without a fault before, so that a run that goes on need not decode them again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from ..bands import Band
from ..io import Remark
from ..io.memo import FileMemo, file_state

__all__ = ["CheckedImages"]


class CheckedImages:
    """What was remarked of images that could be read, kept in the user's cache.

    An image is known by its path, its size and its times of change, the band and units it is read as, and the
    version of crossband that read it. Images with a fault are not kept: they may be mended.

    Example:
        >>> with CheckedImages.open() as checked:
        ...     checked.find(Path("gone.png"), Band.RGB, None) is None
        True
    """

    def __init__(self, memo: FileMemo) -> None:
        self._memo = memo

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[CheckedImages]:
        """Open what is kept."""
        with FileMemo.open("checked.sqlite") as memo:
            yield cls(memo)

    def find(self, path: Path, band: Band, units: str | None) -> tuple[Remark, ...] | None:
        """Return what was remarked of an image that could be read, ``None`` where it is unknown."""
        text = self._memo.find(_state(path, band, units))
        with contextlib.suppress(ValueError, TypeError):
            return None if text is None else tuple(Remark(*one) for one in json.loads(text))
        return None

    def keep(self, path: Path, band: Band, units: str | None, remarks: tuple[Remark, ...]) -> None:
        """Remember an image that could be read."""
        self._memo.keep(_state(path, band, units), json.dumps(remarks))


def _state(path: Path, band: Band, units: str | None) -> bytes | None:
    return file_state(path, __version__, band.value, units)
