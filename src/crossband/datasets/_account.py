"""What became of every file of a folder that was scanned: in a frame, or why not, by kind."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import CrossbandError, ImageFault
from ..frames import MANIFESTS, Frames
from ..io import IMAGE_SUFFIXES, begins_as_image, is_image_file, read_bytes
from ..io.composite import files_of
from ..io.flir import fff_frames, has_flir_records, has_photograph
from ..io.tiff import is_tiff, page_count
from ..progress import track
from ._registry import files_below, folders_below, is_text

__all__ = ["LeftOut", "account_lines", "metadata", "no_images", "only_images"]

_MOST_LINES = 8
_PATHS = ("rgb", "nir", "tir", "labels", "boxes", "rgb_boxes", "thermal_raw")


@dataclass(frozen=True)
class LeftOut:
    """Files, or images in files, that are in no frame.

    Attributes:
        kind: why, as in ``images in no frame``.
        files: all of them, relative to the folder; of those that are read in part, too.
        text: more of the first one.
    """

    kind: str
    files: tuple[str, ...]
    text: str = ""

    def __str__(self) -> str:
        first = self.files[0] + (f": {self.text}" if self.text else "")
        return f"{len(self.files)} {self.kind}, first {first}"


def metadata(root: str | Path, frames: Frames) -> list[LeftOut]:
    """List by kind every file that is in no frame, and every file of which only a part is.

    Hidden files are not looked at, and a manifest of crossband's own is none of them.

    Args:
        root: the folder that was scanned.
        frames: what the scan made of it.

    Example:
        >>> import tempfile, PIL.Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     PIL.Image.new("L", (4, 4)).save(Path(root) / "a.png")
        ...     _ = (Path(root) / "log.txt").write_text("x")
        ...     [str(one) for one in metadata(root, Frames.make([{"frame": "a", "rgb": "a.png"}], root))]
        ['1 .txt files, first log.txt']
    """
    root = Path(root)
    taken = _taken(frames)
    kinds: dict[str, list[str]] = {}
    for path in sorted(folders_below(root)):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            kinds.setdefault("folders named like images", []).append(path.relative_to(root).as_posix())
    for path in sorted(files_below(root)):
        name = path.relative_to(root).as_posix()
        if not taken.isdisjoint((path.absolute(), *path.absolute().parents)) or name in MANIFESTS:
            continue
        kinds.setdefault(_kind(path), []).append(name)
    found = [LeftOut(kind, tuple(names)) for kind, names in sorted(kinds.items(), key=_images_first)]
    return found + _parts(root, frames)


def only_images(frames: Frames) -> Frames:
    """Return the frames without what is no file: folders named like images, pipes, links to nowhere.

    A frame that keeps no image is left out. Nothing is read: empty files, files of another kind and damaged
    images are found, and said, where they are read, so that they stand in the results too.

    Raises:
        CrossbandError: no file of these frames is an image.
    """
    table, lost, some = frames.table.copy(), 0, ""
    for band in frames.bands:
        paths = frames.paths(band)
        for row, path in track(enumerate(paths), len(paths), f"looking at {band.value}"):
            kinds = () if path is None else (_no_file(file) for file in files_of(path))
            if kind := next(filter(None, kinds), None):
                table.loc[table.index[row], band.value] = pd.NA
                lost, some = lost + 1, f"{path} ({kind})"
    if not lost:
        return frames
    kept = table[[band.value for band in frames.bands]].notna().any(axis=1).to_numpy(bool)
    if not kept.any():
        raise CrossbandError(f"none of the files is an image, such as {some}")
    return Frames(table, frames.root).select(kept)


def no_images(frames: Frames) -> list[LeftOut]:
    """List by kind the files of some frames that are no images, by their size and first bytes.

    Nothing is decoded. They stay in the frames, so that checks, runs and results name them, and leave them out.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "a.png").touch()
        ...     [str(one) for one in no_images(Frames.make([{"frame": "a", "rgb": "a.png"}], root))]
        ['1 empty files, first a.png']
    """
    kinds: dict[str, list[str]] = {}
    paths = [path for band in frames.bands for path in frames.paths(band) if path is not None]
    for path in track(paths, len(paths), "looking at first bytes"):
        for file in files_of(path):
            if kind := _no_image(file):
                kinds.setdefault(kind, []).append(os.path.relpath(file, frames.root))
    return [LeftOut(kind, tuple(dict.fromkeys(names))) for kind, names in sorted(kinds.items())]


def _no_file(path: Path) -> str | None:
    """Why what is named as an image is no file, ``None`` where it is one."""
    try:
        if stat.S_ISREG(path.stat().st_mode) or (path.suffix == ".lance" and path.is_dir()):
            return None  # a table's cells are looked up where it is read
        return "folders named like images" if path.is_dir() else "pipes and devices"
    except OSError:
        return "links to nowhere" if path.is_symlink() else "files that cannot be read"


def _no_image(path: Path) -> str | None:
    """Why a file that is named as an image is none, ``None`` where it may be one."""
    if kind := _no_file(path):
        return kind
    try:
        if not path.stat().st_size:
            return "empty files"
        return None if begins_as_image(path) else "files that are no images"
    except OSError:
        return "files that cannot be read"


def account_lines(left_out: Iterable[LeftOut]) -> list[str]:
    """One line a kind, and one for the kinds beyond the eighth."""
    lines = [str(one) for one in left_out]
    rest = lines[_MOST_LINES:]
    return lines[:_MOST_LINES] + ([f"files of {len(rest)} more kinds"] if rest else [])


def _taken(frames: Frames) -> set[Path]:
    columns = [column for column in _PATHS if column in frames.table]
    paths = pd.concat([frames.table[column].dropna() for column in columns]) if columns else []
    whole = [frames.root / path for path in paths]
    return {file.absolute() for path in whole for file in files_of(path)}


def _kind(path: Path) -> str:
    if not is_text(path.as_posix()):
        return "files whose names are not UTF-8"
    if is_image_file(path):
        return _no_image(path) or "images in no frame"
    if not path.is_file():
        return "links to nowhere" if path.is_symlink() else "pipes and devices"
    return f"{path.suffix.lower()} files" if path.suffix else "files without a suffix"


def _images_first(item: tuple[str, list[str]]) -> tuple[bool, bool, str]:
    return item[0].startswith(".") or item[0].endswith("suffix"), not item[0].startswith("images"), item[0]


def _parts(root: Path, frames: Frames) -> list[LeftOut]:
    """Files that hold more images than the one that is read."""
    found: dict[str, tuple[list[str], str]] = {}
    for band in frames.bands:
        for path in frames.paths(band):
            kind = None if path is None else _more_than_one(path)
            if kind is not None and path is not None:
                name = os.path.relpath(path, root)
                found.setdefault(kind[0], ([], kind[1]))[0].append(name)
    return [LeftOut(kind, tuple(dict.fromkeys(names)), text) for kind, (names, text) in found.items()]


def _more_than_one(path: Path) -> tuple[str, str] | None:
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        if not is_tiff(head) and head[:4] != b"FFF\0":
            return None
        data = read_bytes(path)
        n = page_count(data) if is_tiff(data) else len(fff_frames(data))
    except (OSError, ValueError, ImageFault):
        return None
    except Exception:  # a damaged TIFF; it is said where it is read
        return None
    text = f"{n} images, of which the first is read; crossband data extract takes them apart"
    return ("files of several images", text) if n > 1 else None


def photographs(paths: Iterable[Path]) -> dict[Path, bool]:
    """Tell of radiometric JPEGs whether each carries a photograph."""
    found = {}
    for path in paths:
        try:
            found[path] = has_flir_records(path) and has_photograph(read_bytes(path))
        except ImageFault:
            found[path] = False
    return found
