"""RGBNT100 and RGBN300: vehicles before 8 cameras in RGB, near infrared and thermal (Li et al., AAAI 2020).

Published with the bands side by side in one file, three (RGBNT100, 768x128) or two without thermal (RGBN300,
512x128)::

    ROOT/
      rgbir/                                  or the three folders in ROOT itself
        bounding_box_train/0001_c1_0001.jpg   50 vehicles, 8,675 triples; RGBN300: 150, 25,200 pairs
        query/0002_c3_0017.jpg                1,715; RGBN300: 4,985; picked from the gallery
        bounding_box_test/0002_c3_0017.jpg    the other 50, 8,575: the gallery; RGBN300: 150, 24,925

A name is ``IDENTITY_cCAMERA_...``. A manifest holds a path per band, so :func:`split_rgbnt100` and
:func:`split_rgbn300` write them apart once::

    OUT/
      rgbnt100.txt                            says what this is
      bounding_box_train/rgb/0001_c1_0001.png, .../nir/..., .../tir/...
      query/..., bounding_box_test/...

The thermal panel is 8 bits after the camera's own gain control. ``camera`` is ``c1`` to ``c8``; ``image`` is
the same for a query and its copy in the gallery, which protocol ``rgbnt100`` leaves out.
"""

from __future__ import annotations

from pathlib import Path

from ..bands import BANDS, Band
from ..frames import Frames
from ._panels import Panels
from ._registry import register_dataset

__all__ = ["read_rgbn300", "read_rgbnt100", "split_rgbn300", "split_rgbnt100"]

_RGBNT100 = Panels("rgbnt100", BANDS)
_RGBN300 = Panels("rgbn300", (Band.RGB, Band.NIR))
_SOURCE = "https://github.com/ttaalle/multi-modal-vehicle-Re-ID"
_LICENSE = "free academic usage, as its authors say"

split_rgbnt100 = _RGBNT100.split
"""Write the three bands of the published files apart, once: ``split_rgbnt100(ROOT, OUT)``."""
split_rgbn300 = _RGBN300.split
"""Write the two bands of the published files apart, once: ``split_rgbn300(ROOT, OUT)``."""


@register_dataset(
    "rgbnt100",
    title="RGBNT100",
    bands=_RGBNT100.bands,
    source=_SOURCE,
    license=_LICENSE,
    marks=((_RGBNT100.mark,),),
)
def read_rgbnt100(root: Path) -> Frames:
    """Read the frames of RGBNT100 in ``root``, split, with ``identity``, ``camera`` and ``image``.

    Raises:
        CrossbandError: it is not split yet, or is not there.
    """
    return _RGBNT100.frames(root)


@register_dataset(
    "rgbn300",
    title="RGBN300",
    bands=_RGBN300.bands,
    source=_SOURCE,
    license=_LICENSE,
    marks=((_RGBN300.mark,),),
)
def read_rgbn300(root: Path) -> Frames:
    """Read the frames of RGBN300 in ``root``, likewise.

    Raises:
        CrossbandError: it is not split yet, or is not there.
    """
    return _RGBN300.frames(root)
