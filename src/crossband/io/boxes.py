"""Boxes of objects as corners in pixels, read from COCO files of many images or from a file an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import CrossbandError
from ..files import read_json
from ..frames import Frames, leaves_folder
from ..progress import track
from .object_files import is_object_file, read_object_file

__all__ = ["Boxes", "read_boxes"]

_LARGEST = 1 << 29  # bytes of a file


@dataclass(frozen=True)
class Boxes:
    """The boxes of some frames.

    Attributes:
        rows: of each frame float32 ``(n, 6)``: left, top, right, bottom in pixels,
            class (an index of ``classes``) and instance, -1 where nobody said.
        crowds: likewise, what COCO calls a crowd: where nothing of that class is asked for, and nothing wrong.
        classes: names of the classes.
    """

    rows: list[np.ndarray]
    crowds: list[np.ndarray]
    classes: list[str]


def read_boxes(frames: Frames, leave_out: tuple[str, ...] = ("DontCare",), column: str = "boxes") -> Boxes:
    """Read the boxes of frames from the files of a column.

    In a COCO file an image is found by its file's name, with or without folders and suffix. HIT-UAV's own keys
    (``annotation`` and ``filename``) are read too. Boxes without an area are left out. XML and text files hold
    one image (:mod:`crossband.io.object_files`); their classes are those that occur, by name. Files
    of several datasets have their classes together: ``person`` of one is ``Person`` of another.

    Args:
        frames: with that column.
        leave_out: classes whose boxes say nothing.
        column: which; one of your own holds paths below the frames' folder too.

    Raises:
        CrossbandError: no such column, a view or a turn, which boxes do not follow, or a file that is no COCO.
    """
    if not frames.has(column):
        raise CrossbandError(
            f"the frames of {frames.root} have no column {column!r}: needed to learn or measure boxes"
        )
    if frames.has("view") or frames.has("turn"):
        raise CrossbandError(
            f"the frames of {frames.root} keep a view or a turn, which move images and label maps, not boxes; "
            "scan the folder without them"
        )
    names = frames.table[column].dropna().unique().tolist()
    outside = [name for name in names if leaves_folder(str(name))]
    if outside:
        raise CrossbandError(f"{outside[0]!r} of the column {column!r} does not stay in {frames.root}")
    files: dict[str, _Coco | _OneImage] = {
        name: (_OneImage if is_object_file(name) else _Coco)(frames.root / name)
        for name in track(names, len(names), "reading boxes", "files")
    }
    coco = [name for file in files.values() if isinstance(file, _Coco) for name in file.classes]
    single = sorted({name for file in files.values() if isinstance(file, _OneImage) for name in file.classes})
    known = {name.casefold(): name for name in reversed([*coco, *single])}  # as the first file spells it
    spelled = [known[key] for key in dict.fromkeys(name.casefold() for name in [*coco, *single])]
    classes = [name for name in spelled if name.casefold() not in {one.casefold() for one in leave_out}]
    number = {name.casefold(): place for place, name in enumerate(classes)}
    rows: list[np.ndarray] = []
    crowds: list[np.ndarray] = []
    for name, boxes in zip(frames.names, frames.table[column], strict=True):
        found = [] if pd.isna(boxes) else files[boxes].of(name)
        known_ones = [b for b in found if b.kind.casefold() in number]
        for crowd, out in ((False, rows), (True, crowds)):
            kept = [[*b.corners, number[b.kind.casefold()], b.instance] for b in known_ones if b.crowd == crowd]
            out.append(np.array(kept, np.float32).reshape(-1, 6))
    return Boxes(rows, crowds, classes)


class _Box(NamedTuple):
    """A box of a file."""

    corners: tuple[float, float, float, float]
    kind: str
    instance: float = -1.0
    crowd: bool = False


class _OneImage:
    """The file of one image."""

    def __init__(self, path: Path) -> None:
        self._boxes = [_Box(box[:4], box[4]) for box in read_object_file(path)]
        self.classes = [box.kind for box in self._boxes]

    def of(self, frame: str) -> list[_Box]:
        """The boxes of the image."""
        return self._boxes


class _Coco:
    """The file of many images."""

    def __init__(self, path: Path) -> None:
        content = read_json(path, _LARGEST)
        try:
            categories = sorted(content["categories"], key=lambda category: int(category["id"]))
            self.classes = [str(category["name"]) for category in categories]
            if len({name.casefold() for name in self.classes}) < len(self.classes):
                raise ValueError(f"two classes of one name among {', '.join(self.classes)}")
            names = {int(category["id"]): str(category["name"]) for category in categories}
            images = {
                int(image["id"]): _stem(str(image.get("file_name", image.get("filename"))))
                for image in content["images"]
            }
            self._boxes: dict[str, list[_Box]] = {}
            for box in content["annotations"] if "annotations" in content else content["annotation"]:
                x, y, width, height = (float(value) for value in box["bbox"])
                if width > 0 and height > 0:
                    kind, instance = names[int(box["category_id"])], float(box.get("instance", -1))
                    row = _Box((x, y, x + width, y + height), kind, instance, bool(box.get("iscrowd")))
                    self._boxes.setdefault(images[int(box["image_id"])], []).append(row)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise CrossbandError(f"{path} is not a COCO box file: {type(error).__name__} {error}") from None

    def of(self, frame: str) -> list[_Box]:
        """The boxes of a frame."""
        return self._boxes.get(_stem(frame), [])


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    head, dot, tail = base.rpartition(".")
    return head if dot and tail.isalpha() else base
