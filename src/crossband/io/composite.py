"""One color image whose red, green and blue are three files, as multispectral cameras write them.

Its path names all three, ``IMG_0000_{3,2,1}.tif``: no such file is there, and reading it gives the three
together.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["parts_of"]

_THREE = re.compile(r"(.*)\{([A-Za-z0-9]{1,16}),([A-Za-z0-9]{1,16}),([A-Za-z0-9]{1,16})\}(.*)")


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
