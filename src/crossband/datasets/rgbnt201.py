"""RGBNT201: 201 persons before 4 cameras in RGB, near infrared and thermal (Zheng et al., AAAI 2021).

Expected layout, as its archive unpacks::

    ROOT/
      train_171/RGB/000001_cam1_0_00.jpg     171 persons; IDENTITY_camCAMERA_...
      train_171/NI/000001_cam1_0_00.jpg      near infrared
      train_171/TI/000001_cam1_0_00.jpg      thermal, 8 bits after gain control
      test/RGB/..., test/NI/..., test/TI/... 30 persons

Every frame of ``test`` is a query and, to the others, gallery: name the split ``test`` for both, with protocol
``same-camera``.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_rgbnt201"]

_SPLITS = {"train_171": "train", "test": "test"}
_BANDS = {Band.RGB: "RGB", Band.NIR: "NI", Band.TIR: "TI"}
_NAME = re.compile(r"(\d+)_cam(\d+)")


@register_dataset(
    "rgbnt201",
    title="RGBNT201",
    bands=("rgb", "nir", "tir"),
    source="https://doi.org/10.1609/aaai.v35i4.16467",
    license="none stated; ask its authors",
    marks=(("train_171/RGB", "train_171/NI", "train_171/TI"), ("test/RGB", "test/NI", "test/TI")),
)
def read_rgbnt201(root: Path) -> Frames:
    """Read the frames of RGBNT201 in ``root``, with ``identity`` and ``camera``.

    Raises:
        CrossbandError: neither of the two folders, or a name without identity and camera.
    """
    groups = [
        Group(folder, {band: root / folder / name for band, name in _BANDS.items()}, {"split": split})
        for folder, split in _SPLITS.items()
        if (root / folder).is_dir()
    ]
    frames = pair_groups(root, groups, "train_171/RGB, train_171/NI and train_171/TI")
    known = [_NAME.match(Path(name).name) for name in frames.names]
    for name, match in zip(frames.names, known, strict=True):
        if match is None:
            raise CrossbandError(f"{name} is not named by identity and camera, as in 000001_cam1_0_00")
    return frames.assign(
        identity=[match[1] for match in known if match], camera=[f"cam{match[2]}" for match in known if match]
    )
