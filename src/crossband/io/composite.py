"""Paths that name more than a file: three files that are one color image, or a part of an image.

``IMG_0000_{3,2,1}.tif`` names the red, the green and the blue of a multispectral camera, and
``00001{100,100,640,512}.jpg`` names what of ``00001.jpg`` lies in a view: left, top, width and height in
pixels. No such file is there; reading gives the three together, or the part.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..stored import stored_file

__all__ = ["files_of", "parts_of", "view_of"]

_THREE = re.compile(r"(.*)\{([A-Za-z0-9]{1,16}),([A-Za-z0-9]{1,16}),([A-Za-z0-9]{1,16})\}(.*)")
_VIEW = re.compile(r"(.*)\{(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})\}(.*)")


def parts_of(path: str | Path) -> list[Path] | None:
    """Return the files of red, green and blue of a path that names three, ``None`` of any other.

    Example:
        >>> [part.name for part in parts_of("a/IMG_0000_{3,2,1}.tif")]
        ['IMG_0000_3.tif', 'IMG_0000_2.tif', 'IMG_0000_1.tif']
    """
    path = Path(path)
    match = _THREE.fullmatch(path.name)
    if match is None or path.exists():
        return None
    return [path.with_name(f"{match[1]}{match[number]}{match[5]}") for number in (2, 3, 4)]


def view_of(path: str | Path) -> tuple[Path, tuple[int, int, int, int]] | None:
    """Return the file of a path that names a part of an image, and (left, top, width, height) of it.

    ``None`` of any other path.

    Example:
        >>> view_of("trainimg/00001{100,100,640,512}.jpg")[1]
        (100, 100, 640, 512)
    """
    path = Path(path)
    match = _VIEW.fullmatch(path.name)
    if match is None or path.exists():
        return None
    left, top, width, height = (int(match[number]) for number in range(2, 6))
    return path.with_name(match[1] + match[6]), (left, top, width, height)


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a path names: three, the one that it is a part of, or itself.

    Example:
        >>> [file.name for file in files_of("00001{100,100,640,512}.jpg")]
        ['00001.jpg']
    """
    stored = stored_file(path)
    if stored is not None and stored.member and not stored.scheme:
        return [Path(stored.path)]
    view = view_of(path)
    return [view[0]] if view is not None else parts_of(path) or [Path(path)]
