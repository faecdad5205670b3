"""SYSU-MM01: 491 persons before four color and two near-infrared cameras (Wu et al., ICCV 2017).

"RGB-Infrared Cross-Modality Person Re-identification". Expected layout, as published (``wuancong/SYSU-MM01``)::

    ROOT/
      cam1/0001/0001.jpg        color cameras 1, 2, 4 and 5: IDENTITY/NUMBER
      cam3/0001/0001.jpg        near-infrared cameras 3 and 6, in the dark
      exp/train_id.txt          1,2,4,5,...: 296 persons; val_id.txt 99; test_id.txt 96; available_id.txt

An image is a frame of one band, ``camera`` is ``cam1`` to ``cam6``, and ``condition`` says ``indoor``
(cameras 1 to 3) or ``outdoor``. Persons of ``test_id.txt`` are ``query`` in the infrared and ``gallery`` in
color. That is the search called *all*; *indoor* search has the gallery of the condition ``indoor``, cameras
1 and 2. Published figures draw one image (single-shot) or ten a person and camera for the gallery, ten
times, and leave out camera 2 for queries of camera 3, which stand at the same place. Papers train on train
and val together.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._beside import lines_of
from ._registry import images_by_stem, register_dataset

__all__ = ["read_sysu_mm01"]

_BANDS = {"cam1": "rgb", "cam2": "rgb", "cam3": "nir", "cam4": "rgb", "cam5": "rgb", "cam6": "nir"}
_INDOOR = ("cam1", "cam2", "cam3")
_SPLITS = ("train", "val", "test")


@register_dataset(
    "sysu_mm01",
    title="SYSU-MM01",
    bands=("rgb", "nir"),
    source="https://github.com/wuancong/SYSU-MM01",
    license="by a signed agreement with its authors",
    marks=(("exp/train_id.txt", "cam1", "cam3"), ("exp/test_id.txt", "cam1", "cam3")),
)
def read_sysu_mm01(root: Path) -> Frames:
    """Read the images of SYSU-MM01 in ``root``, with identity, camera, condition and split.

    Raises:
        CrossbandError: no image in the cameras' folders, or a list that holds no numbers.
    """
    splits = {number: split for split in _SPLITS for number in _numbers(root / "exp" / f"{split}_id.txt")}
    rows: list[dict[str, object]] = []
    for camera, band in _BANDS.items():
        folder = root / camera
        for key, path in images_by_stem(folder, recursive=True).items() if folder.is_dir() else ():
            identity = key.split("/")[0]
            split = splits.get(int(identity)) if identity.isdigit() else None
            role = "query" if band == "nir" else "gallery"
            rows.append(
                {
                    "frame": f"{camera}/{key}",
                    band: path.relative_to(root).as_posix(),
                    "split": role if split == "test" else split,
                    "identity": identity,
                    "camera": camera,
                    "condition": "indoor" if camera in _INDOOR else "outdoor",
                }
            )
    if not rows:
        raise CrossbandError(f"{root} has no images in cam1/IDENTITY to cam6/IDENTITY")
    return Frames.make(rows, root)


def _numbers(path: Path) -> list[int]:
    try:
        return [int(number) for line in lines_of(path) for number in line.split(",") if number.strip()]
    except ValueError:
        raise CrossbandError(f"{path} is no list of numbers with commas between") from None
