"""From a folder on disk to Frames: public datasets, one file each, and a user's own folders."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..frames import Frames
from ..io import IMAGE_SUFFIXES
from ..progress import note
from ._pairs import (
    guess_folders,
    guess_radiometric,
    guess_suffixes,
    pair_folders,
    pair_radiometric,
    pair_suffixes,
)
from ._registry import Dataset, dataset, images_by_stem, list_datasets, register_dataset

__all__ = [
    "Dataset",
    "dataset",
    "images_by_stem",
    "list_datasets",
    "open_frames",
    "register_dataset",
    "scan",
]


def scan(
    root: str | Path | None = None,
    *,
    kind: str | None = None,
    rgb: str | Path | None = None,
    nir: str | Path | None = None,
    tir: str | Path | None = None,
    suffixes: dict[str, str] | None = None,
    every: int = 1,
) -> Frames:
    """Read a folder as frames.

    It is a known dataset, one folder per band, one folder with a suffix per band, or radiometric JPEGs that are
    both bands; the first of these that fits.

    A known dataset, one folder per band, one folder with a suffix per band, or radiometric JPEGs that are both
    bands; the first of these that fits.

    Args:
        root: the folder; without it, the common parent of ``rgb``, ``nir`` and ``tir``.
        kind: the dataset's name; without it the layout is recognized.
        rgb: the folder of RGB images, when given by hand; ``nir`` and ``tir`` likewise.
        suffixes: the end of a stem by band, as in ``{"rgb": "_rgb", "tir": "_ir"}``.
        every: keep each n-th frame of a sequence.

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
        return pair_folders(common, **folders).every(every)
    if root is None:
        raise CrossbandError("nothing to scan; give a folder, or those of rgb and tir images", parameter="rgb")
    root = Path(root)
    if not root.is_dir():
        raise CrossbandError(f"no folder {root}")
    if suffixes:
        return pair_suffixes(root, {parse_band(name): end for name, end in suffixes.items()}).every(every)
    if kind is not None:
        return dataset(kind).read(root).every(every)
    return _recognize(root).every(every)


def open_frames(source: str | Path, root: str | Path | None = None, band: Band | str | None = None) -> Frames:
    """Open a manifest, a folder's ``frames.parquet``, or a folder as :func:`scan` recognizes it.

    Images that a folder's manifest does not list are counted in a note.

    Args:
        source: the manifest or the folder.
        root: the folder of the images, where it is not the one that the manifest records.
        band: what a folder with images of one band alone holds, where nothing else tells.

    Raises:
        CrossbandError: no frames are there, or ``root`` is given and there is no manifest.
    """
    source = Path(source)
    if not source.exists():
        raise CrossbandError(f"{source} does not exist; give a folder of images or a manifest")
    if source.suffix.lower() in IMAGE_SUFFIXES and source.is_file():
        raise CrossbandError(f"{source} is a single image; give its folder, or a manifest")
    if not source.is_dir():
        return Frames.read(source, root)
    manifest = source / "frames.parquet"
    if manifest.is_file():
        frames = Frames.read(manifest, root)
        _say_unlisted(frames, manifest)
        return frames
    if (
        band is not None
        and (single := images_by_stem(source))
        and not any(p.is_dir() for p in source.iterdir())
    ):
        with contextlib.suppress(CrossbandError):
            return scan(source)
        return Frames.make([{"frame": key, band: path.name} for key, path in single.items()], source)
    if root is not None:
        raise CrossbandError(
            f"a root says where a manifest's images are, and {source} has no manifest; give their own folder",
            parameter="root",
        )
    return scan(source)


def _say_unlisted(frames: Frames, manifest: Path) -> None:
    """Say that there are images beside those a manifest lists: new ones are not passed over in silence."""
    listed = {path for band in frames.bands for path in frames.paths(band) if path is not None}
    folders = {path.parent for path in listed if path.parent.is_dir()}
    there = sum(p.suffix.lower() in IMAGE_SUFFIXES for folder in folders for p in folder.iterdir())
    if there > len(listed):
        note(
            f"{there - len(listed)} images beside those that {manifest} lists are left out; "
            f"crossband data scan {manifest.parent} lists them too, or delete that file"
        )


def _recognize(root: Path) -> Frames:
    known = [entry for entry in list_datasets() if entry.found_in(root)]
    if len(known) > 1:
        names = ", ".join(entry.name for entry in known)
        raise CrossbandError(f"{root} looks like {names}; say which kind it is", parameter="kind")
    if known:
        return known[0].read(root)
    folders = guess_folders(root)
    if folders:
        return pair_folders(root, **{band.value: folder for band, folder in folders.items()})
    suffixes = guess_suffixes(root)
    if suffixes:
        return pair_suffixes(root, suffixes)
    if guess_radiometric(root):
        return pair_radiometric(root)
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if any(entry.found_in(folder) for entry in list_datasets()):
            raise CrossbandError(
                f"no bands recognized in {root}, but {folder} is a known dataset; scan that folder"
            )
    raise CrossbandError(
        f"no bands recognized in {root}: expected a known dataset, two folders named after their bands "
        "(visible and infrared, say), file names ending in _rgb and _tir, or radiometric JPEGs; "
        "else give the folders of rgb and tir images, or the suffixes of their names",
        parameter="rgb",
    )
