"""FLIR ADAS: roads by day and night, free Teledyne FLIR thermal dataset, in its three published forms.

Version 1 (2018, ``FLIR_ADAS_1_3``), thermal and color of different view and size::

    ROOT/
      train/RGB/FLIR_00001.jpg                RGB, up to 1800x1600; some frames have none
      train/thermal_8_bit/FLIR_00001.jpeg     thermal, 640x512, 8 bit after gain control
      train/thermal_16_bit/FLIR_00001.tiff    the same, 14 bit in 16 (not read, see below)
      val/..., video/...                      likewise; the video is the split ``test``

Version 2 (2022, ``FLIR_ADAS_v2``)::

    ROOT/
      rgb_to_thermal_vid_map.json             which thermal file belongs to which RGB file
      video_rgb_test/data/video-...-frame-000000-....jpg
      video_thermal_test/data/video-...-frame-000000-....jpg
      video_thermal_test/analyticsData/       the same, 16 bit (not read, see below)
      images_rgb_train/, images_thermal_train/, images_rgb_val/, images_thermal_val/

Its publisher pairs the 3,749 frames of the test videos only; the four ``images_`` folders have no pairing
and are not read.

Aligned (Zhang et al., ICIP 2020), version 1 with the color image warped to the thermal one, 5,142 pairs::

    ROOT/
      JPEGImages/FLIR_00002_RGB.jpg           RGB, 640x512
      JPEGImages/FLIR_00002_PreviewData.jpeg  thermal, 8 bit
      align_train.txt, align_validation.txt   FLIR_00002_PreviewData, a name a line

The 8-bit images are read because papers report on them. For the 16-bit ones name the folders yourself:
``rgb=ROOT/train/RGB, tir=ROOT/train/thermal_16_bit``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..bands import Band
from ..errors import CrossbandError
from ..frames import Frames
from ._pairs import Group, frames_by_key, pair_groups, pair_suffixes
from ._registry import images_by_stem, register_dataset

__all__ = ["read_flir_adas"]

_MAP = "rgb_to_thermal_vid_map.json"
_V1_SPLITS = {"train": "train", "val": "val", "video": "test"}
_ALIGNED_SPLITS = {"align_train.txt": "train", "align_validation.txt": "val"}


@register_dataset(
    "flir_adas",
    title="FLIR ADAS, versions 1 and 2 and aligned",
    bands=("rgb", "tir"),
    source="https://oem.flir.com/solutions/automotive/adas-dataset-form/",
    license="Teledyne FLIR's terms of use, accepted when downloading",
    marks=(
        *((f"{folder}/RGB", f"{folder}/thermal_8_bit") for folder in _V1_SPLITS),
        (_MAP, "video_rgb_test/data", "video_thermal_test/data"),
        ("JPEGImages/FLIR_*_RGB.jpg", "JPEGImages/FLIR_*_PreviewData.jpeg"),
    ),
)
def read_flir_adas(root: Path) -> Frames:
    """Read the frames of FLIR ADAS in ``root``.

    Raises:
        CrossbandError: none of the three layouts, or a map that cannot be read.
    """
    if (root / _MAP).is_file():
        return _read_v2(root)
    if (root / "JPEGImages").is_dir():
        return _read_aligned(root)
    return _read_v1(root)


def _read_v1(root: Path) -> Frames:
    groups = [
        Group(split, {Band.RGB: root / folder / "RGB", Band.TIR: root / folder / "thermal_8_bit"}, columns)
        for folder, split in _V1_SPLITS.items()
        for columns in ({"split": split, "sequence": "video" if folder == "video" else None},)
        if (root / folder / "RGB").is_dir() and (root / folder / "thermal_8_bit").is_dir()
    ]
    return pair_groups(root, groups, "train/RGB and train/thermal_8_bit")


def _read_v2(root: Path) -> Frames:
    try:
        thermal_of = json.loads((root / _MAP).read_text(encoding="utf-8"))
        wanted = {Path(rgb).stem: Path(tir).stem for rgb, tir in thermal_of.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        raise CrossbandError(f"{root / _MAP} is not a map from RGB to thermal file names") from None
    color = images_by_stem(root / "video_rgb_test" / "data")
    thermal = images_by_stem(root / "video_thermal_test" / "data")
    images = {
        Band.RGB: {f"test/{name}": color[name] for name in wanted if name in color},
        Band.TIR: {f"test/{name}": thermal[tir] for name, tir in wanted.items() if tir in thermal},
    }
    frames = frames_by_key(root, images, f"the pairs of {root / _MAP}")
    videos = [re.sub(r"-frame-\d+.*", "", Path(name).name) for name in frames.names]
    return frames.assign(split="test", sequence=videos)


def _read_aligned(root: Path) -> Frames:
    suffixes = {Band.RGB: "_RGB", Band.TIR: "_PreviewData"}
    frames = pair_suffixes(root, suffixes, folder=root / "JPEGImages")
    splits = {
        line.strip().removesuffix("_PreviewData"): split
        for file, split in _ALIGNED_SPLITS.items()
        if (root / file).is_file()
        for line in (root / file).read_text(encoding="utf-8").splitlines()
    }
    return frames.assign(split=[splits.get(name) for name in frames.names])
