"""MSVR310: 310 vehicles at several times and from 8 views in RGB, near infrared and thermal.

Zheng et al., "Multi-spectral Vehicle Re-identification with Cross-directional Consistency Network and a
High-quality Benchmark", Information Fusion 2023. Expected layout, as its archive unpacks::

    ROOT/
      bounding_box_train/0001/vis/0001_s001_v1_000.jpg    155 vehicles; IDENTITY_sSCENE_vVIEW_INDEX
      bounding_box_train/0001/ni/0001_s001_v1_000.jpg     near infrared
      bounding_box_train/0001/th/0001_s001_v1_000.jpg     thermal, 8 bits after gain control
      query3/0002/...                                     queries, picked from the gallery
      bounding_box_test/0002/...                          the other 155 vehicles: the gallery

A scene is one visit: the protocol ``same-scene`` leaves out a query's own. ``camera`` is the view, ``v1`` to
``v8``; ``image`` is the same for a query and its copy in the gallery.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ..progress import track
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_msvr310"]

_SPLITS = {"bounding_box_train": "train", "query3": "query", "bounding_box_test": "gallery"}
_BANDS = {Band.RGB: "vis", Band.NIR: "ni", Band.TIR: "th"}
_NAME = re.compile(r"(\d+)_s(\d+)_v(\d+)_")


@register_dataset(
    "msvr310",
    title="MSVR310",
    bands=("rgb", "nir", "tir"),
    source="https://github.com/superlollipop123/Cross-directional-Center-Network-and-MSVR310",
    license="none stated; ask its authors",
    marks=tuple((f"{folder}/*/vis", f"{folder}/*/ni", f"{folder}/*/th") for folder in _SPLITS),
)
def read_msvr310(root: Path) -> Frames:
    """Read the frames of MSVR310 in ``root``, with ``identity``, ``camera``, ``scene`` and ``image``.

    Raises:
        CrossbandError: none of the three folders, or a name without identity, scene and view.
    """
    folders = [
        (vehicle, split)
        for folder, split in _SPLITS.items()
        for vehicle in sorted((root / folder).glob("*"))
        if (vehicle / "vis").is_dir()
    ]
    groups = [
        Group(
            f"{vehicle.parent.name}/{vehicle.name}",
            {band: vehicle / name for band, name in _BANDS.items() if (vehicle / name).is_dir()},
            {"split": split},
        )
        for vehicle, split in track(folders, len(folders), "scanning", "vehicles")
    ]
    frames = pair_groups(root, groups, "bounding_box_train/0001/vis, .../ni and .../th")
    known = []
    for name in frames.names:
        match = _NAME.match(Path(name).name)
        if match is None:
            raise CrossbandError(f"{name} is not named by identity, scene and view, as in 0001_s001_v1_000")
        known.append(match)
    return frames.assign(
        identity=[match[1] for match in known],
        scene=[f"s{match[2]}" for match in known],
        camera=[f"v{match[3]}" for match in known],
        image=[Path(name).name for name in frames.names],
    )
