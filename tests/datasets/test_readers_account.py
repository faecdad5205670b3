"""Each dataset's reader accounts for every file of a tree that was changed by hand: in a frame, or left out."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossband.datasets import metadata, scan
from crossband.errors import CrossbandError
from crossband.io.composite import files_of

from .published import TREES

PICTURE = np.add.outer(np.arange(20), np.arange(24)).astype(np.uint8)
IMAGES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}
CHANGES = ("gone", "beside", "suffix", "deeper", "empty", "text", "text in place")


def encoded(kind: str, memo: dict[str, bytes] = {}) -> bytes:  # noqa: B006  (thousands of equal files)
    if kind not in memo:
        buffer = io.BytesIO()
        PIL.Image.fromarray(PICTURE).save(buffer, format=kind)
        memo[kind] = buffer.getvalue()
    return memo[kind]


def content_of(path: str, text: str | None) -> bytes:
    if text:
        return text.encode()
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, PICTURE)
        return buffer.getvalue()
    kinds = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
    return encoded(kinds.get(suffix, "JPEG")) if suffix in IMAGES else b""


def changed(tree: dict[str, bytes], path: str, change: str) -> dict[str, bytes]:
    """A tree of files with one change at one of them, as archives are unpacked and mended by hand."""
    name, content = Path(path), tree[path]
    if change == "gone":
        return {other: data for other, data in tree.items() if other != path}
    more = {
        "beside": {str(name.with_name(f"{name.stem} (1){name.suffix}")): content},
        "suffix": {str(name.with_suffix(".unknown")): content},
        "deeper": {str(name.parent / "old" / name.name): content},
        "empty": {path: b""},
        "text": {str(name.with_name("notes.txt")): b"bad light"},
        "text in place": {path: b"moved to the archive"},
    }[change]
    return {**tree, **more}


@pytest.mark.slow
@pytest.mark.parametrize("name", TREES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_reader_accounts_for_every_file_of_a_tree_that_was_changed(name, data):
    tree = {path: content_of(path, text) for path, text in TREES[name].items()}
    for _ in range(data.draw(st.integers(1, 5))):
        path = data.draw(st.sampled_from(sorted(tree)))
        tree = changed(tree, path, data.draw(st.sampled_from(CHANGES))) or tree
    with tempfile.TemporaryDirectory() as folder:
        for path, content in tree.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        try:
            frames = scan(folder, kind=name)
        except CrossbandError:
            return  # refused as a whole, with a sentence
        table = frames.table
        texts = {text for column in table for text in table[column].dropna() if isinstance(text, str)}
        taken = {
            os.path.relpath(file, folder) for text in texts for file in files_of(frames.root / text)
        } & tree.keys()
        left_out = [file for one in metadata(folder, frames) for file in one.files]
        assert len(left_out) == len(set(left_out))
        assert not taken & set(left_out)
        assert taken | set(left_out) == tree.keys()
