"""RGBN300: 300 vehicles before 8 cameras in RGB and near infrared (Li et al., AAAI 2020).

Published with the two bands side by side in one file, 512x128::

    ROOT/
      rgbir/                                  or the three folders in ROOT itself
        bounding_box_train/0001_c1_0001.jpg   150 vehicles, 25,200 pairs; IDENTITY_cCAMERA_...
        query/0002_c3_0017.jpg                4,985 pairs, picked from the gallery
        bounding_box_test/0002_c3_0017.jpg    the other 150 vehicles, 24,925 pairs: the gallery

A manifest holds a path per band, so :func:`split_rgbn300` writes them apart once::

    OUT/
      rgbn300.txt                             says what this is
      bounding_box_train/rgb/0001_c1_0001.png, .../nir/...
      query/..., bounding_box_test/...

``camera`` is ``c1`` to ``c8``; ``image`` is the same for a query and its copy in the gallery, which protocol
``rgbnt100`` leaves out.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ._panels import Panels
from ._registry import register_dataset

__all__ = ["read_rgbn300", "split_rgbn300"]

_PANELS = Panels("rgbn300", (Band.RGB, Band.NIR))
split_rgbn300 = _PANELS.split
"""Write the two bands of the published files apart, once: ``split_rgbn300(ROOT, OUT)``."""


@register_dataset(
    "rgbn300",
    title="RGBN300",
    bands=("rgb", "nir"),
    source="https://github.com/ttaalle/multi-modal-vehicle-Re-ID",
    license="free academic usage, as its authors say",
    marks=((_PANELS.mark,),),
)
def read_rgbn300(root: Path) -> Frames:
    """Read the frames of RGBN300 in ``root``, split, with ``identity``, ``camera`` and ``image``.

    Raises:
        CrossbandError: it is not split yet, or is not there.
    """
    return _PANELS.frames(root)
