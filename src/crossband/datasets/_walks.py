"""Walks past the same places, frame i of one near frame i of another: what index-matched datasets share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._pairs import _natural
from ._registry import images_by_stem

__all__ = ["frames_of_walks"]


def frames_of_walks(root: Path, walks: Mapping[str, str], conditions: Mapping[str, str]) -> Frames:
    """Return frames ``WALK/STEM`` with ``index``, the frame's place in its walk, and ``split``.

    Args:
        root: the dataset's folder.
        walks: folder -> ``gallery`` or ``query``; those that are not there are passed over.
        conditions: folder -> ``condition``.

    Raises:
        CrossbandError: none of the folders, or no image in one of them.
    """
    rows: list[dict[str, object]] = []
    for walk, split in walks.items():
        if not (root / walk).is_dir():
            continue
        images = images_by_stem(root / walk)
        if not images:
            raise CrossbandError(f"no images in {root / walk}")
        for index, stem in enumerate(sorted(images, key=_natural)):
            rows.append(
                {
                    "frame": f"{walk}/{stem}",
                    "rgb": images[stem].relative_to(root).as_posix(),
                    "split": split,
                    "sequence": walk,
                    "condition": conditions.get(walk),
                    "index": index,
                }
            )
    if not rows:
        raise CrossbandError(f"{root} has none of the folders {', '.join(walks)}")
    return Frames.make(rows, root)
