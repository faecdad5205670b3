"""RGBNT100: 100 vehicles before 8 cameras in RGB, near infrared and thermal (Li et al., AAAI 2020).

Published with the three bands side by side in one file, 768x128::

    ROOT/
      rgbir/                                  or the three folders in ROOT itself
        bounding_box_train/0001_c1_0001.jpg   50 vehicles, 8,675 triples; IDENTITY_cCAMERA_...
        query/0002_c3_0017.jpg                1,715 triples, picked from the gallery
        bounding_box_test/0002_c3_0017.jpg    the other 50 vehicles, 8,575 triples: the gallery

A manifest holds a path per band, so :func:`split_rgbnt100` writes them apart once::

    OUT/
      rgbnt100.txt                            says what this is
      bounding_box_train/rgb/0001_c1_0001.png, .../nir/..., .../tir/...
      query/..., bounding_box_test/...

The thermal panel is 8 bits after the camera's own gain control. ``camera`` is ``c1`` to ``c8``; ``image`` is
the same for a query and its copy in the gallery, which protocol ``rgbnt100`` leaves out.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import BANDS
from ..frames import Frames
from ._panels import Panels
from ._registry import register_dataset

__all__ = ["read_rgbnt100", "split_rgbnt100"]

_PANELS = Panels("rgbnt100", BANDS)
split_rgbnt100 = _PANELS.split
"""Write the three bands of the published files apart, once: ``split_rgbnt100(ROOT, OUT)``."""


@register_dataset(
    "rgbnt100",
    title="RGBNT100",
    bands=("rgb", "nir", "tir"),
    source="https://github.com/ttaalle/multi-modal-vehicle-Re-ID",
    license="free academic usage, as its authors say",
    marks=((_PANELS.mark,),),
)
def read_rgbnt100(root: Path) -> Frames:
    """Read the frames of RGBNT100 in ``root``, split, with ``identity``, ``camera`` and ``image``.

    Raises:
        CrossbandError: it is not split yet, or is not there.
    """
    return _PANELS.frames(root)
