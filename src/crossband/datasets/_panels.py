"""Datasets whose files hold the bands of a frame side by side: split once, then read like any other."""

from __future__ import annotations

import re
from dataclasses import dataclass
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

__all__ = ["FOLDERS", "Panels", "identity_and_camera"]

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
_NAME = re.compile(r"(\d+)_c(\d+)")


@dataclass(frozen=True)
class Panels:
    """A dataset of such files: its registered name, and the bands from left to right.

    Attributes:
        name: of the dataset; ``NAME.txt`` in a split folder says what it is.
        bands: of the panels.
    """

    name: str
    bands: tuple[Band, ...]

    @property
    def mark(self) -> str:
        """The text that marks a split folder."""
        return f"{self.name}.txt"

    def split(self, root: str | Path, out: str | Path) -> int:
        """Write each band of the side by side images below ``root``; what is there already stays.

        ``ROOT/[rgbir/]FOLDER/NAME.jpg`` becomes ``OUT/FOLDER/BAND/NAME.png``, pixel by pixel; near-infrared and
        thermal panels, three equal channels but for JPEG's rounding, are written as one.

        Returns:
            how many frames there are now.

        Raises:
            CrossbandError: none of the folders, or an image that is not that many panels twice as wide as high.
        """
        root, out = Path(root), Path(out)
        base = root / "rgbir" if (root / "rgbir").is_dir() else root
        files = [
            (folder, stem, path)
            for folder in FOLDERS
            if (base / folder).is_dir()
            for stem, path in images_by_stem(base / folder).items()
        ]
        if not files:
            raise CrossbandError(
                f"{root} has no images in {', '.join(FOLDERS)}, with or without rgbir/ above them"
            )
        for folder, stem, path in track(files, len(files), "splitting", "frames"):
            targets = [out / folder / band.value / f"{stem}.png" for band in self.bands]
            if not all(target.exists() for target in targets):
                self._split(path, targets)
        said = f"{self.name.upper()}, split by crossband: FOLDER/BAND/NAME.png\n"
        write_file(out / self.mark, said)
        return len(files)

    def _split(self, path: Path, targets: list[Path]) -> None:
        pixels = read_image(path).pixels
        height, width = pixels.shape[:2]
        if width != 2 * height * len(self.bands):
            raise CrossbandError(
                f"{path} is {width}x{height}, not {len(self.bands)} panels ({', '.join(self.bands)}) twice "
                "as wide as high; look at its kind",
                parameter="kind",
            )
        for place, (target, band) in enumerate(zip(targets, self.bands, strict=True)):
            panel = PIL.Image.fromarray(pixels[:, place * 2 * height : (place + 1) * 2 * height])
            write_file(target, (panel if band is Band.RGB else panel.convert("L")).save)

    def frames(self, root: Path) -> Frames:
        """Read the frames ``FOLDER/NAME`` of a split folder.

        They have ``identity``, ``camera``, ``image`` and ``split``.

        ``image`` is the same for a query and for its copy in the gallery. The datasets have no frames for
        validation: ``fold`` numbers the identities of ``train`` from 0 to 9 in turn, so that a recipe can hold
        some out.

        Raises:
            CrossbandError: not split yet, none of the folders, or a name without identity and camera.
        """
        rows = [row for folder in FOLDERS for row in self._rows(root, folder)]
        if not rows:
            raise CrossbandError(
                f"{root} holds the bands side by side in one file, or no frames; split it once with "
                f"crossband.datasets.rgbnt100.split_{self.name}(ROOT, OUT), then use OUT"
            )
        trained = sorted({row["identity"] for row in rows if row["split"] == "train"})
        turn = {name: str(place % 10) for place, name in enumerate(trained)}
        for row in rows:
            row["fold"] = turn[row["identity"]] if row["split"] == "train" else None
        return Frames.make(rows, root)

    def _rows(self, root: Path, folder: str) -> list[dict[str, Any]]:
        images = {
            band: images_by_stem(root / folder / band.value)
            for band in self.bands
            if (root / folder / band.value).is_dir()
        }
        rows = []
        for stem in sorted(set().union(*images.values())):
            identity, camera = identity_and_camera(stem)
            paths = {
                band.value: named[stem].relative_to(root).as_posix()
                for band, named in images.items()
                if stem in named
            }
            known = {"split": FOLDERS[folder], "identity": identity, "camera": camera, "image": stem}
            rows.append({"frame": f"{folder}/{stem}", **paths, **known})
        return rows


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
