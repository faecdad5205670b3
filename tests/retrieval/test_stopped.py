"""Stopped at any write, a run goes on when it is started again, and ends where one left alone ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossband.retrieval import Descriptor, Gallery, fit_descriptor, index
from crossband.retrieval.gallery.lance import LanceStore


class Stopped(BaseException):
    """As a signal: nothing catches it."""


class Boundaries:
    """Stops before or after the n-th write: a file put in its place, or rows committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_at: int | None, after: bool) -> None:
        self.seen = 0
        self._stop_at, self._after = stop_at, after
        for owner, name in ((Path, "replace"), (LanceStore, "upsert"), (LanceStore, "update")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real):
        def write(*arguments):
            number, self.seen = self.seen, self.seen + 1
            if number == self._stop_at and not self._after:
                raise Stopped
            result = real(*arguments)
            if number == self._stop_at:
                raise Stopped
            return result

        return write


def rows_of(folder: Path) -> tuple[list[str], np.ndarray]:
    table = Gallery.open_rows(folder).read(["key", "vector"]).sort_by("key")
    return table["key"].to_pylist(), np.stack(table["vector"].to_pylist())


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_index_is_whole_wherever_it_was_stopped(tmp_path, pairs, small, after):
    frames = pairs.select(slice(0, 4))
    with pytest.MonkeyPatch.context() as patch:
        count = Boundaries(patch, None, after)
        index(frames, tmp_path / "whole", "hog", options=small)
    assert count.seen >= 6
    keys, vectors = rows_of(tmp_path / "whole")
    for number in range(count.seen):
        folder = tmp_path / f"stopped{number}"
        with pytest.MonkeyPatch.context() as patch:
            Boundaries(patch, number, after)
            with pytest.raises(Stopped):
                index(frames, folder, "hog", options=small)
        again = index(frames, folder, None if (folder / "gallery.json").exists() else "hog", options=small)
        found, theirs = rows_of(folder)
        assert found == keys, number
        assert np.array_equal(theirs, vectors)
        assert again.faults == []
        assert index(frames, folder).unchanged == len(keys)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_fit_is_whole_wherever_it_was_stopped(tmp_path, pairs, hog, after):
    frames = pairs.select(slice(0, 4))

    def fit(folder: Path) -> Path:
        return fit_descriptor([frames], hog, 2, store=folder / "s").save(folder / "f.safetensors")

    with pytest.MonkeyPatch.context() as patch:
        count = Boundaries(patch, None, after)
        whole = Descriptor.load(str(fit(tmp_path / "whole")))
    for number in range(count.seen):
        folder = tmp_path / f"stopped{number}"
        with pytest.MonkeyPatch.context() as patch:
            Boundaries(patch, number, after)
            with pytest.raises(Stopped):
                fit(folder)
        assert np.allclose(Descriptor.load(str(fit(folder))).axes, whole.axes)
