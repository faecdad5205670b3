"""A user's own folders: the same stem in two folders, or one folder with a suffix a band."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..frames import Frames
from ..progress import note
from ._registry import images_by_stem

__all__ = ["guess_folders", "guess_suffixes", "pair_folders", "pair_suffixes"]

# Names people give to the folder, or to the file suffix, of a band; the first that matches wins.
_HINTS: dict[Band, tuple[str, ...]] = {
    Band.NIR: ("nir",),
    Band.TIR: ("tir", "lwir", "thermal", "infrared", "ir", "t", "th"),
    Band.RGB: ("rgb", "visible", "visual", "color", "colour", "vis", "vi", "v", "eo"),
}


def pair_folders(root: Path, **folders: Path | None) -> Frames:
    """Frames from one folder a band: the same stem (with subfolders, the same path) is one frame.

    A frame that lacks a band is kept, with that band empty, as long as some frames have both.

    Args:
        root: the manifest's root; paths are written relative to it.
        folders: ``rgb=``, ``nir=``, ``tir=`` folder.

    Raises:
        CrossbandError: a folder is missing or has no image, or no stem is in two folders.
    """
    given = {parse_band(name): Path(folder) for name, folder in folders.items() if folder is not None}
    images = {band: images_by_stem(folder, recursive=True) for band, folder in given.items()}
    for band, found in images.items():
        if not found:
            raise CrossbandError(f"no image in the {band.value} folder {given[band]}")
    return frames_by_key(root, images, f"the folders {' and '.join(str(f) for f in given.values())}")


def pair_suffixes(root: Path, suffixes: Mapping[Band, str]) -> Frames:
    """Frames from one folder (and those below it) where a suffix of the stem tells the band, as in
    ``0001_rgb.png`` and ``0001_tir.png``.

    Raises:
        CrossbandError: no image, or no stem with two of the suffixes.
    """
    images: dict[Band, dict[str, Path]] = {band: {} for band in suffixes}
    for key, path in images_by_stem(root, recursive=True).items():
        for band, suffix in suffixes.items():
            if key.endswith(suffix) and key != suffix:
                images[band][key[: -len(suffix)]] = path
                break
    ends = " and ".join(f"*{suffix}" for suffix in suffixes.values())
    return frames_by_key(root, images, f"the files {ends} in {root}")


def frames_by_key(root: Path, images: Mapping[Band, Mapping[str, Path]], where: str) -> Frames:
    """Frames from images a band by a key that the bands share.

    Raises:
        CrossbandError: two or more bands without a common key, or no image at all.
    """
    keys = sorted(set().union(*images.values()))
    if not keys:
        raise CrossbandError(f"no image in {where}")
    common = [key for key in keys if sum(key in found for found in images.values()) > 1]
    if len(images) > 1 and not common:
        example = " and ".join(
            f"{band.value} {next(iter(found))!r}" for band, found in images.items() if found
        )
        raise CrossbandError(
            f"no file stem is in two of {where} ({example}, for example); a frame's images share their stem"
        )
    missing = len(keys) - len(common)
    if len(images) > 1 and missing:
        note(f"{missing} of {len(keys)} frames have one band only")
    base = root.resolve()
    rows = []
    for key in keys:
        row: dict[str, object] = {"frame": key}
        for band, found in images.items():
            if key in found:
                row[band.value] = _relative(found[key], base)
        rows.append(row)
    return Frames.make(rows, root)


def guess_folders(root: Path) -> dict[Band, Path]:
    """The subfolders of ``root`` whose names tell a band (``visible`` and ``infrared``, ``RGB`` and
    ``thermal``, ...); empty when fewer than two do."""
    found: dict[Band, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        words = set(_words(folder.name))
        for band, hints in _HINTS.items():
            if band not in found and words & set(hints):
                found[band] = folder
                break
    return found if len(found) > 1 else {}


def guess_suffixes(root: Path) -> dict[Band, str]:
    """The file suffixes below ``root`` that tell a band (``_rgb`` and ``_nir``, ``-vi`` and ``-ir``);
    empty when fewer than two do."""
    stems = [Path(key).name for key in images_by_stem(root, recursive=True)]
    found: dict[Band, str] = {}
    for band, hints in _HINTS.items():
        for hint in hints:
            ends = {
                stem[-len(hint) - 1 :] for stem in stems if stem.lower().endswith(("_" + hint, "-" + hint))
            }
            if len(ends) == 1:
                found[band] = ends.pop()
                break
    return found if len(found) > 1 else {}


def _words(name: str) -> list[str]:
    spaced = "".join(letter if letter.isalpha() else " " for letter in name.lower())
    return spaced.split()


def _relative(path: Path, base: Path) -> str:
    resolved = path.parent.resolve() / path.name
    if not resolved.is_relative_to(base):
        raise CrossbandError(f"{path} lies outside {base}; scan a folder that contains both bands")
    return Path(os.path.relpath(resolved, base)).as_posix()
