"""Tiny trees in the layouts of the datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from .published import TREES

Plant = Callable[[Iterable[str]], Path]


@pytest.fixture
def plant(tmp_path) -> Plant:
    """``plant(paths)`` makes small images, and empty files of other kinds, below a folder it returns."""

    def make(paths: Iterable[str], root: Path = tmp_path / "root") -> Path:
        root.mkdir(exist_ok=True)
        for path in paths:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".tiff", ".tif", ".bmp"):
                PIL.Image.new("L", (4, 4)).save(file)
            elif file.suffix == ".npy":
                np.save(file, np.arange(600, dtype=np.int64).reshape(20, 30) % 13)
            else:
                file.touch()
        return root

    return make


@pytest.fixture
def published(plant) -> Callable[[str], Path]:
    """``published(name)``: the tree of a known dataset."""

    def make(name: str) -> Path:
        root = plant(TREES[name])
        for path, text in TREES[name].items():
            if text:
                (root / path).write_text(text)
        return root

    return make


def rows(frames, *columns: str) -> list[tuple]:
    """The named columns, a tuple a frame."""
    return list(frames.table[list(columns)].itertuples(index=False, name=None))
