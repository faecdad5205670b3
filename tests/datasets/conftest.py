"""Tiny trees in the layouts of the datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import PIL.Image
import pytest

Plant = Callable[[Iterable[str]], Path]


@pytest.fixture
def plant(tmp_path) -> Plant:
    """``plant(paths)`` makes small images, and empty files of other kinds, below a folder it returns."""

    def make(paths: Iterable[str], root: Path = tmp_path / "root") -> Path:
        root.mkdir(exist_ok=True)
        for path in paths:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix in (".jpg", ".jpeg", ".png", ".tiff"):
                PIL.Image.new("L", (4, 4)).save(file)
            else:
                file.touch()
        return root

    return make


def rows(frames, *columns: str) -> list[tuple]:
    """The named columns, a tuple a frame."""
    return list(frames.table[list(columns)].itertuples(index=False, name=None))
