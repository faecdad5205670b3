"""The registry of dataset adapters: a folder on disk becomes Frames."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ..io import is_image_file
from ..progress import note, said_first
from ..registry import Registry

__all__ = [
    "Dataset",
    "dataset",
    "files_below",
    "folders_below",
    "images_by_stem",
    "is_text",
    "list_datasets",
    "note_once",
    "register_dataset",
]


@dataclass(frozen=True)
class Dataset:
    """A public dataset that crossband reads as its authors publish it.

    Attributes:
        name: what the command line calls it.
        title: its full name.
        bands: the bands it has.
        source: where to get it.
        license: what its authors allow, as they say it.
        marks: paths below the root of which all are there in the published layout (glob patterns).
        read: root folder -> Frames.
        layout: the expected folder tree, as the adapter's module documents it.
    """

    name: str
    title: str
    bands: tuple[str, ...]
    source: str
    license: str
    marks: tuple[tuple[str, ...], ...]
    read: Callable[[Path], Frames]
    layout: str

    def found_in(self, root: Path) -> bool:
        """Return whether the folder looks like this dataset: all marks of one of its layouts are there."""
        return any(all(next(root.glob(mark), None) is not None for mark in marks) for marks in self.marks)


DATASETS: Registry[Dataset] = Registry("dataset", "crossband.datasets")


def register_dataset(
    name: str,
    *,
    title: str,
    bands: tuple[str, ...],
    source: str,
    license: str,
    marks: tuple[tuple[str, ...], ...],
) -> Callable[[Callable[[Path], Frames]], Callable[[Path], Frames]]:
    """Register the decorated function as the reader of a dataset; see :class:`Dataset`."""

    def entry(read: Callable[[Path], Frames]) -> Dataset:
        layout = importlib.import_module(read.__module__).__doc__ or ""
        return Dataset(name, title, bands, source, license, marks, read, layout)

    return DATASETS.register(name, entry)


def list_datasets() -> list[Dataset]:
    """List every registered dataset, by name."""
    return DATASETS.list()


def dataset(name: str) -> Dataset:
    """Return the dataset called ``name``.

    Raises:
        CrossbandError: nobody knows it.
    """
    return DATASETS.get(name)


def images_by_stem(folder: Path, recursive: bool = False) -> dict[str, Path]:
    """Return the images of a folder by stem, in order of their names.

    With ``recursive`` the key is the path below the folder without its suffix. An image is told by its suffix,
    or by its first bytes. Linked folders are followed, hidden ones are not looked into, and files whose names
    are not UTF-8 are left out, which is said.

    Raises:
        CrossbandError: no such folder, or two images share a stem.

    Example:
        >>> images_by_stem(Path(__file__).parent)
        {}
    """
    if not folder.is_dir():
        raise CrossbandError(f"no folder {folder}")
    images: dict[str, Path] = {}
    unnamed: list[str] = []
    for path in sorted(_files_below(folder) if recursive else folder.iterdir()):
        if not path.name.startswith(".") and is_image_file(path) and path.is_file():
            key = _without_suffix(path.relative_to(folder).as_posix())
            if not is_text(key):
                unnamed.append(path.name)
                continue
            if key in images:
                raise CrossbandError(
                    f"{images[key].name} and {path.name} in {folder} have the same stem; keep one"
                )
            images[key] = path
    if unnamed:
        example = os.fsencode(unnamed[0])
        note_once(f"{len(unnamed)} images of {folder} are left out: names like {example!r} are not UTF-8")
    return images


def _without_suffix(name: str) -> str:
    """The name without its suffix; ``1628000000.040`` has none: a number of seconds is no name of a kind.

    Example:
        >>> _without_suffix("a/1628000000.040.png"), _without_suffix("b.RJPG")
        ('a/1628000000.040', 'b')
    """
    head, _, tail = name.rpartition(".")
    return head if head and not tail.isdigit() and "/" not in tail else name


def files_below(folder: Path) -> Iterator[Path]:
    """List every file below a folder but hidden ones and hidden folders'; linked folders are followed."""
    yield from (path for path in _files_below(folder) if not path.name.startswith("."))


def folders_below(folder: Path) -> Iterator[Path]:
    """List every folder below a folder but hidden ones; linked folders are followed."""
    yield from (path for path, _ in _walked(folder) if path != folder)


def _files_below(folder: Path) -> Iterator[Path]:
    yield from (path / file for path, files in _walked(folder) for file in files)


def _walked(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder once, with the files in it."""
    seen = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(name)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        yield Path(name), files


def is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8, as a manifest, a report and a terminal need it.

    Example:
        >>> is_text("é.png"), is_text("\\udcff.png")
        (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def note_once(text: str) -> None:
    """Print a note to standard error, once a call of a verb: folders are listed more than once."""
    if said_first("note", text):
        note(text)
