"""What names tell of bands: the words people put into the names of folders and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..bands import Band

__all__ = ["HINTS", "without_band", "words"]

# Names people give to the folder, or to the file suffix, of a band; the first that matches wins.
HINTS: dict[Band, tuple[str, ...]] = {
    Band.NIR: ("nir",),
    Band.TIR: ("tir", "lwir", "thermal", "infrared", "ir", "t", "th"),
    Band.RGB: ("rgb", "visible", "visual", "color", "colour", "vis", "vi", "v", "eo", "wide", "w"),
}
_SEPARATORS = "_- ."


def words(name: str) -> list[str]:
    """Return the words of a name, in lower case.

    Example:
        >>> words("Flight2_RGB-left")
        ['flight', 'rgb', 'left']
    """
    spaced = "".join(letter if letter.isalpha() else " " for letter in name.lower())
    return spaced.split()


def without_band(images: Mapping[Band, Mapping[str, Path]]) -> dict[Band, dict[str, Path]] | None:
    """Return images under keys that two bands share once what only tells the band is taken away.

    That is a band's word at either end of a stem (``rgb_0001`` in a folder ``rgb``), else folders that each
    band calls otherwise (``visible/png/0001``, ``thermal/tiff/0001``). ``None`` where neither makes keys that
    two bands share and that are unique.

    Example:
        >>> found = {Band.RGB: {"rgb_1": Path("rgb_1.png")}, Band.TIR: {"tir_1": Path("tir_1.png")}}
        >>> list(without_band(found)[Band.TIR])
        ['1']
    """
    bare = {band: {_bare(key, band): path for key, path in found.items()} for band, found in images.items()}
    flat = {band: {Path(key).name: path for key, path in found.items()} for band, found in bare.items()}
    for renamed in (bare, flat):
        unique = all(len(renamed[band]) == len(found) for band, found in images.items())
        shared = [key for found in renamed.values() for key in found]
        if unique and len(set(shared)) < len(shared):
            return renamed
    return None


def _bare(key: str, band: Band) -> str:
    folder, slash, stem = key.rpartition("/")
    lower = stem.lower()
    for hint in sorted(HINTS[band], key=len, reverse=True):
        for mark in _SEPARATORS:
            if lower.startswith(hint + mark) and len(stem) > len(hint) + 1:
                return folder + slash + stem[len(hint) + 1 :]
            if lower.endswith(mark + hint) and len(stem) > len(hint) + 1:
                return folder + slash + stem[: -len(hint) - 1]
    return key
