"""From a folder on disk to Frames: public datasets, one file each, and a user's own folders."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..frames import MANIFESTS, Frames, find_manifest
from ..io import is_image_file
from ..progress import note, says_once
from ..stored import stored_file
from ._account import LeftOut, account_lines, metadata, no_images, only_images
from ._logs import join_log, read_log
from ._moments import TOLERANCE, guess_dji, pair_dji, with_positions
from ._pairs import (
    frames_by_key,
    guess_folders,
    guess_nested,
    guess_prefixes,
    guess_radiometric,
    guess_siblings,
    guess_suffixes,
    pair_folders,
    pair_nested,
    pair_prefixes,
    pair_radiometric,
    pair_suffixes,
)
from ._pieces import is_partitioned, open_pieces
from ._registry import (
    Dataset,
    dataset,
    images_by_stem,
    is_text,
    list_datasets,
    note_once,
    register_dataset,
)
from ._shards import guess_shards, read_shards
from ._tables import guess_tables, is_table, read_tables
from .check import look_at_some

__all__ = [
    "Dataset",
    "LeftOut",
    "account_lines",
    "dataset",
    "images_by_stem",
    "is_partitioned",
    "is_text",
    "join_log",
    "list_datasets",
    "metadata",
    "no_images",
    "open_frames",
    "open_pieces",
    "read_log",
    "register_dataset",
    "scan",
]


@says_once
def scan(
    root: str | Path | None = None,
    *,
    kind: str | None = None,
    rgb: str | Path | None = None,
    nir: str | Path | None = None,
    tir: str | Path | None = None,
    suffixes: dict[str, str] | None = None,
    every: int = 1,
    tolerance: float = TOLERANCE,
) -> Frames:
    """Read a folder as frames.

    A known dataset, one folder per band, one folder with a suffix per band, or radiometric JPEGs that are both
    bands; the first of these that fits.

    Args:
        root: the folder; without it, the common parent of ``rgb``, ``nir`` and ``tir``.
        kind: the dataset's name; without it the layout is recognized.
        rgb: the folder of RGB images, when given by hand; ``nir`` and ``tir`` likewise.
        suffixes: the end of a stem by band, as in ``{"rgb": "_rgb", "tir": "_ir"}``.
        every: keep each n-th frame of a sequence.
        tolerance: seconds that the images of a frame may be apart, where names or EXIF are all that pairs them.

    Raises:
        CrossbandError: no folder, no image, no common stem, or a layout nobody recognizes.

    Example:
        >>> import tempfile, PIL.Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("visible/a.png", "infrared/a.png"):
        ...         (Path(root) / name).parent.mkdir()
        ...         PIL.Image.new("L", (4, 4)).save(Path(root) / name)
        ...     scan(root).table.to_dict("records")
        [{'frame': 'a', 'rgb': 'visible/a.png', 'tir': 'infrared/a.png'}]
    """
    folders = {name: Path(f) for name, f in (("rgb", rgb), ("nir", nir), ("tir", tir)) if f is not None}
    if folders:
        common = (
            Path(root)
            if root is not None
            else Path(os.path.commonpath([f.resolve() for f in folders.values()]))
        )
        return _said(common, pair_folders(common, tolerance, **folders), tuple(folders.values())).every(every)
    if root is None:
        raise CrossbandError("nothing to scan; give a folder, or those of rgb and tir images", parameter="rgb")
    root = Path(root)
    if is_table(root):
        return _looked_at(read_tables(root.parent, [root])).every(every)
    if not root.is_dir():
        raise CrossbandError(f"no folder {root}")
    if suffixes:
        frames = pair_suffixes(root, {parse_band(name): end for name, end in suffixes.items()})
    else:
        try:
            frames = dataset(kind).read(root) if kind is not None else _recognize(root, tolerance)
        except _UnknownLayout as error:
            told = "else give the folders of rgb and tir images, or the suffixes of their names"
            raise CrossbandError(f"{error}; {told}", parameter="rgb") from None
    return _said(root, frames).every(every)


def _said(root: Path, frames: Frames, folders: tuple[Path, ...] = ()) -> Frames:
    """The frames, after it is said which files below the folder, or those folders of it, are in none."""
    frames = only_images(frames)
    for folder in folders or (root,):
        for line in account_lines(metadata(folder, frames)):
            note_once(f"left out of {folder}: {line}")
    return _looked_at(with_positions(frames))


@says_once
def open_frames(source: str | Path, root: str | Path | None = None, band: Band | str | None = None) -> Frames:
    """Open a manifest, a folder's ``frames.parquet`` or ``frames.csv``, or a folder as :func:`scan` does.

    Images that a folder's manifest does not list are counted in a note.

    Args:
        source: the manifest or the folder; on an object store (``s3://BUCKET/PREFIX``) a manifest, or a folder
            with a ``frames.parquet``; on either a LanceDB table of images (``images.lance``).
        root: the folder of the images, where it is not the one that the manifest records.
        band: what a folder with images of one band alone holds, where nothing else tells.

    Raises:
        CrossbandError: no frames are there, or ``root`` is given and there is no manifest.
    """
    source = Path(source)
    if is_table(source):
        return _looked_at(read_tables(source.parent, [source]))
    if (stored := stored_file(source)) is not None:
        if stored.member and not stored.is_file():
            raise CrossbandError(f"{source} does not exist; give a folder of images or a manifest")
        return _looked_at(Frames.read(source if source.suffix else source / MANIFESTS[0], root))
    if not source.exists():
        raise CrossbandError(f"{source} does not exist; give a folder of images or a manifest")
    if source.is_file() and source.suffix.lower() not in (".parquet", ".csv") and is_image_file(source):
        raise CrossbandError(f"{source} is a single image; give its folder, or a manifest")
    if not source.is_dir():
        return _looked_at(Frames.read(source, root))
    manifest = find_manifest(source)
    if manifest is not None:
        frames = Frames.read(manifest, root)
        _say_unlisted(frames, manifest)
        return _looked_at(frames)
    if (
        band is not None
        and (single := images_by_stem(source))
        and not any(p.is_dir() for p in source.iterdir())
    ):
        with contextlib.suppress(CrossbandError):
            return _said(source, _recognize(source, TOLERANCE))
        rows = [{"frame": key, band: path.name} for key, path in single.items()]
        return _said(source, Frames.make(rows, source))
    if root is not None:
        raise CrossbandError(
            f"a root says where a manifest's images are, and {source} has no manifest; give their own folder",
            parameter="root",
        )
    try:
        return _said(source, _recognize(source, TOLERANCE))
    except _UnknownLayout as error:
        told = "crossband data scan makes a manifest of folders of any names"
        raise CrossbandError(f"{error}; {told}") from None


def _looked_at(frames: Frames) -> Frames:
    """The frames, after a few are looked at and what seems wrong is said."""
    look_at_some(frames).say()
    return frames


def _say_unlisted(frames: Frames, manifest: Path) -> None:
    """Say that there are images beside those a manifest lists: new ones are not passed over in silence."""
    listed = {path for band in frames.bands for path in frames.paths(band) if path is not None}
    folders = {path.parent for path in listed if path.parent.is_dir()}
    there = sum(is_image_file(p) for folder in folders for p in folder.iterdir() if p.is_file())
    if there > len(listed):
        note(
            f"{there - len(listed)} images beside those that {manifest} lists are left out; "
            f"crossband data scan {manifest.parent} lists them too, or delete that file"
        )


class _UnknownLayout(CrossbandError):
    """What is found in a folder is no frames; who asked adds how to say what it is."""


def _recognize(root: Path, tolerance: float) -> Frames:
    known = [entry for entry in list_datasets() if entry.found_in(root)]
    if len(known) > 1:
        names = ", ".join(entry.name for entry in known)
        raise CrossbandError(f"{root} looks like {names}; say which kind it is", parameter="kind")
    if known:
        return known[0].read(root)
    siblings = guess_siblings(root)
    if siblings:
        return pair_nested(root, siblings, tolerance)
    folders = guess_folders(root)
    if folders:
        return pair_folders(root, tolerance, **{band.value: folder for band, folder in folders.items()})
    if guess_dji(root):
        images, others = pair_dji(root)
        if others:
            note_once(f"{others} images of DJI's other cameras (zoom, say) are in no frame")
        return frames_by_key(root, images, str(root))
    nested = guess_nested(root)
    below = _dataset_below(root)
    if nested:
        if below is not None and all(Path(group.name).parts[0] == below.name for group in nested):
            raise _wrapped(root, below)
        return pair_nested(root, nested, tolerance)
    suffixes = guess_suffixes(root)
    if suffixes:
        return pair_suffixes(root, suffixes)
    prefixes = guess_prefixes(root)
    if prefixes:
        return pair_prefixes(root, prefixes)
    if guess_radiometric(root):
        return pair_radiometric(root)
    if shards := guess_shards(root):
        return read_shards(root, shards)
    if tables := guess_tables(root):
        return read_tables(root, tables)
    if below is not None:
        raise _wrapped(root, below)
    raise _UnknownLayout(
        f"no bands recognized in {root}: expected a known dataset, two folders named after their bands "
        "(visible and infrared, say), file names ending in _rgb and _tir, or radiometric JPEGs"
    )


def _dataset_below(root: Path) -> Path | None:
    """The first folder in ``root`` that is a known dataset, as an archive's own folder is."""
    inside = sorted(path for path in root.iterdir() if path.is_dir())
    return next((path for path in inside if any(entry.found_in(path) for entry in list_datasets())), None)


def _wrapped(root: Path, below: Path) -> CrossbandError:
    """The error for a folder around a known dataset, whose splits and sequences only its own reader tells."""
    return CrossbandError(f"no bands recognized in {root}, but {below} is a known dataset; scan that folder")
