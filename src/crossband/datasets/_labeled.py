"""What readers of segmentation datasets share: label files beside images, day or night by name, a val set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import CrossbandError

__all__ = ["day_or_night", "listed_names", "with_val"]


def day_or_night(name: str) -> str | None:
    """Return ``day`` or ``night`` of a frame whose name ends in D or N, as MFNet's and MSRS's do.

    Example:
        >>> day_or_night("00001D"), day_or_night("00002N"), day_or_night("x")
        ('day', 'night', None)
    """
    return {"D": "day", "N": "night"}.get(name[-1:]) if name[:-1].isdigit() else None


def listed_names(path: Path, known: Iterable[str]) -> list[str]:
    """Return the names of a list, one per line, with or without a suffix.

    The list is empty where there is no such file.

    Names ending in ``_flip``, which MFNet's own script makes mirrored copies under, are passed over.

    Raises:
        CrossbandError: a name has no image.
    """
    if not path.is_file():
        return []
    names = [Path(line.strip()).stem for line in path.read_text(encoding="utf-8").split()]
    names = [name for name in names if not name.endswith("_flip")]
    lacking = sorted(set(names) - set(known))
    if lacking:
        raise CrossbandError(
            f"{path} names {lacking[0]!r}, which has no image or labels; get the complete dataset"
        )
    return names


def with_val(splits: Sequence[str], every: int = 10) -> list[str]:
    """Return splits with every tenth training frame as ``val``, for datasets published without one.

    A checkpoint is never selected on test.

    Example:
        >>> with_val(["train", "test", "train"], every=2)
        ['train', 'test', 'val']
    """
    found, seen = list(splits), 0
    for i, split in enumerate(splits):
        if split == "train":
            seen += 1
            if seen % every == 0:
                found[i] = "val"
    return found
