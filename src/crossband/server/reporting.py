"""Reports and results that the verbs have written, found below some folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import CrossbandError
from ..files import read_json

__all__ = ["find_report", "last_benchmark", "list_reports"]

_DEEPEST, _MOST = 4, 400
_LARGEST = 1 << 26
_KINDS = {".html": "page", ".json": "results", ".csv": "table", ".jpg": "picture", ".png": "picture"}
_NAMES = ("report", "results", "search", "matches", "explain", "robustness", "segments", "detections", "rig")


def list_reports(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """List the files that verbs write, the newest first.

    Example:
        >>> list_reports({})
        []
    """
    found: list[dict[str, Any]] = [
        {
            "id": _name(path),
            "folder": name,
            "file": path.relative_to(folder).as_posix(),
            "kind": _KINDS[path.suffix],
            "bytes": path.stat().st_size,
            "time": path.stat().st_mtime,
        }
        for name, folder in folders.items()
        for path in _files(folder)
    ]
    return sorted(found, key=lambda one: (one["kind"] != "page", -one["time"]))[:_MOST]


def find_report(folders: Mapping[str, Path], name: str) -> Path | None:
    """Return the file of a name that :func:`list_reports` gave, ``None`` for any other."""
    for folder in folders.values():
        for path in _files(folder):
            if _name(path) == name:
                return path
    return None


def last_benchmark(folders: Mapping[str, Path]) -> dict[str, Any] | None:
    """Read the newest ``results.json`` that ``benchmark`` wrote below some folders; ``None`` without one.

    Example:
        >>> last_benchmark({}) is None
        True
    """
    found = [path for folder in folders.values() for path in _files(folder) if path.name == "results.json"]
    for path in sorted(found, key=lambda one: -one.stat().st_mtime):
        try:
            told = read_json(path, _LARGEST)
        except CrossbandError:
            continue
        if isinstance(told, dict) and isinstance(told.get("runs"), list) and "protocol" in told:
            return {"time": path.stat().st_mtime, "runs": told["runs"]}
    return None


def _name(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path.resolve()), digest_size=9).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Files of known names, none through a link that leads out of the folder."""
    root = folder.resolve()
    for place, folders, files in os.walk(root):
        depth = len(Path(place).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and depth < _DEEPEST)
        for file in sorted(files):
            path = Path(place, file)
            if path.suffix in _KINDS and path.stem.startswith(_NAMES) and path.resolve().is_relative_to(root):
                yield path
