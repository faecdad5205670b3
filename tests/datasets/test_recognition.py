"""Every known dataset is recognized by its layout, as itself alone, and each of its files is accounted for."""

from __future__ import annotations

import pytest

from crossband.datasets import dataset, list_datasets, metadata, scan
from crossband.io.composite import files_of

from .published import TREES


def test_there_is_a_tree_of_every_dataset():
    assert set(TREES) == {entry.name for entry in list_datasets()}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_recognized_by_one_adapter_and_that_is_its_own(published, name):
    root = published(name)
    assert [entry.name for entry in list_datasets() if entry.found_in(root)] == [name]


@pytest.mark.slow
@pytest.mark.parametrize("name", TREES)
def test_every_file_of_a_tree_is_in_a_frame_or_named_as_left_out(published, name):
    root = published(name)
    frames = scan(root)
    assert len(frames)
    assert set(frames.bands) <= set(dataset(name).bands)
    columns = ("rgb", "nir", "tir", "labels", "boxes", "rgb_boxes", "thermal_raw")
    taken = {
        file.relative_to(root).as_posix()
        for column in frames.table.columns.intersection(columns)
        for path in frames.table[column].dropna()
        for file in files_of(root / path)
    }
    left_out = [name for one in metadata(root, frames) for name in one.files]
    assert len(left_out) == len(set(left_out))
    assert not taken & set(left_out)
    assert taken | set(left_out) == {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
