"""Pair images into frames: the same stem in two folders, a suffix per band, or one file with both bands.

What a user's own folders and the published layouts share.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..frames import Frames
from ..io.flir import has_flir_records
from ..progress import note, track
from ._registry import images_by_stem, is_text, note_once

__all__ = [
    "Group",
    "frames_by_key",
    "guess_folders",
    "guess_radiometric",
    "guess_suffixes",
    "pair_folders",
    "pair_groups",
    "pair_radiometric",
    "pair_suffixes",
]

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")

# Names people give to the folder, or to the file suffix, of a band; the first that matches wins.
_HINTS: dict[Band, tuple[str, ...]] = {
    Band.NIR: ("nir",),
    Band.TIR: ("tir", "lwir", "thermal", "infrared", "ir", "t", "th"),
    Band.RGB: ("rgb", "visible", "visual", "color", "colour", "vis", "vi", "v", "eo"),
}


def pair_folders(root: Path, **folders: Path | None) -> Frames:
    """Pair the images of one folder per band: the same stem (or relative path) is one frame.

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
            raise CrossbandError(f"no images in the {band.value} folder {given[band]}")
    return frames_by_key(root, images, f"the folders {' and '.join(str(f) for f in given.values())}")


def pair_suffixes(root: Path, suffixes: Mapping[Band, str], folder: Path | None = None) -> Frames:
    """Pair the images of one folder whose stems end in a suffix per band.

    As in ``0001_rgb.png`` and ``0001_tir.png``; subfolders are searched too.

    Args:
        root: the manifest's root; paths are written relative to it.
        suffixes: the end of a stem by band.
        folder: where to look, ``root`` or a folder below it; frames are named from here.

    Raises:
        CrossbandError: no image, or no stem with two of the suffixes.
    """
    images: dict[Band, dict[str, Path]] = {band: {} for band in suffixes}
    longest_first = sorted(suffixes.items(), key=lambda item: -len(item[1]))  # _nir before ir
    for key, path in images_by_stem(folder or root, recursive=True).items():
        for band, suffix in longest_first:
            if Path(key).name.endswith(suffix) and Path(key).name != suffix:
                images[band][key[: -len(suffix)]] = path
                break
    ends = " and ".join(f"*{suffix}" for suffix in suffixes.values())
    return frames_by_key(root, images, f"the files {ends} in {folder or root}")


@dataclass(frozen=True)
class Group:
    """One folder per band whose images share their stems: a sequence, or a split.

    Attributes:
        name: the start of its frames' names, unique in the dataset.
        folders: the folder of each band.
        columns: what the manifest says of all its frames (``split``, ``place``, ``sequence``, ...).
    """

    name: str
    folders: Mapping[Band, Path]
    columns: Mapping[str, object] = field(default_factory=dict)


def pair_groups(root: Path, groups: Iterable[Group], expected: str, stem: Callable[[str], str] = str) -> Frames:
    """Return frames ``GROUP/STEM`` of several groups, each with the columns of its group.

    Args:
        root: the manifest's root; paths are written relative to it.
        groups: the groups, in any order.
        expected: the layout in words, for the error.
        stem: what of a file's stem its frame is called, where the bands' stems differ.

    Raises:
        CrossbandError: no group at all, no image, or no stem that two bands share.
    """
    images: dict[Band, dict[str, Path]] = {}
    columns: dict[str, Mapping[str, object]] = {}
    groups = list(groups)
    for group in track(groups, len(groups), "scanning", "folders"):
        if not is_text(group.name):
            note_once(f"a folder of {root} is left out: its name {os.fsencode(group.name)!r} is not UTF-8")
            continue
        for band, folder in group.folders.items():
            for name, path in images_by_stem(folder).items():
                key = f"{group.name}/{stem(name)}"
                images.setdefault(band, {})[key] = path
                columns[key] = group.columns
    if not images:
        raise CrossbandError(f"{root} does not have the layout {expected}")
    frames = frames_by_key(root, images, str(root))
    wanted = dict.fromkeys(column for group_columns in columns.values() for column in group_columns)
    return frames.assign(**{name: [columns[key].get(name) for key in frames.names] for name in wanted})


def pair_radiometric(root: Path) -> Frames:
    """Make frames of radiometric FLIR JPEGs.

    Each file is both bands, its temperatures and its photograph.

    Images that carry no FLIR records are left out, and said.

    Raises:
        CrossbandError: no image carries them.
    """
    images = images_by_stem(root, recursive=True)
    found = {key: path for key, path in images.items() if has_flir_records(path)}
    if not found:
        raise CrossbandError(f"no radiometric JPEGs in {root}")
    if len(found) < len(images):
        note(f"{len(images) - len(found)} of {len(images)} images hold no temperatures and are left out")
    return frames_by_key(root, {Band.RGB: found, Band.TIR: found}, str(root))


def frames_by_key(root: Path, images: Mapping[Band, Mapping[str, Path]], where: str) -> Frames:
    """Make frames from each band's images by a shared key, in natural order (2 before 10).

    Raises:
        CrossbandError: two or more bands without a common key, or no image at all.
    """
    keys = sorted(set().union(*images.values()), key=_natural)
    if not keys:
        raise CrossbandError(f"no images in {where}")
    common = [key for key in keys if sum(key in found for found in images.values()) > 1]
    if len(images) > 1 and not common:
        example = " and ".join(f"{band.value} {next(iter(found))!r}" for band, found in images.items() if found)
        raise CrossbandError(
            f"no file stem occurs in two of {where} ({example}, for example); a frame's images share their stem"
        )
    missing = len(keys) - len(common)
    if len(images) > 1 and missing:
        note(f"{missing} of {len(keys)} frames have only one band")
    rows = []
    for key in keys:
        row: dict[str, object] = {"frame": key}
        for band, found in images.items():
            if key in found:
                row[band.value] = _relative(found[key], root)
        rows.append(row)
    return Frames.make(rows, root)


def guess_radiometric(root: Path, look_at: int = 16) -> bool:
    """Return whether one of the first images below ``root`` carries FLIR records."""
    images = images_by_stem(root, recursive=True).values()
    return any(has_flir_records(path) for path in islice(images, look_at))


def guess_folders(root: Path) -> dict[Band, Path]:
    """Return the subfolders of ``root`` whose names tell a band.

    Such as ``visible`` and ``infrared``, or ``RGB`` and ``thermal``; empty when fewer than two do.
    """
    found: dict[Band, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        words = set(_words(folder.name))
        for band, hints in _HINTS.items():
            if band not in found and words & set(hints):
                found[band] = folder
                break
    return found if len(found) > 1 else {}


def guess_suffixes(root: Path) -> dict[Band, str]:
    """Return the file suffixes below ``root`` that tell a band.

    Such as ``_rgb`` and ``_nir``, or ``-vi`` and ``-ir``; empty when fewer than two do.
    """
    stems = [Path(key).name for key in images_by_stem(root, recursive=True)]
    found: dict[Band, str] = {}
    for band, hints in _HINTS.items():
        for hint in hints:
            ends = {stem[-len(hint) - 1 :] for stem in stems if stem.lower().endswith(("_" + hint, "-" + hint))}
            if len(ends) == 1:
                found[band] = ends.pop()
                break
    return found if len(found) > 1 else {}


def _words(name: str) -> list[str]:
    spaced = "".join(letter if letter.isalpha() else " " for letter in name.lower())
    return spaced.split()


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """A sort key: text as text, numbers as numbers; names that differ in leading zeros only stay apart."""
    return (*((text, int(number or 0)) for text, number in _PARTS.findall(name)), (name, 0))


def _relative(path: Path, base: Path) -> str:
    """The path below ``base``, as written: data that is linked into the folder keeps its name there."""
    relative = _below(path, base) or _below(path.parent.resolve() / path.name, base.resolve())
    if relative is None:
        raise CrossbandError(f"{path} lies outside {base}; scan a folder that contains both bands")
    return relative


def _below(path: Path, base: Path) -> str | None:
    relative = os.path.relpath(path, base)
    return None if relative.split(os.sep, 1)[0] == os.pardir else Path(relative).as_posix()
