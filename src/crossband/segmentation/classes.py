"""The classes of segmentation datasets, by number, and the colors they are drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import CrossbandError, unknown_name

__all__ = ["CLASS_LISTS", "class_names", "palette"]

CLASS_LISTS: dict[str, tuple[str, ...]] = {
    "mfnet": (
        "unlabeled",
        "car",
        "person",
        "bike",
        "curve",
        "car_stop",
        "guardrail",
        "color_cone",
        "bump",
    ),
    "pst900": ("background", "fire_extinguisher", "backpack", "hand_drill", "survivor"),
    "fmb": (
        "unlabeled",
        "road",
        "sidewalk",
        "building",
        "traffic_light",
        "traffic_sign",
        "vegetation",
        "sky",
        "person",
        "car",
        "truck",
        "bus",
        "motorcycle",
        "bicycle",
        "pole",
    ),
    "freiburg_thermal": (
        "road",
        "sidewalk",
        "building",
        "curb",
        "fence",
        "pole",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "car",
        "bicycle",
        "background",
        "ignore",
    ),
}
"""MFNet (Ha et al., IROS 2017; MSRS has the same), PST900 (Shivakumar et al., ICRA 2020), FMB (Liu et al., ICCV
2023) and Freiburg Thermal (Vertens et al., IROS 2020)."""

# by name, so that a class has its color in every dataset; saturated, and told apart by the color-blind
_COLORS = {
    "car": (0, 114, 222),
    "person": (230, 60, 30),
    "survivor": (230, 60, 30),
    "bike": (0, 190, 130),
    "curve": (230, 190, 0),
    "car_stop": (200, 90, 200),
    "guardrail": (140, 90, 40),
    "color_cone": (255, 140, 0),
    "bump": (90, 200, 250),
    "fire_extinguisher": (200, 90, 200),
    "backpack": (0, 190, 130),
    "hand_drill": (255, 200, 0),
}
_BACKGROUNDS = ("unlabeled", "background")


def class_names(given: str | Sequence[str]) -> list[str]:
    """Return the names of a known class list, or the names themselves.

    Raises:
        CrossbandError: an unknown list, fewer than two names, or one that appears twice.

    Example:
        >>> class_names("pst900")[:2]
        ['background', 'fire_extinguisher']
    """
    if isinstance(given, str):
        if given not in CLASS_LISTS:
            raise unknown_name("class list", given, CLASS_LISTS)
        return list(CLASS_LISTS[given])
    names = list(given)
    if not 2 <= len(set(names)) == len(names) < 255:
        raise CrossbandError(f"a class list needs 2 to 254 names, each once, not {names}")
    return names


def palette(names: Sequence[str]) -> np.ndarray:
    """Return a color for each class, uint8 ``(n, 3)``; black for the background.

    Example:
        >>> palette(["unlabeled", "car"]).tolist()
        [[0, 0, 0], [0, 114, 222]]
    """
    spare = np.array(
        [[(90 + 67 * i) % 256, (40 + 151 * i) % 256, (200 + 83 * i) % 256] for i in range(len(names))]
    )
    return np.array(
        [(0, 0, 0) if name in _BACKGROUNDS else _COLORS.get(name, spare[i]) for i, name in enumerate(names)],
        np.uint8,
    )
