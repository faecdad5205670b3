"""Objects seen in color and searched in the thermal: a generic layout, for LAERT and SemanticVoxels.

LAERT (Knyaz, 2019) and SemanticVoxels (Kniaz et al., 2020) have no published layout. Whoever has their images,
or own ones, puts them like this, in train and test parts or without::

    ROOT/
      color/                    what is looked for: crops in color
        IDENTITY_ANYTHING.jpg
      thermal/                   where it is looked for: crops in the thermal, 8 or 16 bits
        IDENTITY_ANYTHING.png

    ROOT/train/color/..., ROOT/train/thermal/..., ROOT/val/..., ROOT/test/...

An identity is what stands before the first underscore. Images in ``color`` are split ``query``, those in
``thermal`` are split ``gallery``; of a train or val part both are split ``train`` or ``val``. The column
``camera`` is ``color`` or ``thermal``.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._registry import images_by_stem, register_dataset

__all__ = ["read_color_thermal_objects"]

_FOLDERS = {"color": "rgb", "thermal": "tir"}
_PARTS = ("train", "val", "test")


@register_dataset(
    "color_thermal_objects",
    title="Objects in color and in the thermal (LAERT, SemanticVoxels or own)",
    bands=("rgb", "tir"),
    source="https://doi.org/10.5194/isprs-archives-XLIV-2-W1-2021-131-2021",
    license="that of the images",
    marks=(
        ("color/*_*", "thermal/*_*"),
        *((f"{part}/color/*_*", f"{part}/thermal/*_*") for part in _PARTS),
    ),
)
def read_color_thermal_objects(root: Path) -> Frames:
    """Read a folder of color and thermal objects, one image per frame.

    Raises:
        CrossbandError: nothing of this layout, or an image without an identity.
    """
    rows: list[dict[str, str]] = []
    for part in ("", *_PARTS):
        for folder, band in _FOLDERS.items():
            place = root / part / folder
            if not place.is_dir():
                continue
            for stem, path in images_by_stem(place).items():
                identity, underscore, _ = stem.partition("_")
                if not underscore or not identity:
                    raise CrossbandError(
                        f"{path} does not name an identity; name it IDENTITY_ANYTHING{path.suffix}"
                    )
                split = part if part in ("train", "val") else "query" if folder == "color" else "gallery"
                rows.append(
                    {
                        "frame": "/".join(filter(None, (part, folder, stem))),
                        "split": split,
                        band: path.relative_to(root).as_posix(),
                        "identity": identity,
                        "camera": folder,
                    }
                )
    if len({row["camera"] for row in rows}) < len(_FOLDERS):
        raise CrossbandError(
            f"{root} does not have the folders color and thermal with images IDENTITY_ANYTHING"
        )
    return Frames.make(rows, root)
