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

import pandas as pd

from ..bands import Band, parse_band
from ..errors import CrossbandError, ImageFault
from ..frames import Frames
from ..io import read_bytes
from ..io.dji import is_dji_thermal
from ..io.flir import has_flir_records
from ..progress import note, track
from ._account import photographs
from ._moments import TOLERANCE, check_tolerance, pair_by_time
from ._names import HINTS, without_band, words
from ._registry import images_by_stem, is_text, note_once

__all__ = [
    "Group",
    "frames_by_key",
    "guess_folders",
    "guess_nested",
    "guess_prefixes",
    "guess_radiometric",
    "guess_siblings",
    "guess_suffixes",
    "pair_folders",
    "pair_groups",
    "pair_nested",
    "pair_prefixes",
    "pair_radiometric",
    "pair_suffixes",
]

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


def pair_folders(root: Path, tolerance: float = TOLERANCE, **folders: Path | None) -> Frames:
    """Pair the images of one folder per band: the same stem (or relative path) is one frame.

    Where no stem is common and names or EXIF say when an image was taken, the nearest in time are one; else
    what only tells the band is taken from the names (``rgb/rgb_1.png`` and ``tir/tir_1.png``).

    A frame that lacks a band is kept, with that band empty, as long as some frames have both.

    Args:
        root: the manifest's root; paths are written relative to it.
        tolerance: seconds that a frame's images are apart, at most, where they are paired by time.
        folders: ``rgb=``, ``nir=``, ``tir=`` folder.

    Raises:
        CrossbandError: a folder is missing or has no image, or no stem is in two folders.
    """
    given = {parse_band(name): Path(folder) for name, folder in folders.items() if folder is not None}
    images = {band: images_by_stem(folder, recursive=True) for band, folder in given.items()}
    for band, found in images.items():
        if not found:
            raise CrossbandError(f"no images in the {band.value} folder {given[band]}")
    if len(images) > 1 and not set.intersection(*(set(found) for found in images.values())):
        timed = pair_by_time(images, check_tolerance(tolerance))
        if timed is not None and _share_a_key(timed[0]):
            note_once(f"no file stem is common; paired by time, at most {tolerance:g} s apart")
            frames = frames_by_key(root, timed[0], "")
            return frames.assign(time=[timed[1].get(name) for name in frames.names])
        images = without_band(images) or images
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
    found = {key: path for key, path in images.items() if has_flir_records(path) or _is_dji(path)}
    if not found:
        raise CrossbandError(f"no radiometric JPEGs in {root}")
    if len(found) < len(images):
        note(f"{len(images) - len(found)} of {len(images)} images carry no temperatures and are left out")
    carries = photographs(found.values())
    color = {key: path for key, path in found.items() if carries[path]}
    if len(color) < len(found):
        note_once(
            f"{len(found) - len(color)} of {len(found)} files carry no photograph: their picture is the "
            "thermal image in false color, and no rgb"
        )
    return frames_by_key(root, {Band.RGB: color, Band.TIR: found} if color else {Band.TIR: found}, str(root))


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


def _share_a_key(images: Mapping[Band, Mapping[str, Path]]) -> bool:
    keys = [key for found in images.values() for key in found]
    return len(set(keys)) < len(keys)


def guess_nested(root: Path, deepest: int = 4) -> list[Group]:
    """Find the folders below ``root`` whose subfolders tell bands, each a sequence; empty where none does.

    As in ``set00/V000/visible`` and ``flight1/RGB``.
    """
    found, waiting = [], [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        bands = guess_folders(folder) if depth else {}
        if bands:
            name = folder.relative_to(root).as_posix()
            found.append(Group(name, bands, {"sequence": name}))
        elif depth < deepest:
            inner = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))
            waiting += [(path, depth + 1) for path in inner if not path.is_symlink()]
    return sorted(found, key=lambda group: _natural(group.name))


def pair_nested(root: Path, groups: list[Group], tolerance: float) -> Frames:
    """Pair frames ``SEQUENCE/STEM`` of folders that each hold a folder a band; see :func:`pair_folders`."""
    tables = []
    for group in track(groups, len(groups), "scanning", "folders"):
        part = pair_folders(root, tolerance, **{band.value: folder for band, folder in group.folders.items()})
        names = [f"{group.name}/{name}" for name in part.names]
        tables.append(part.assign(frame=names, **group.columns).table)
    return Frames.make(pd.concat(tables, ignore_index=True), root)


def guess_prefixes(root: Path) -> dict[Band, str]:
    """Find the beginnings of file names below ``root`` that tell a band.

    As ``rgb_`` and ``thermal_``, or the letters of ``RGB0001`` and ``IR0001``. Empty when fewer than two do.
    """
    stems = [Path(key).name for key in images_by_stem(root, recursive=True)]
    found: dict[Band, str] = {}
    for band, hints in HINTS.items():
        for hint in hints:
            starts = {start for stem in stems if (start := _start(stem, hint))}
            if len(starts) == 1:
                found[band] = starts.pop()
                break
    return found if len(found) > 1 else {}


def _start(stem: str, hint: str) -> str | None:
    """What of a stem is the hint at its beginning: set off, or before a number if it is more than a letter."""
    if not stem.lower().startswith(hint) or len(stem) == len(hint):
        return None
    after = stem[len(hint)]
    if after in "_-":
        return stem[: len(hint) + 1]
    return stem[: len(hint)] if after.isdigit() and len(hint) > 1 else None


def pair_prefixes(root: Path, prefixes: Mapping[Band, str]) -> Frames:
    """Pair files of one folder (and those below it) where the beginning of a name tells the band."""
    images: dict[Band, dict[str, Path]] = {band: {} for band in prefixes}
    for key, path in images_by_stem(root, recursive=True).items():
        folder, _, name = key.rpartition("/")
        for band, prefix in sorted(prefixes.items(), key=lambda item: -len(item[1])):
            if name.startswith(prefix) and name != prefix:
                images[band][f"{folder}/{name[len(prefix) :]}".lstrip("/")] = path
                break
    return frames_by_key(root, images, str(root))


def guess_radiometric(root: Path, look_at: int = 16) -> bool:
    """Return whether one of the first images below ``root`` carries FLIR records, or DJI's counts."""
    images = images_by_stem(root, recursive=True).values()
    return any(has_flir_records(path) or _is_dji(path) for path in islice(images, look_at))


def _is_dji(path: Path) -> bool:
    try:
        return is_dji_thermal(read_bytes(path))
    except ImageFault:
        return False


def guess_folders(root: Path) -> dict[Band, Path]:
    """Return the subfolders of ``root`` whose names tell a band.

    Such as ``visible`` and ``infrared``, or ``RGB`` and ``thermal``; empty when fewer than two do.
    """
    found: dict[Band, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        told = set(words(folder.name))
        for band, hints in HINTS.items():
            if band not in found and told & set(hints):
                found[band] = folder
                break
    return found if len(found) > 1 else {}


def guess_siblings(root: Path) -> list[Group]:
    """Find several sequences whose bands lie side by side.

    As ``flight1_rgb``, ``flight1_thermal``, ``flight2_rgb`` and ``flight2_thermal``.
    Empty where fewer than two sequences have two bands.
    """
    found: dict[str, dict[Band, Path]] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for band, hints in HINTS.items():
            told = [hint for hint in hints if hint in words(folder.name)]
            if told:
                rest = re.sub(rf"(?i)(?<![a-z]){told[0]}(?![a-z])", "", folder.name, count=1)
                found.setdefault(rest.strip("_- ."), {}).setdefault(band, folder)
                break
    groups = [
        Group(name, bands, {"sequence": name}) for name, bands in found.items() if name and len(bands) > 1
    ]
    return sorted(groups, key=lambda group: _natural(group.name)) if len(groups) > 1 else []


def guess_suffixes(root: Path) -> dict[Band, str]:
    """Return the file suffixes below ``root`` that tell a band.

    Such as ``_rgb`` and ``_nir``, or ``-vi`` and ``-ir``; empty when fewer than two do.
    """
    stems = [Path(key).name for key in images_by_stem(root, recursive=True)]
    found: dict[Band, str] = {}
    for band, hints in HINTS.items():
        for hint in hints:
            ends = {stem[-len(hint) - 1 :] for stem in stems if stem.lower().endswith(("_" + hint, "-" + hint))}
            if len(ends) == 1:
                found[band] = ends.pop()
                break
    return found if len(found) > 1 else {}


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
