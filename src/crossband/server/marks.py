"""A person's judgments of results, written as a manifest that the library reads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bands import BANDS
from ..errors import CrossbandError
from ..frames import Frames
from ..retrieval.gallery.lance import METADATA
from .galleries import ServedGallery

if TYPE_CHECKING:
    from .schemas import Mark

__all__ = ["marks_manifest"]


def marks_manifest(gallery: ServedGallery, marks: Sequence[Mark]) -> str:
    """Write marks as a CSV manifest.

    Frames that were marked as right for each other share a place, also over others; ``not_same`` holds the
    frames that one was marked as wrong for, each ended by a semicolon (digits alone would be a number).

    Raises:
        CrossbandError: an item that is not there, or frames without a common folder.
    """
    catalog = gallery.catalog()
    frames: dict[tuple[str, str], dict[str, Any]] = {}
    group: dict[tuple[str, str], tuple[str, str]] = {}
    wrong: dict[tuple[str, str], set[str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while group[key] != key:
            key = group[key]
        return key

    def frame_of(name: str) -> tuple[str, str]:
        if name not in catalog.table.index:
            raise CrossbandError("a mark names an item that is not in the gallery", parameter="marks")
        row = catalog.table.loc[name]
        key = (str(row["key"]).partition("|")[0], str(row["frame"]))
        if key not in frames:
            bands = catalog.by_frame[key]
            paths = {band: catalog.table.at[item, "path"] for band, item in bands.items()}
            known = {column: row[column] for column in METADATA if row[column] == row[column]}
            frames[key] = {"frame": key[1], **paths, **{c: v for c, v in known.items() if v is not None}}
            group[key] = key
        return key

    for mark in marks:
        query, item = frame_of(mark.query), frame_of(mark.item)
        if mark.right:
            group[root(query)] = root(item)
        else:
            wrong.setdefault(query, set()).add(item[1])
    names = [key[1] for key in frames]
    if len(set(names)) < len(names):
        raise CrossbandError(
            "two folders have frames of one name; export the marks of each alone", parameter="marks"
        )
    folder = os.path.commonpath([Path(row[b]).parent for row in frames.values() for b in BANDS if b in row])
    numbers: dict[tuple[str, str], str] = {}
    rows: list[dict[str, Any]] = []
    for key, row in frames.items():
        place = numbers.setdefault(root(key), f"marked{len(numbers) + 1:04d}")
        paths: dict[str, Any] = {
            band.value: os.path.relpath(row[band.value], folder) for band in BANDS if band.value in row
        }
        judged: dict[str, Any] = {
            "place": place,
            "not_same": "".join(f"{name};" for name in sorted(wrong.get(key, ()))) or None,
        }
        rows.append({**dict(row), **paths, **judged})
    made = Frames.make(rows, folder)
    buffer = io.StringIO()
    buffer.write(f"# root: {folder}\n")
    made.table.to_csv(buffer, index=False)
    return buffer.getvalue()
