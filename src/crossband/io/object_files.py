"""Boxes of one image a file: Pascal VOC and its kin in XML, KAIST's and CVC-14's text, VEDAI's.

What a file holds is told by its content:

* XML: ``object`` elements with a ``name`` and a ``bndbox`` of ``xmin ymin xmax ymax`` (Pascal VOC) or of
  ``x y w h`` (KAIST, sanitized), or a ``polygon`` of ``x1 y1 ... x4 y4`` (DroneVehicle), whose corners' bounds
  are taken.
* ``% bbGt version=3`` (KAIST; Dollar's toolbox): ``NAME x y w h occluded vx vy vw vh ignore angle`` a line,
  left and top in pixels. What is to be ignored is left out.
* eleven numbers a line (CVC-14): the center's x and y, counted from 1, and width and height.
* fourteen numbers a line (VEDAI): center, orientation, class, contained, occluded, x of four corners, y of four
  corners.

Sources of the last two: ``CalayZhou/MBNet`` (issue 28) and ``icey-zhang/SuperYOLO`` (``transform.py``).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from ..errors import CrossbandError
from .composite import view_of

__all__ = ["is_object_file", "read_object_file"]

_LARGEST = 1 << 22  # bytes of the file of one image
_SPELLINGS = {
    "feright car": "freight_car",
    "feright_car": "freight_car",
    "feright": "freight_car",
    "freight car": "freight_car",
    "truvk": "truck",
}  # DroneVehicle's own
_NAMELESS = ("", "*")
_VEDAI = {
    1: "car",
    2: "truck",
    4: "tractor",
    5: "camping_car",
    7: "motorcycle",
    8: "bus",
    9: "van",
    10: "other",
    11: "pickup",
    23: "boat",
    31: "plane",
}
_CORNERS = [f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"]

Object = tuple[float, float, float, float, str]


def is_object_file(path: str | Path) -> bool:
    """Return whether a file of boxes is one of a single image, by its name; COCO's are ``.json``.

    Example:
        >>> is_object_file("labels/00001.xml"), is_object_file("annotations.json")
        (True, False)
    """
    return Path(path).suffix.lower() in (".xml", ".txt")


def read_object_file(path: str | Path) -> list[Object]:
    """Read left, top, right, bottom in pixels and class of each object of an image.

    A path that names a view (:func:`crossband.io.composite.view_of`) gives what lies in it, by its own pixels.

    Raises:
        CrossbandError: missing, too large, or of none of the forms.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "I00000.txt"
        ...     _ = file.write_text("% bbGt version=3" + chr(10) + "person 10 20 30 40 0 0 0 0 0 0 0" + chr(10))
        ...     read_object_file(file)
        [(10.0, 20.0, 40.0, 60.0, 'person')]
    """
    file, view = view_of(path) or (Path(path), None)
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("larger than the boxes of one image can be")
        text = file.read_bytes().decode("utf-8", "replace").lstrip("\ufeff")
        found = list(_xml(text) if text.lstrip().startswith("<") else _lines(text))
    except OSError as error:
        raise CrossbandError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, ElementTree.ParseError) as error:
        raise CrossbandError(f"{file} is no file of an image's boxes: {error}") from None
    width, height = (math.inf, math.inf) if view is None else view[2:]
    left, top = (0, 0) if view is None else view[:2]
    kept: list[Object] = []
    for x1, y1, x2, y2, name in found:
        if view is not None:
            x1, x2 = (min(max(x - left, 0.0), width) for x in (x1, x2))
            y1, y2 = (min(max(y - top, 0.0), height) for y in (y1, y2))
        if x2 > x1 and y2 > y1:
            kept.append((x1, y1, x2, y2, name))
    return kept


def _xml(text: str) -> Iterator[Object]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares entities of its own")
    for item in ElementTree.fromstring(text).iter("object"):
        name = (item.findtext("name") or "").strip()
        name = _SPELLINGS.get(name.lower(), name)
        if name in _NAMELESS:
            continue
        for shape in (item.find("bndbox"), item.find("polygon")):
            if shape is not None and (corners := _corners(shape)) is not None:
                yield (*corners, name)
                break


def _corners(shape: ElementTree.Element) -> tuple[float, float, float, float] | None:
    told = {}
    for part in shape:
        with contextlib.suppress(TypeError, ValueError):
            told[part.tag] = float(part.text or "")
    if all(key in told for key in ("xmin", "ymin", "xmax", "ymax")):
        return told["xmin"], told["ymin"], told["xmax"], told["ymax"]
    if all(key in told for key in "xywh"):
        return told["x"], told["y"], told["x"] + told["w"], told["y"] + told["h"]
    if all(key in told for key in _CORNERS):
        xs, ys = ([told[f"{axis}{corner}"] for corner in range(1, 5)] for axis in "xy")
        return min(xs), min(ys), max(xs), max(ys)
    return None


def _lines(text: str) -> Iterator[Object]:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if lines and lines[0][0].startswith("%"):
        for line in lines[1:]:
            if len(line) < 12:
                raise ValueError(f"a line of {len(line)} values")
            name, numbers = " ".join(line[:-11]), [float(value) for value in line[-11:]]
            if not numbers[9]:
                x, y, width, height = numbers[:4]
                yield x, y, x + width, y + height, name
        return
    for line in lines:
        numbers = [float(value) for value in line]
        if len(numbers) == 11:
            x, y, width, height = numbers[:4]
            yield x - 1 - width / 2, y - 1 - height / 2, x - 1 + width / 2, y - 1 + height / 2, "person"
        elif len(numbers) == 14:
            kind, xs, ys = int(numbers[3]), numbers[6:10], numbers[10:14]
            yield min(xs), min(ys), max(xs), max(ys), _VEDAI.get(kind, f"class_{kind}")
        else:
            raise ValueError(f"a line of {len(numbers)} values")
