"""A contact sheet: frames below each other, their bands and classes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from ..bands import Band, to_kelvin
from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from ..io import read_image
from .meshes import Kind
from .sensor import agc

__all__ = ["PALETTE", "contact_sheet"]

PALETTE: dict[Kind, tuple[int, int, int]] = {
    Kind.SKY: (120, 170, 230),
    Kind.ROAD: (90, 90, 95),
    Kind.PAVEMENT: (200, 180, 170),
    Kind.GRASS: (90, 170, 60),
    Kind.BUILDING: (150, 110, 90),
    Kind.TREE: (30, 110, 40),
    Kind.VEHICLE: (220, 40, 40),
    Kind.PERSON: (255, 200, 0),
    Kind.BICYCLE: (0, 220, 220),
    Kind.DOG: (255, 100, 255),
    Kind.CURB: (240, 240, 240),
    Kind.CAR_STOP: (255, 255, 0),
    Kind.GUARDRAIL: (0, 90, 255),
    Kind.CONE: (255, 120, 0),
    Kind.BUMP: (180, 0, 180),
    Kind.FURNITURE: (60, 60, 140),
    Kind.BACKPACK: (255, 230, 150),
}
"""Red, green, blue of every class."""


def contact_sheet(frames: Frames, path: str | Path, names: Sequence[str] | None = None) -> Path:
    """Write RGB, NIR, TIR (after gain control) and classes of some frames into one picture.

    Args:
        frames: what :func:`~crossband.simulation.simulate` wrote.
        path: a ``.jpg`` or ``.png`` file.
        names: which frames, in which order; without it the first four.

    Returns:
        The path.

    Raises:
        CrossbandError: no such frame, or the file cannot be written.
    """
    rows = {row["frame"]: row for _, row in frames.table.iterrows()}
    for name in names or ():
        if name not in rows:
            raise unknown_name("frame", name, rows)
    palette = np.array([PALETTE[kind] for kind in Kind], np.uint8)
    strips = []
    for name in names or frames.names[:4]:
        row = rows[name]
        kelvin = to_kelvin(read_image(frames.root / row["tir"], Band.TIR).pixels, "centikelvin")
        columns = [
            read_image(frames.root / row["rgb"]).pixels,
            _gray(read_image(frames.root / row["nir"]).pixels),
            _gray(agc(kelvin)),
            palette[read_image(frames.root / row["semantic"]).pixels],
        ]
        strips.append(np.concatenate(columns, axis=1))
    try:
        PIL.Image.fromarray(np.concatenate(strips)).save(path, quality=82)
    except (OSError, ValueError) as error:
        raise CrossbandError(f"cannot write {path} ({error}); give a .jpg or .png file in a folder") from None
    return Path(path)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2)
