"""The classes of a labeling: what the ground is, seen from the air."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

__all__ = ["GROUND", "LABELS", "OBJECT", "UNKNOWN", "label_table"]

GROUND = ("road", "pavement", "grass", "building", "tree")
"""What a map shows, by number; ``K`` of the paper's semantic labeling."""

OBJECT = len(GROUND)
"""The number of what stands or moves on the ground, and is on no map."""

LABELS = (*GROUND, "object")
"""What a labeling of an image shows, by number."""

UNKNOWN = 255
"""The number of a pixel that nobody knows: outside of the image, of the map, or of another class."""

_GROUPS: Mapping[str, int] = MappingProxyType(
    {
        **{name: number for number, name in enumerate(GROUND)},
        "curb": 1,
        "bump": 0,
        "street": 0,
        "sidewalk": 1,
        "footway": 1,
        "path": 1,
        "lawn": 2,
        "vegetation": 2,
        "low_vegetation": 2,
        "park": 2,
        "roof": 3,
        "house": 3,
        "forest": 4,
        "trees": 4,
        **dict.fromkeys(
            (
                "vehicle",
                "car",
                "person",
                "bicycle",
                "dog",
                "cone",
                "furniture",
                "backpack",
                "guardrail",
                "car_stop",
            ),
            OBJECT,
        ),
    }
)


def label_table(names: Mapping[str, int]) -> np.ndarray:
    """Return a lookup table of 256 from the numbers of a dataset's classes to :data:`LABELS`, uint8.

    What has no counterpart is :data:`UNKNOWN`.

    Args:
        names: class name -> its number; upper case and blanks do not matter.

    Example:
        >>> label_table({"Road": 1, "curb": 10, "vehicle": 6, "sky": 0})[[1, 10, 6, 0]].tolist()
        [0, 1, 5, 255]
    """
    table = np.full(256, UNKNOWN, np.uint8)
    for name, number in names.items():
        group = _GROUPS.get(name.strip().lower().replace(" ", "_"))
        if group is not None and 0 <= number < 256:
            table[number] = group
    return table
