"""Colors for thermal pixels, made of a few anchors each."""

from __future__ import annotations

import functools

import numpy as np

__all__ = ["PALETTES", "colors"]

PALETTES: dict[str, tuple[str, ...]] = {
    "iron": ("00000a", "25006b", "7d0098", "c31b7e", "e8563c", "fb9a06", "ffd93b", "fffff0"),
    "white-hot": ("000000", "ffffff"),
    "black-hot": ("ffffff", "000000"),
    "inferno": ("000004", "2c105c", "711f81", "b63679", "ee605e", "fdae78", "fcfdbf"),
    "glacier": ("08132b", "0f3f66", "1c7c8c", "5bb8a6", "b9e3c0", "fbf9e4"),
    "rainbow": ("1a1a8c", "0a6edc", "00b8b8", "35c24a", "e6d51e", "f07f13", "c81414"),
}
"""Name -> colors from cold to hot, as RRGGBB; by the first nothing is hidden that a gray would show."""


@functools.cache
def colors(name: str) -> np.ndarray:
    """Return the 256 colors of a palette, uint8 ``(256, 3)``.

    Example:
        >>> colors("white-hot")[[0, 128, 255]].tolist()
        [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    anchors = np.array([[int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in PALETTES[name]], float)
    place = np.linspace(0, 1, len(anchors))
    steps = np.linspace(0, 1, 256)
    found = np.stack([np.interp(steps, place, anchors[:, c]) for c in range(3)], 1)
    return found.round().astype(np.uint8)
