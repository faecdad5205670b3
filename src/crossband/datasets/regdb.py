"""RegDB: 412 persons, ten images of each in color and ten in the thermal (Nguyen et al., Sensors 2017).

"Person Recognition System Based on a Combination of Body Images from Visible Light and Thermal Cameras";
the lists are those of Ye et al. (AAAI 2018). Expected layout::

    ROOT/
      Visible/1/male_back_v_05351_1.bmp      RGB, IDENTITY/...
      Thermal/1/male_back_t_05351_1.bmp      thermal, 8 bits; taken at other moments, so no pairs
      idx/train_visible_1.txt                Visible/1/male_back_v_05351_1.bmp 0, a line an image
      idx/train_thermal_1.txt, test_visible_1.txt, test_thermal_1.txt; and _2 to _10: ten trials

An image is a frame of one band; ``camera`` is ``visible`` or ``thermal``. ``split_1`` to ``split_10`` are
those of the trials, ``split`` that of the first: persons of the training half are ``train``, of the others
the color images ``query`` and the thermal ones ``gallery``. Papers give the mean of ten trials, and of both
directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ._beside import lines_of, with_trials
from ._registry import images_by_stem, register_dataset

__all__ = ["read_regdb"]

_CAMERAS = {"Visible": ("rgb", "query"), "Thermal": ("tir", "gallery")}


@register_dataset(
    "regdb",
    title="RegDB (DBPerson-Recog-DB1)",
    bands=("rgb", "tir"),
    source="https://doi.org/10.3390/s17030605",
    license="by a signed agreement with its authors",
    marks=(("Visible/*/*_v_*.bmp", "Thermal/*/*_t_*.bmp"), ("Visible", "Thermal", "idx/train_visible_1.txt")),
)
def read_regdb(root: Path) -> Frames:
    """Read the images of RegDB in ``root``, with ``identity``, ``camera`` and the splits of its trials.

    Raises:
        CrossbandError: nothing of this layout, or a list that names an image which is not there.
    """
    rows = [
        {
            "frame": f"{folder}/{key}",
            band: path.relative_to(root).as_posix(),
            "identity": key.split("/")[0],
            "camera": folder.lower(),
        }
        for folder, (band, _) in _CAMERAS.items()
        for key, path in images_by_stem(root / folder, recursive=True).items()
    ]
    if not rows:
        raise CrossbandError(f"{root} does not have the layout Visible/IDENTITY and Thermal/IDENTITY")
    frames = Frames.make(rows, root)
    numbers = [n for n in range(1, 11) if (root / "idx" / f"train_visible_{n}.txt").is_file()]
    return with_trials(frames, [_trial(root, n, set(frames.names)) for n in numbers])


def _trial(root: Path, number: int, known: set[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for half in ("train", "test"):
        for folder, (_, split) in _CAMERAS.items():
            path = root / "idx" / f"{half}_{folder.lower()}_{number}.txt"
            for line in lines_of(path):
                name = Path(line.rsplit(maxsplit=1)[0]).with_suffix("").as_posix()
                if name not in known:
                    raise CrossbandError(f"{path} names {name!r}, which has no image; get the complete dataset")
                found[name] = "train" if half == "train" else split
    return found
