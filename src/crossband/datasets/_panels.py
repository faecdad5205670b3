"""Datasets whose files hold the bands of a frame side by side: split once, then read like any other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from ..bands import Band
from ..errors import CrossbandError
from ..files import write_file
from ..frames import Frames
from ..io import read_image
from ..progress import track
from ._registry import images_by_stem

__all__ = ["FOLDERS", "frames_of_panels", "split_panels"]

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
_NAME = re.compile(r"(\d+)_c(\d+)")


def split_panels(root: Path, out: Path, bands: Sequence[Band], mark: str) -> int:
    """Write each band of the side by side images below ``root``; what is there already stays.

    ``ROOT/[rgbir/]FOLDER/NAME.jpg`` becomes ``OUT/FOLDER/BAND/NAME.png``, pixel by pixel; near-infrared and
    thermal panels, three equal channels but for JPEG's rounding, are written as one. ``OUT/MARK``, a text named
    after the dataset, says what the folder is.

    Returns:
        how many frames there are now.

    Raises:
        CrossbandError: none of the folders, or an image that is not that many panels twice as wide as high.
    """
    base = root / "rgbir" if (root / "rgbir").is_dir() else root
    files = [
        (folder, stem, path)
        for folder in FOLDERS
        if (base / folder).is_dir()
        for stem, path in images_by_stem(base / folder).items()
    ]
    if not files:
        raise CrossbandError(f"{root} has no images in {', '.join(FOLDERS)}, with or without rgbir/ above them")
    for folder, stem, path in track(files, len(files), "splitting", "frames"):
        targets = [out / folder / band.value / f"{stem}.png" for band in bands]
        if not all(target.exists() for target in targets):
            _split(path, targets, bands)
    name = mark.removesuffix(".txt").upper()
    (out / mark).write_text(f"{name}, split by crossband: FOLDER/BAND/NAME.png\n", encoding="utf-8")
    return len(files)


def _split(path: Path, targets: list[Path], bands: Sequence[Band]) -> None:
    pixels = read_image(path).pixels
    height, width = pixels.shape[:2]
    if width != 2 * height * len(bands):
        raise CrossbandError(
            f"{path} is {width}x{height}, not {len(bands)} panels ({', '.join(bands)}) twice as wide as high; "
            "look at its kind",
            parameter="kind",
        )
    for place, (target, band) in enumerate(zip(targets, bands, strict=True)):
        panel = PIL.Image.fromarray(pixels[:, place * 2 * height : (place + 1) * 2 * height])
        write_file(target, (panel if band is Band.RGB else panel.convert("L")).save)


def frames_of_panels(root: Path, bands: Sequence[Band], extract: str) -> Frames:
    """Return the frames ``FOLDER/NAME`` of a split dataset.

    They have ``identity``, ``camera``, ``image`` and ``split``.

    ``image`` is the same for a query and for its copy in the gallery. The datasets have no frames for
    validation: ``fold`` numbers the identities of ``train`` from 0 to 9 in turn, for a recipe to hold some out.

    Args:
        root: the folder that :func:`split_panels` wrote.
        bands: the dataset's.
        extract: the function that splits, to be named where only the published files are there.

    Raises:
        CrossbandError: not split yet, none of the folders, or a name without identity and camera.
    """
    rows: list[dict[str, Any]] = []
    for folder, split in FOLDERS.items():
        images = {
            band: images_by_stem(root / folder / band.value)
            for band in bands
            if (root / folder / band.value).is_dir()
        }
        for stem in sorted(set().union(*images.values())):
            identity, camera = identity_and_camera(stem)
            paths = {
                band.value: named[stem].relative_to(root).as_posix()
                for band, named in images.items()
                if stem in named
            }
            rows.append(
                {
                    "frame": f"{folder}/{stem}",
                    **paths,
                    "split": split,
                    "identity": identity,
                    "camera": camera,
                    "image": stem,
                }
            )
    if not rows:
        raise CrossbandError(
            f"{root} holds the bands side by side in one file, or no frames; split it once with "
            f"crossband.datasets.{extract}(ROOT, OUT), then use OUT"
        )
    turn = {
        name: place % 10
        for place, name in enumerate(sorted({r["identity"] for r in rows if r["split"] == "train"}))
    }
    for row in rows:
        row["fold"] = str(turn[row["identity"]]) if row["split"] == "train" else None
    return Frames.make(rows, root)


def identity_and_camera(stem: str) -> tuple[str, str]:
    """Parse identity and camera from the name of an image.

    Raises:
        CrossbandError: the name holds none.

    Example:
        >>> identity_and_camera("0012_c3_0045")
        ('0012', 'c3')
    """
    match = _NAME.match(stem)
    if match is None:
        raise CrossbandError(
            f"{stem} is not named by identity and camera, as in 0012_c3_0045; keep the dataset's names"
        )
    return match[1], f"c{match[2]}"
