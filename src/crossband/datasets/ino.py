"""INO Video Analytics: fixed surveillance cameras, aligned videos of 8 to 12 scenes (INO, Quebec).

Published are videos, an archive a scene::

    ROOT/
      INO_TreesAndRunner/             some archives repeat the folder: INO_GroupFight/INO_GroupFight/
        INO_TreesAndRunner_RGB.avi    RGB, 328x254 to 512x184 (``_C`` in some copies)
        INO_TreesAndRunner_T.avi      thermal, 8 bit, frame by frame the same moment

Read are their frames, in a folder beside each video that is named like it; ffmpeg makes it::

    mkdir INO_TreesAndRunner_T && ffmpeg -i INO_TreesAndRunner_T.avi INO_TreesAndRunner_T/%06d.png

    ROOT/
      INO_TreesAndRunner/
        INO_TreesAndRunner_RGB/000001.png
        INO_TreesAndRunner_T/000001.png

A scene is a ``place`` and a ``sequence``. Scenes without a thermal video (``INO_Crossroads``) are left out.
Neighboring frames hardly differ; take each n-th (``every``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_ino"]

_DEPTHS = ("INO_*/", "INO_*/*/")
_COLOR = ("_RGB", "_C")


@register_dataset(
    "ino",
    title="INO Video Analytics",
    bands=("rgb", "tir"),
    source="https://www.ino.ca/en/technologies/video-analytics-dataset/videos/",
    license="free for research; publications name INO",
    marks=tuple(
        (f"{depth}*{color}{kind}", f"{depth}*_T{kind}")
        for depth in _DEPTHS
        for color in _COLOR
        for kind in ("", ".avi")
    ),
)
def read_ino(root: Path) -> Frames:
    """Read the frames of INO in ``root``.

    Raises:
        CrossbandError: only videos are there, or nothing of this layout.
    """
    groups = list(_groups(root))
    if not groups and any(next(root.glob(f"{depth}*_T.avi"), None) for depth in _DEPTHS):
        raise CrossbandError(
            f"{root} holds INO's videos, not their frames; extract each one into a folder named like it, as in "
            "mkdir INO_X_T && ffmpeg -i INO_X_T.avi INO_X_T/%06d.png"
        )
    return pair_groups(root, groups, "INO_SCENE/INO_SCENE_RGB and INO_SCENE/INO_SCENE_T, folders of frames")


def _groups(root: Path) -> Iterator[Group]:
    for thermal in sorted(
        folder for depth in _DEPTHS for folder in root.glob(f"{depth}*_T") if folder.is_dir()
    ):
        scene = thermal.relative_to(root).parts[0]
        for ending in _COLOR:
            color = thermal.with_name(thermal.name.removesuffix("_T") + ending)
            if color.is_dir():
                folders = {Band.RGB: color, Band.TIR: thermal}
                yield Group(scene, folders, {"place": scene, "sequence": scene})
                break
